"""Where rings lie, and what a dead server leaves."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kwaflux_core.errors import ResourceError
from kwaflux_core.transport import ring_dirs
from kwaflux_core.transport.shared_memory import (
    Ring,
    RingDir,
    host_id,
    ram_backed_dir,
    sweep,
)

# --- directories ----------------------------------------------------------------------------


def test_a_server_that_lives_keeps_its_directory_and_a_dead_ones_is_swept(tmp_path: Path) -> None:
    living = RingDir.create(tmp_path)
    code = (
        "import os, sys, pathlib\n"
        "from kwaflux_core.transport.shared_memory import Ring, RingDir\n"
        "held = RingDir.create(pathlib.Path(sys.argv[1]))\n"
        "Ring.create(held.path, 's1.0', 4096)\n"
        "print(held.path.name, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=30
    )
    name = killed.stdout.strip()
    assert killed.returncode == -9
    assert (tmp_path / name / "s1.0").exists()
    assert sweep(tmp_path, keep=(name,)) == ()
    assert sweep(tmp_path) == (name,)
    assert [path.name for path in tmp_path.iterdir()] == [living.path.name]
    living.close()
    assert list(tmp_path.iterdir()) == []


def test_a_new_server_sweeps_by_itself(tmp_path: Path) -> None:
    (tmp_path / "server-1-abc").mkdir()
    fresh = RingDir.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [fresh.path.name]
    assert fresh.path.stat().st_mode & 0o777 == 0o700
    fresh.close()
    fresh.close()


def test_a_directory_that_is_being_made_is_spared_for_a_while(tmp_path: Path) -> None:
    (tmp_path / ".new-abc").mkdir()
    now = (tmp_path / ".new-abc").stat().st_mtime
    assert sweep(tmp_path, clock=lambda: now + 5) == ()
    assert sweep(tmp_path, clock=lambda: now + 3600) == (".new-abc",)


def test_the_sweep_touches_nothing_that_is_not_a_servers(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "server-file").write_text("x")
    elsewhere = tmp_path / "notes"
    (tmp_path / "server-link").symlink_to(elsewhere)
    assert sweep(tmp_path) == ()
    assert len(list(tmp_path.iterdir())) == 3
    assert sweep(tmp_path / "gone") == ()


def test_only_the_rings_of_the_session_that_ended_are_removed(tmp_path: Path) -> None:
    held = RingDir.create(tmp_path)
    for name in ("s1.0", "s1.1", "s10.0"):
        Ring.create(held.path, name, 4096).close()
    assert held.remove_session("s1") == 2
    assert [path.name for path in held.path.glob("s*")] == ["s10.0"]
    held.close()


def test_a_ring_directory_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="ring directory"):
        RingDir.create(tmp_path / "missing" / "deeper")


def test_a_place_that_is_not_in_memory_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {str(tmp_path / "disk"): "ext4", str(tmp_path / "ram"): "tmpfs"}
    monkeypatch.setattr(ring_dirs, "_file_system", lambda place, mounts: kinds[str(place)])
    for name in ("disk", "ram"):
        (tmp_path / name).mkdir()
    candidates = [tmp_path / "disk", tmp_path / "ram"]
    found = ram_backed_dir({}, candidates=candidates, min_free_bytes=1)
    assert found == tmp_path / "ram" / f"kwaflux-{os.geteuid()}"
    assert found.stat().st_mode & 0o777 == 0o700
    assert ram_backed_dir({}, candidates=candidates, min_free_bytes=1) == found
    assert ram_backed_dir({}, candidates=candidates, min_free_bytes=1 << 62) is None
    assert ram_backed_dir({}, candidates=[], min_free_bytes=1) is None


@pytest.mark.parametrize("hostile", ["link", "open", "file"])
def test_a_directory_that_others_could_reach_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: str
) -> None:
    monkeypatch.setattr(ring_dirs, "_file_system", lambda place, mounts: "tmpfs")
    root = tmp_path / f"kwaflux-{os.geteuid()}"
    if hostile == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        root.symlink_to(tmp_path / "elsewhere")
    elif hostile == "open":
        root.mkdir()
        root.chmod(0o777)
    else:
        root.write_text("")
    assert ram_backed_dir({}, candidates=[tmp_path], min_free_bytes=1) is None


def test_the_innermost_mount_decides_what_a_place_is(tmp_path: Path) -> None:
    mounts = (
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /dev rw shared:2 - devtmpfs udev rw\n"
        "3 2 0:6 / /dev/shm rw - tmpfs tmpfs rw\n"
        "4 1 0:7 / /run/user\\0401 rw - tmpfs tmpfs rw\n"
        "5 1 0:8\n"
    )
    file_system = ring_dirs._file_system
    assert file_system(Path("/dev/shm/kwaflux"), mounts) == "tmpfs"
    assert file_system(Path("/dev/shmoo"), mounts) == "devtmpfs"
    assert file_system(Path("/nowhere"), mounts) == "ext4"
    assert file_system(Path("/run/user 1/x"), mounts) == "tmpfs"
    assert file_system(tmp_path, "") == ""


def test_the_real_machine_answers_with_a_directory_or_with_none() -> None:
    with contextlib.suppress(FileNotFoundError):
        found = ram_backed_dir(os.environ, min_free_bytes=1)
        assert found is None or found.is_dir()


def test_two_processes_of_one_machine_have_the_same_host_id() -> None:
    code = "from kwaflux_core.transport.shared_memory import host_id; print(host_id())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert other.stdout.strip() == host_id()
    assert len(host_id()) == 16
