"""The clients' rings as a worker sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwaflux_core.errors import ProtocolError
from kwaflux_core.transport.shared_memory import Ring
from kwaflux_server.worker.rings import AttachedRings


def test_worker_and_client_see_the_same_bytes(tmp_path: Path) -> None:
    ring = Ring.create(tmp_path, "s1.0", 8192)
    attached = AttachedRings(str(tmp_path))
    ring.view(4096, 4)[:] = b"abcd"
    view = attached("s1.0", 4096, 4)
    assert bytes(view) == b"abcd"
    view[:] = b"wxyz"
    assert bytes(ring.view(4096, 4)) == b"wxyz"


def test_a_server_without_shared_memory_says_so() -> None:
    with pytest.raises(ProtocolError, match="no shared memory") as caught:
        AttachedRings("")("s1.0", 0, 4)
    assert "inline" in caught.value.hint


@pytest.mark.parametrize("name", ["s1.9", "../s1.0", "s1/0", ".lock", ""])
def test_what_is_no_ring_is_refused(tmp_path: Path, name: str) -> None:
    Ring.create(tmp_path, "s1.0", 4096)
    (tmp_path / ".lock").touch()
    with pytest.raises(ProtocolError):
        AttachedRings(str(tmp_path / "."))(name, 0, 4)


@pytest.mark.parametrize(("offset", "length"), [(4096, 1), (4093, 4), (-1, 4), (0, 0), (0, 4097)])
def test_a_stretch_outside_the_ring_is_refused(tmp_path: Path, offset: int, length: int) -> None:
    Ring.create(tmp_path, "s1.0", 4096)
    with pytest.raises(ProtocolError, match=r"s1\.0"):
        AttachedRings(str(tmp_path))("s1.0", offset, length)


def test_a_ring_whose_file_is_gone_is_let_go_and_views_of_it_live_on(tmp_path: Path) -> None:
    ring = Ring.create(tmp_path, "s1.0", 4096)
    Ring.create(tmp_path, "s1.1", 4096)
    attached = AttachedRings(str(tmp_path))
    view = attached("s1.0", 0, 4)
    attached("s1.1", 0, 4)
    ring.view(0, 4)[:] = b"abcd"
    ring.remove()
    attached.forget_removed()
    assert bytes(view) == b"abcd"
    with pytest.raises(ProtocolError, match="cannot be opened"):
        attached("s1.0", 0, 4)
    attached("s1.1", 0, 4)


def test_a_name_that_is_used_anew_is_not_taken_for_the_old_ring(tmp_path: Path) -> None:
    Ring.create(tmp_path, "s1.0", 4096).view(0, 1)[:] = b"a"
    attached = AttachedRings(str(tmp_path))
    assert bytes(attached("s1.0", 0, 1)) == b"a"
    (tmp_path / "s1.0").unlink()
    attached.forget_removed()
    Ring.create(tmp_path, "s1.0", 4096).view(0, 1)[:] = b"b"
    assert bytes(attached("s1.0", 0, 1)) == b"b"
