"""Pictures on disk, read and written by their suffix."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwaflux_core.errors import (
    FrameMissing,
    ImageUnreadable,
    ImageUnsupported,
    RequestError,
    UnknownColorspace,
)
from kwaflux_core.images.image import SCENE_LINEAR, Image
from kwaflux_core.images.io import (
    MOVIE_SUFFIXES,
    check_source,
    check_target,
    is_movie,
    picture_bytes,
    read_image,
    write_image,
)
from kwaflux_testing.pictures import RawAttribute, noise, plate, raw_exr


@pytest.mark.parametrize("suffix", [*MOVIE_SUFFIXES, ".MOV"])
def test_a_movie_is_no_picture_and_no_target_but_a_source(suffix: str, tmp_path: Path) -> None:
    assert is_movie(tmp_path / f"shot{suffix}")
    check_source(tmp_path / f"shot{suffix}")
    with pytest.raises(ImageUnsupported, match="image sequence"):
        check_target(tmp_path / f"shot{suffix}")
    with pytest.raises(ImageUnsupported, match=r"movie.*image sequence"):
        read_image(tmp_path / f"shot{suffix}")
    with pytest.raises(ImageUnsupported, match=r"movie.*image sequence"):
        picture_bytes(tmp_path / f"shot{suffix}")
    with pytest.raises(ImageUnsupported, match=r"movie.*image sequence"):
        write_image(tmp_path / f"shot{suffix}", plate())


@pytest.mark.parametrize("name", ["a", "a.gif", "a.exr.bak", "a.1001"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImageUnsupported, match=r"\.exr"):
        read_image(tmp_path / name)
    with pytest.raises(ImageUnsupported, match=r"\.exr"):
        write_image(tmp_path / name, plate())


@pytest.mark.parametrize("suffix", [".exr", ".EXR", ".png", ".tif", ".dpx", ".jpg"])
def test_a_file_that_is_not_there_is_a_missing_frame(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FrameMissing):
        read_image(tmp_path / f"a.1001{suffix}")


@pytest.mark.parametrize("suffix", [".exr", ".png", ".tif", ".dpx", ".jpg"])
def test_the_size_of_a_picture_is_known_by_its_header_alone(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    channels = {name: noise(64, 80, seed=n) for n, name in enumerate("RGB")}
    write_image(path, Image.from_channels(channels, colorspace="sRGB - Display"))
    assert picture_bytes(path) == 64 * 80 * 3 * 4
    if suffix in (".png", ".jpg"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert picture_bytes(path) == 64 * 80 * 3 * 4, "the pixels are not read"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageUnreadable):
        picture_bytes(path)
    path.unlink()
    with pytest.raises(FrameMissing):
        picture_bytes(path)


def test_an_exr_without_a_word_about_color_is_scene_linear(tmp_path: Path) -> None:
    write_image(tmp_path / "a.exr", plate())
    assert read_image(tmp_path / "a.exr").colorspace == SCENE_LINEAR


def test_the_colorspace_is_what_the_user_says_then_what_the_header_says(tmp_path: Path) -> None:
    tag = RawAttribute("colorInteropID", "string", b"lin_rec709_scene")
    (tmp_path / "a.exr").write_bytes(raw_exr({"R": noise(2, 2)}, attributes=[tag]))
    assert read_image(tmp_path / "a.exr").colorspace == "Linear Rec.709 (sRGB)"
    assert read_image(tmp_path / "a.exr", colorspace="lin_ap1_scene").colorspace == "ACEScg"


def test_a_colorspace_nobody_knows_is_refused_for_every_kind_of_file(tmp_path: Path) -> None:
    for suffix in (".exr", ".png", ".tif"):
        path = tmp_path / f"a{suffix}"
        write_image(path, plate())
        with pytest.raises(UnknownColorspace):
            read_image(path, colorspace="sRGB - Dispaly")


def test_an_exr_is_written_without_warnings_and_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    assert write_image(path, plate(), compression="piz", half=True) == ()
    assert read_image(path).part.channels["R"].dtype == "float16"
    with pytest.raises(RequestError, match="compression"):
        write_image(path, plate(), compression="best")
