"""A disk that fills up, for tests of writers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["small_disk"]


@contextmanager
def small_disk(folder: Path, *, size_kib: int) -> Iterator[Path]:
    """Give an empty file system of a few KiB at ``folder``, or skip the test.

    Only root may mount one; a test that uses this has a twin that runs for everybody.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)]
    try:
        status = subprocess.run(command, capture_output=True, timeout=10, check=False).returncode
    except OSError:
        status = 1
    if status != 0:
        pytest.skip("no file system can be mounted here; the twin of this test limits file sizes")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], timeout=10, check=True)
