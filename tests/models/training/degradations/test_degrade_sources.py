"""Where pictures and clips come from: what is missing or damaged is said, nothing is left half."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kwaflux_core.errors import (
    FrameMissing,
    ImageError,
    ImageUnreadable,
)
from kwaflux_models.training.pictures import download, sources

av = pytest.importorskip("av")

from kwaflux_models.training.command_output import end_of  # noqa: E402
from kwaflux_models.training.pictures.read_movie import read_clip  # noqa: E402


def write_movie(path: Path, frames: int = 6, side: int = 64) -> None:
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("mpeg4", rate=24)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            pixels = np.full((side, side, 3), 20 * number + 30, dtype=np.uint8)
            movie.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        movie.mux(stream.encode(None))


def test_frames_of_a_movie_come_in_order_from_where_they_are_wanted(tmp_path: Path) -> None:
    write_movie(tmp_path / "clip.mp4")
    clip = read_clip(tmp_path / "clip.mp4", first=2, frames=3)
    assert clip.shape == (3, 64, 64, 3)
    assert np.allclose(clip.mean(axis=(1, 2, 3)) * 255.0, [70.0, 90.0, 110.0], atol=3.0)


def test_a_clip_that_is_missing_cut_off_or_no_movie_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(FrameMissing, match="no clip at"):
        read_clip(tmp_path / "none.mp4")
    whole = tmp_path / "whole.mp4"
    write_movie(whole)
    with pytest.raises(FrameMissing, match="ends before frames 3 to 9"):
        read_clip(whole, first=3, frames=7)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ImageUnreadable, match="cannot read"):
        read_clip(cut)
    text = tmp_path / "text.mp4"
    text.write_text("no movie\n" * 100)
    with pytest.raises(ImageUnreadable, match="cannot read"):
        read_clip(text)


def test_without_apt_get_fetching_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="cannot run apt-get"):
        download.main(["--cache", str(tmp_path / "cache")], os.environ, say=lambda line: None)
    assert not list((tmp_path / "cache").glob("sources/*"))


def test_a_package_that_cannot_be_unpacked_is_not_taken_for_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "apt-get").write_text('#!/bin/sh\n: > "$2_1_all.deb"\n')
    (bin_folder / "dpkg-deb").write_text('#!/bin/sh\n/bin/mkdir -p "$3/usr"\nexit 1\n')
    for tool in bin_folder.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder))
    with pytest.raises(ImageError, match="cannot run dpkg-deb"):
        sources.fetch_package(tmp_path, "mate-backgrounds")
    assert not sources.is_fetched(tmp_path, "mate-backgrounds")


def test_the_list_names_every_source_with_its_licence_and_fetches_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    assert download.main(["--list", "--cache", str(tmp_path)], {}, say=said.append) == 0
    for source, licence in sources.licences().items():
        assert any(line.startswith(f"{source}: {licence}") for line in said)
    for split in sources.SPLITS:
        listed = sum(line.startswith(f"  {split} (") for line in said)
        assert listed >= 3
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_not_there_are_named_and_the_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "fetch_package", lambda cache, package: None)
    said: list[str] = []
    assert download.main(["--cache", str(tmp_path)], {}, say=said.append) == 1
    assert sum(line.startswith("missing: ") for line in said) > 40


def test_a_damaged_picture_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_PICTURES", {"valid": {"some": ("one.jpg",)}})
    with pytest.raises(FrameMissing, match="no picture at"):
        sources.load(tmp_path, "valid")
    place = tmp_path / "sources" / "some" / "one.jpg"
    place.parent.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(place)
    whole = place.read_bytes()
    place.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageUnreadable, match="cannot read"):
        sources.load(tmp_path, "valid")
    place.write_bytes(whole)
    (picture,) = sources.load(tmp_path, "valid")
    assert picture.pixels.shape == (64, 64, 3)
    (kept,) = (tmp_path / "pixels").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(ImageUnreadable, match="is damaged"):
        sources.load(tmp_path, "valid")


def test_an_error_of_a_command_is_two_lines_and_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing() -> int:
        raise ImageError("no picture", hint="give one")

    assert end_of(failing) == 2
    assert capsys.readouterr().err == "kwaflux: no picture\ngive one\n"
    assert end_of(lambda: 1) == 1
