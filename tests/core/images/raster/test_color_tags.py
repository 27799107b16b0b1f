"""What PNG, TIFF, DPX and JPEG say about their color is believed, and nothing else."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.errors import UnknownColorspace
from kwaflux_core.images.image import Image
from kwaflux_core.images.io import read_image
from kwaflux_core.images.raster.color_tags import INTEROP_ID_OF_NAME
from kwaflux_core.images.raster.read import write_raster
from kwaflux_testing.pictures import noise
from kwaflux_testing.rasters import REC709_CHRM as CHRM
from kwaflux_testing.rasters import Tags, reported, write_png, write_with_library

SRGB = "sRGB - Display"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([(b"sRGB", b"\0")], "sRGB - Display"),
        ([(b"cICP", bytes([1, 13, 0, 1]))], "sRGB - Display"),
        ([(b"cICP", bytes([9, 16, 0, 1])), (b"sRGB", b"\0")], "Rec.2100-PQ - Display"),
        ([(b"cICP", bytes([12, 13, 0, 1]))], "Display P3 - Display"),
        ([(b"cHRM", CHRM), (b"gAMA", b"\0\0\xb1\x8f")], "Gamma 2.2 Rec.709 - Display"),
        ([(b"gAMA", struct.pack(">I", 100000)), (b"cHRM", CHRM)], "Linear Rec.709 (sRGB)"),
    ],
)  # fmt: skip
def test_a_png_is_what_its_tags_say(tags: Tags, expected: str, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8), tags=tags)
    assert read_image(tmp_path / "a.png").colorspace == expected


@pytest.mark.parametrize(
    "tags",
    [
        [],
        [(b"gAMA", struct.pack(">I", 45455))],
        [(b"gAMA", struct.pack(">I", 12345)), (b"cHRM", CHRM)],
        [(b"cICP", bytes([1, 13, 1, 1]))],
        [(b"cICP", bytes([1, 13, 0, 0]))],
        [(b"cICP", bytes([200, 13, 0, 1])), (b"sRGB", b"\0")],
        [(b"iCCP", b"Studio\0\0" + zlib.compress(b"no profile")), (b"tEXt", b"a\0b")],
    ],
)
def test_a_png_without_a_plain_word_on_color_is_refused(tags: Tags, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8), tags=tags)
    with pytest.raises(UnknownColorspace, match="--colorspace 'sRGB - Display'"):
        read_image(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", colorspace="ACEScct").colorspace == "ACEScct"


def test_the_library_alone_takes_an_untagged_png_for_srgb(tmp_path: Path) -> None:
    """The guess the reader does not believe."""
    write_png(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8))
    spec = reported(tmp_path / "a.png")
    assert "srgb" in spec.get_string_attribute("oiio:ColorSpace")


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_exif_and_only_exif_makes_it_srgb(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    codes = np.zeros((4, 4, 3), np.uint8)
    write_with_library(path, codes, Exif__ColorSpace=1)
    assert read_image(path).colorspace == SRGB
    write_with_library(path, codes, Exif__ColorSpace=0xFFFF)
    with pytest.raises(UnknownColorspace):
        read_image(path)
    write_with_library(path, codes)
    with pytest.raises(UnknownColorspace):
        read_image(path)


@pytest.mark.parametrize(
    ("transfer", "colorimetric", "expected"),
    [("ITU-R 709-4", "ITU-R 709-4", "Camera Rec.709"),
     ("Linear", "ITU-R 709-4", "Linear Rec.709 (sRGB)"),
     ("Linear", "User defined", ""), ("Printing density", "Printing density", ""),
     ("Logarithmic", "ITU-R 709-4", "")],
)  # fmt: skip
def test_a_dpx_is_what_both_of_its_tags_say(
    transfer: str, colorimetric: str, expected: str, tmp_path: Path
) -> None:
    codes = np.zeros((4, 4, 3), np.uint16)
    write_with_library(
        tmp_path / "a.dpx", codes, dpx__Transfer=transfer, dpx__Colorimetric=colorimetric
    )
    if expected:
        assert read_image(tmp_path / "a.dpx").colorspace == expected
    else:
        with pytest.raises(UnknownColorspace):
            read_image(tmp_path / "a.dpx")


@pytest.mark.parametrize("colorspace", sorted(INTEROP_ID_OF_NAME))
def test_a_png_is_tagged_with_what_it_is(colorspace: str, tmp_path: Path) -> None:
    image = Image.from_channels({name: noise(3, 3) for name in "RGB"}, colorspace=colorspace)
    assert write_raster(tmp_path / "a.png", image) == ()
    again = read_image(tmp_path / "a.png").colorspace
    assert INTEROP_ID_OF_NAME[again] == INTEROP_ID_OF_NAME[colorspace]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_what_cannot_be_tagged_is_not_tagged_as_something_else(suffix: str, tmp_path: Path) -> None:
    image = Image.from_channels({n: noise(3, 3) for n in "RGB"}, colorspace="ARRI LogC4")
    warnings = write_raster(tmp_path / f"a{suffix}", image)
    assert any("ARRI LogC4" in warning for warning in warnings)
    with pytest.raises(UnknownColorspace):
        read_image(tmp_path / f"a{suffix}")


def test_a_profile_that_all_software_writes_is_known(tmp_path: Path) -> None:
    from PIL import Image as PillowImage
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in (".png", ".jpg", ".tif"):
        PillowImage.new("RGB", (4, 4)).save(tmp_path / f"a{suffix}", icc_profile=profile)
        assert read_image(tmp_path / f"a{suffix}").colorspace == SRGB
