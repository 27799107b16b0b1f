"""A block of marked lines in a user's file: added, updated, removed.

All other bytes of the file are unchanged.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from kwaflux_core.images.atomic_write import atomic_path

__all__ = ["has_block", "put_block", "remove_block"]

_BEGIN: Final = "# >>> kwaflux: these lines are put here and removed by: kwaflux install >>>"
_END: Final = "# <<< kwaflux <<<"
_BLOCK: Final = re.compile(
    rb"(\r?\n)?" + re.escape(_BEGIN.encode()) + rb".*?" + re.escape(_END.encode()) + rb"(\r?\n|$)",
    re.DOTALL,
)


def has_block(file: Path) -> bool:
    """Return whether a file contains the block."""
    return file.is_file() and _BLOCK.search(file.read_bytes()) is not None


def put_block(file: Path, lines: tuple[str, ...]) -> None:
    """Write the block at the end of a file, replacing an earlier one; make the file if missing.

    Raises:
        ImageWriteFailed: It cannot be written.
    """
    old = _BLOCK.sub(b"", file.read_bytes()) if file.is_file() else b""
    newline = b"\r\n" if b"\r\n" in old else b"\n"
    ours = newline.join(line.encode() for line in (_BEGIN, *lines, _END)) + newline
    # The empty line before the block is part of it, and is removed with it.
    _write(file, old + newline + ours if old else ours)


def remove_block(file: Path) -> None:
    """Remove the block; a file that contained nothing else is removed.

    Raises:
        ImageWriteFailed: It cannot be written.
    """
    if not has_block(file):
        return
    rest = _BLOCK.sub(b"", file.read_bytes())
    if rest:
        _write(file, rest)
    else:
        file.unlink()


def _write(file: Path, data: bytes) -> None:
    with atomic_path(file) as temporary:
        temporary.write_bytes(data)
        if file.exists():
            temporary.chmod(file.stat().st_mode)
