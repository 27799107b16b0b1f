"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from kwaflux_core.errors import ImageWriteFailed
from kwaflux_core.images.atomic_write import TEMPORARY_PREFIX, atomic_path, same_file
from kwaflux_core.images.io import read_image, write_image
from kwaflux_testing.pictures import plate, same_bits


def test_the_temporary_is_hidden_beside_the_target_and_keeps_its_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.1001.exr") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".exr"
        assert str(os.getpid()) in temporary.name
        temporary.write_bytes(b"new")
        assert not (tmp_path / "a.1001.exr").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.1001.exr"]


def test_a_block_that_raises_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "a.exr"
    target.write_bytes(b"old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"ha")
            raise KeyError("the network broke")

    with pytest.raises(KeyError, match="the network broke"):
        write_half()
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.exr"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_an_error_of_the_system_names_the_path_and_what_to_do(code: int, tmp_path: Path) -> None:
    target = tmp_path / "a.exr"

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(code, os.strerror(code))

    with pytest.raises(ImageWriteFailed, match=r"a\.exr") as caught:
        fail()
    assert os.strerror(code) in caught.value.message
    assert caught.value.hint
    assert caught.value.fields["path"] == str(target)
    assert list(tmp_path.iterdir()) == []


def test_the_file_and_its_folder_are_flushed_before_the_name_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.exr"
    flushed: list[tuple[bool, bool]] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        flushed.append((stat.S_ISDIR(os.fstat(handle).st_mode), target.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
    assert flushed == [(False, False), (True, True)]


def test_a_flush_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.exr"
    target.write_bytes(b"old")

    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ImageWriteFailed, match="No space left"):
        write_image(target, plate())
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.exr"]


def test_a_folder_that_is_not_there_is_an_error_with_a_hint(tmp_path: Path) -> None:
    for suffix in (".exr", ".png", ".tif", ".dpx", ".jpg"):
        with pytest.raises(ImageWriteFailed, match="make the folder first"):
            write_image(tmp_path / "renders" / f"a{suffix}", plate())


def test_a_folder_in_the_targets_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.exr").mkdir()
    with pytest.raises(ImageWriteFailed, match="folder"):
        write_image(tmp_path / "a.exr", plate())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_closed_to_us_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ImageWriteFailed, match="permissions"):
        write_image(tmp_path / "a.exr", plate())


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    def forget() -> None:
        with atomic_path(tmp_path / "a.exr"):
            pass

    with pytest.raises(ImageWriteFailed):
        forget()


def test_a_link_is_written_through(tmp_path: Path) -> None:
    real, link = tmp_path / "real.exr", tmp_path / "link.exr"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_image(link, plate())
    assert link.is_symlink()
    assert same_bits(read_image(real).part.channels["R"], plate().part.channels["R"])


def test_writers_of_one_name_leave_one_whole_picture(tmp_path: Path) -> None:
    target = tmp_path / "a.exr"
    seeds = range(0, 60, 10)

    def write(seed: int) -> None:
        for _ in range(3):
            write_image(target, plate(seed=seed))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    left = read_image(target).part.channels["R"]
    assert sum(same_bits(left, plate(seed=seed).part.channels["R"]) for seed in seeds) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.exr"]


def test_two_names_of_one_file_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(b"x")
    (tmp_path / "link.exr").symlink_to(tmp_path / "a.exr")
    os.link(tmp_path / "a.exr", tmp_path / "hard.exr")
    (tmp_path / "sub").mkdir()
    assert same_file(tmp_path / "a.exr", tmp_path / "sub" / ".." / "a.exr")
    assert same_file(tmp_path / "a.exr", tmp_path / "link.exr")
    assert same_file(tmp_path / "a.exr", tmp_path / "hard.exr")
    assert same_file(tmp_path / "new.exr", tmp_path / "sub" / ".." / "new.exr")
    assert not same_file(tmp_path / "a.exr", tmp_path / "new.exr")
