"""Rings of shared memory: bounds, lifetimes, what a dead server leaves."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.errors import ProtocolError, ResourceError
from kwaflux_core.transport.shared_memory import (
    Ring,
    check_ring_name,
    ring_name,
)


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    made = Ring.create(tmp_path, "s1.0", 64 << 10)
    yield made
    made.remove()


# --- the ring -------------------------------------------------------------------------------


def test_what_one_end_writes_the_other_end_reads(ring: Ring, tmp_path: Path) -> None:
    other = Ring.attach(tmp_path, "s1.0")
    ring.view(4096, 5)[:] = b"plate"
    assert bytes(other.view(4096, 5)) == b"plate"
    other.view(0, 3)[:] = b"out"
    assert bytes(ring.view(0, 3)) == b"out"
    other.close()


def test_another_process_reads_the_ring_and_its_end_destroys_nothing(
    ring: Ring, tmp_path: Path
) -> None:
    ring.view(0, 4)[:] = b"abcd"
    code = (
        "import sys, pathlib\n"
        "from kwaflux_core.transport.shared_memory import Ring\n"
        "ring = Ring.attach(pathlib.Path(sys.argv[1]), 's1.0')\n"
        "ring.view(4, 4)[:] = bytes(ring.view(0, 4))[::-1]\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=30)
    assert bytes(ring.view(0, 8)) == b"abcddcba"
    assert ring.path.exists()


def test_a_ring_is_private_whole_pages_and_all_there(tmp_path: Path) -> None:
    ring = Ring.create(tmp_path, "s1.0", 5000)
    found = ring.path.stat()
    assert found.st_mode & 0o777 == 0o600
    assert (found.st_size, ring.size_bytes) == (8192, 8192)
    assert found.st_blocks * 512 >= 8192
    ring.remove()
    assert not ring.path.exists()


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-1, 4), (0, 0), (0, -1), (0, 65537), (65536, 1), (65535, 2), (1 << 70, 1), (0, 1 << 70)],
)
def test_a_view_that_does_not_lie_inside_is_refused(ring: Ring, offset: int, length: int) -> None:
    with pytest.raises(ProtocolError, match="outside the ring"):
        ring.view(offset, length)


def test_a_view_of_the_whole_ring_is_allowed(ring: Ring) -> None:
    assert ring.view(0, 65536).nbytes == 65536


def test_closing_a_ring_that_arrays_still_show_never_takes_their_memory(tmp_path: Path) -> None:
    ring = Ring.create(tmp_path, "s1.0", 1 << 16)
    pixels = np.frombuffer(ring.view(0, 1 << 16), dtype="<f4")
    pixels[:] = 0.5
    ring.remove()
    gc.collect()
    pixels[-1] = 2.0
    assert pixels[0] == 0.5
    with pytest.raises(ProtocolError, match="closed"):
        ring.view(0, 4)
    ring.close()


def test_a_ring_that_is_there_already_is_not_taken_over(ring: Ring, tmp_path: Path) -> None:
    ring.view(0, 4)[:] = b"mine"
    with pytest.raises(ResourceError):
        Ring.create(tmp_path, "s1.0", 4096)
    assert bytes(ring.view(0, 4)) == b"mine"


def test_a_ring_is_never_made_through_a_symbolic_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "s1.0").symlink_to(victim)
    with pytest.raises(ResourceError):
        Ring.create(tmp_path, "s1.0", 4096)
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../s1.0", "a/b", "/etc/passwd", ".lock", "s1\0", "s 1", "x" * 200, "é"]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProtocolError, match="cannot be the name"):
        Ring.attach(tmp_path, name)
    with pytest.raises(ProtocolError, match="cannot be the name"):
        Ring.create(tmp_path, name, 4096)


def test_a_ring_of_another_session_cannot_be_named() -> None:
    assert check_ring_name(ring_name("s1", 3), session="s1") == "s1.3"
    for name in ("s2.0", "s10.0", "s1"):
        with pytest.raises(ProtocolError, match="does not belong"):
            check_ring_name(name, session="s1")


def test_attaching_to_what_is_no_ring_is_refused(tmp_path: Path) -> None:
    real = Ring.create(tmp_path, "real", 4096)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dir").mkdir()
    (tmp_path / "odd").write_bytes(b"x" * 100)
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "link", "dir", "odd", "empty", "fifo"):
        with pytest.raises(ProtocolError):
            Ring.attach(tmp_path, name)
    real.remove()


def test_a_ring_with_holes_is_refused_before_it_can_raise_sigbus(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 20)
    with pytest.raises(ProtocolError):
        Ring.attach(tmp_path, "sparse")


def test_attaching_to_another_users_file_is_refused(
    ring: Ring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ProtocolError, match="not a ring"):
        Ring.attach(tmp_path, ring.name)


def test_a_ring_larger_than_the_file_system_is_refused_at_once(tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    with pytest.raises(ResourceError, match="does not fit") as caught:
        Ring.create(tmp_path, "s1.0", room.f_bavail * room.f_frsize + 1)
    assert caught.value.retryable
    assert not (tmp_path / "s1.0").exists()


def test_a_file_system_that_fills_meanwhile_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ResourceError, match="No space left") as caught:
        Ring.create(tmp_path, "s1.0", 4096)
    assert "shm-size" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_no_ring_can_be_made_where_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="rings"):
        Ring.create(tmp_path / "gone", "s1.0", 4096)
