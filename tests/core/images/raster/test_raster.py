"""PNG, TIFF, DPX and JPEG: exact code values, and a word about every loss."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from kwaflux_core.errors import (
    FrameMissing,
    ImageUnreadable,
    ImageUnsupported,
    ImageWriteFailed,
    RequestError,
)
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.read import exr_to_bytes, read_exr
from kwaflux_core.images.image import Channel, Image, Part
from kwaflux_core.images.io import write_image
from kwaflux_core.images.raster.read import read_raster, write_raster
from kwaflux_testing.disks import small_disk
from kwaflux_testing.pictures import hard_floats, noise, plate, same_bits
from kwaflux_testing.rasters import reported, write_png, write_with_library

SRGB = "sRGB - Display"


def rgb(value: Channel, **more: Channel) -> Image:
    return Image.from_channels({"R": value, "G": value, "B": value, **more}, colorspace=SRGB)


def colored(height: int) -> Image:
    """Return noise that no format makes small, 128 pixels wide."""
    channels = {name: noise(height, 128, seed=index) for index, name in enumerate("RGB")}
    return Image.from_channels(channels, colorspace=SRGB)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_code_value_of_a_png_is_read_exactly(bits: int, tmp_path: Path) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    codes = np.arange(2**bits, dtype=dtype).reshape(-1, 256, 1).repeat(3, axis=2)
    write_png(tmp_path / "a.png", codes)
    red = read_raster(tmp_path / "a.png", colorspace=SRGB).part.channels["R"]
    expected = (codes[..., 0].astype(np.float64) / (2**bits - 1)).astype(np.float32)
    assert same_bits(red, expected)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_every_code_value_of_a_dpx_is_read_exactly(bits: int, tmp_path: Path) -> None:
    codes = np.arange(2**bits, dtype=np.uint32).reshape(-1, 64)
    spread = ((codes << (16 - bits)) | (codes >> max(0, 2 * bits - 16))).astype(np.uint16)
    if bits == 8:
        spread = (codes * 257).astype(np.uint16)
    write_with_library(
        tmp_path / "a.dpx", np.stack([spread] * 3, axis=-1),
        stored="uint8" if bits == 8 else "uint16", oiio__BitsPerSample=bits,
    )  # fmt: skip
    red = read_raster(tmp_path / "a.dpx", colorspace=SRGB).part.channels["R"]
    assert same_bits(red, (codes.astype(np.float64) / (2**bits - 1)).astype(np.float32))


@pytest.mark.parametrize(("suffix", "bits"), [(".png", 16), (".dpx", 10)])
def test_every_code_value_is_written_exactly(suffix: str, bits: int, tmp_path: Path) -> None:
    codes = np.arange(2**bits, dtype=np.float64).reshape(-1, 64)
    values = (codes / (2**bits - 1)).astype(np.float32)
    path = tmp_path / f"a{suffix}"
    write_raster(path, rgb(values))
    assert same_bits(read_raster(path, colorspace=SRGB).part.channels["G"], values)


def test_a_tiff_holds_every_float_there_is(tmp_path: Path) -> None:
    hard = hard_floats(np.float32, shape=(5, 12))
    path = tmp_path / "a.tif"
    assert write_raster(path, rgb(hard)) == ()
    again = read_raster(path).part.channels
    assert all(same_bits(again[name], hard) for name in "RGB")


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, np.uint16])
def test_a_tiff_of_another_type_is_read_exactly(dtype: type[np.generic], tmp_path: Path) -> None:
    pixels = (noise(6, 7) * (1 if dtype is np.float16 else 250)).astype(dtype)
    stored = "half" if dtype is np.float16 else ""
    write_with_library(tmp_path / "a.tif", np.stack([pixels] * 3, axis=-1), stored=stored)
    red = read_raster(tmp_path / "a.tif", colorspace=SRGB).part.channels["R"]
    top = {np.float16: 1, np.uint8: 255, np.uint16: 65535}[dtype]  # type: ignore[index]
    assert same_bits(red, (pixels.astype(np.float64) / top).astype(np.float32))


def test_values_too_wide_for_a_float_are_refused(tmp_path: Path) -> None:
    write_with_library(tmp_path / "a.tif", np.dstack([noise(3, 3)] * 3), stored="double")
    with pytest.raises(ImageUnsupported, match="code values"):
        read_raster(tmp_path / "a.tif", colorspace=SRGB)


def test_color_under_a_transparent_pixel_is_not_multiplied_away(tmp_path: Path) -> None:
    codes = np.array([[[60000, 3, 40000, 0], [7, 8, 9, 3]]], np.uint16)
    write_png(tmp_path / "a.png", codes)
    image = read_raster(tmp_path / "a.png", colorspace=SRGB)
    read = np.stack([image.part.channels[name] for name in "RGBA"], axis=-1)
    assert np.array_equal(np.rint(read * 65535).astype(np.uint16), codes)
    assert not image.is_premultiplied
    write_raster(tmp_path / "b.png", image)
    again = read_raster(tmp_path / "b.png", colorspace=SRGB)
    assert all(same_bits(again.part.channels[n], image.part.channels[n]) for n in "RGBA")


def test_premultiplied_color_is_divided_for_a_png_and_said_so(tmp_path: Path) -> None:
    quarter = np.full((2, 2), 0.25, np.float32)
    image = rgb(quarter, A=np.array([[0.5, 0.25], [1, 0]], np.float32))
    warnings = write_raster(tmp_path / "a.png", image)
    assert any("divided by alpha" in warning for warning in warnings)
    red = read_raster(tmp_path / "a.png").part.channels["R"]
    assert np.allclose(red, [[0.5, 1.0], [0.25, 0.25]], atol=1e-5)


@pytest.mark.parametrize("is_premultiplied", [False, True])
def test_a_tiff_says_whether_its_color_is_multiplied(
    is_premultiplied: bool, tmp_path: Path
) -> None:
    channels = {name: noise(3, 4, seed=index) for index, name in enumerate("RGBA")}
    image = Image.from_channels(channels, colorspace=SRGB, is_premultiplied=is_premultiplied)
    assert write_raster(tmp_path / "a.tif", image) == ()
    again = read_raster(tmp_path / "a.tif")
    assert again.is_premultiplied == is_premultiplied
    assert all(same_bits(again.part.channels[name], channels[name]) for name in "RGBA")


@pytest.mark.parametrize(("count", "names"), [(1, "RGB"), (2, "RGBA")])
def test_gray_is_read_as_three_equal_channels(count: int, names: str, tmp_path: Path) -> None:
    codes = np.arange(24, dtype=np.uint8).reshape(3, -1, count)
    write_png(tmp_path / "a.png", codes)
    channels = read_raster(tmp_path / "a.png", colorspace=SRGB).part.channels
    assert set(channels) == set(names)
    assert same_bits(channels["R"], channels["B"])
    assert np.array_equal(channels["G"], codes[..., 0] / np.float32(255))
    assert len({channels[name].ctypes.data for name in names}) == len(names)


def test_the_timecode_of_a_dpx_reaches_an_exr_and_comes_back(tmp_path: Path) -> None:
    bits, user = 0x23595823 | 1 << 6, 0x87654321
    write_with_library(
        tmp_path / "a.dpx",
        np.zeros((4, 4, 3), np.uint16),
        smpte__TimeCode=("timecode", (bits, user)),
        smpte__KeyCode=("keycode", (12, 34, 567890, 1234, 56, 4, 64)),
        dpx__FrameRate=23.976,
    )
    image = read_raster(tmp_path / "a.dpx", colorspace=SRGB)
    in_exr = read_exr(exr_to_bytes(image)).part.attributes
    time_code = in_exr["timeCode"]
    assert isinstance(time_code, OpenEXR.TimeCode)
    assert (time_code.hours, time_code.minutes, time_code.seconds, time_code.frame) == (
        23,
        59,
        58,
        23,
    )
    assert (time_code.dropFrame, time_code.userData) == (1, user)
    assert in_exr["framesPerSecond"] == Fraction(24000, 1001)
    assert in_exr["keyCode"] == OpenEXR.KeyCode(12, 34, 567890, 1234, 56, 4, 64)
    write_raster(tmp_path / "b.dpx", image)
    spec = reported(tmp_path / "b.dpx")
    assert spec.getattribute("smpte:TimeCode") == (bits, user)
    assert spec.getattribute("smpte:KeyCode") == (12, 34, 567890, 1234, 56, 4, 64)
    assert spec.getattribute("dpx:FrameRate") == pytest.approx(23.976, abs=1e-4)


@pytest.mark.parametrize("suffix", [".png", ".dpx", ".jpg"])
def test_values_a_format_cannot_hold_are_counted(suffix: str, tmp_path: Path) -> None:
    pixels = np.full((4, 4), 0.5, np.float32)
    pixels[0] = (-0.1, 1.5, np.inf, np.nan)
    image = (
        Image.from_channels({"R": pixels, "G": pixels, "B": pixels * 0 + 1}, colorspace="X")
        if 0
        else rgb(pixels)
    )
    warnings = write_raster(tmp_path / f"a{suffix}", image)
    assert any("3 values below 0 and 6 above 1" in w and "3 NaN" in w for w in warnings)


def test_channels_and_windows_a_format_cannot_hold_are_named(tmp_path: Path) -> None:
    channels = {
        name: noise(4, 6, seed=index) for index, name in enumerate(["R", "G", "B", "depth.Z"])
    }
    part = Part(channels, Box(-2, -1, 4, 3), Box(0, 0, 8, 5))
    warnings = write_raster(tmp_path / "a.tif", Image((part,), colorspace=SRGB))
    assert any("depth.Z" in warning for warning in warnings)
    assert any("display window" in warning for warning in warnings)
    again = read_raster(tmp_path / "a.tif").part
    assert again.data_window == Box(0, 0, 8, 5)
    assert same_bits(again.channels["R"][:3, :4], channels["R"][1:, 2:])
    assert not again.channels["R"][3:].any()
    assert not again.channels["R"][:, 4:].any()


def test_scene_linear_in_an_integer_format_is_said(tmp_path: Path) -> None:
    assert any("scene-linear" in text for text in write_image(tmp_path / "a.jpg", plate()))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".dpx", ".jpeg"])
def test_half_and_compression_belong_to_an_exr(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="half"):
        write_image(tmp_path / f"a{suffix}", plate(), half=True)
    with pytest.raises(RequestError, match="compression"):
        write_image(tmp_path / f"a{suffix}", plate(), compression="zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".tif", ".dpx", ".jpg"])
def test_a_file_cut_off_within_its_pixels_is_an_error(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_raster(path, rgb(noise(40, 30)))
    data = path.read_bytes()
    end = len(data)
    whole = read_raster(path, colorspace=SRGB).part.channels["R"]
    refused = 0
    for length in [*range(0, end, max(1, end // 97)), end - 1]:
        path.write_bytes(data[:length])
        try:
            read = read_raster(path, colorspace=SRGB).part.channels["R"]
        except ImageUnreadable:
            refused += 1
        else:  # Nothing but tags behind the pixels was cut off.
            assert same_bits(read, whole)
            assert length > 0.9 * len(data)
    assert refused > 80


def test_a_file_that_is_not_there_is_a_missing_frame(tmp_path: Path) -> None:
    with pytest.raises(FrameMissing):
        read_raster(tmp_path / "a.png")


def test_cmyk_is_refused_instead_of_converted_by_guess(tmp_path: Path) -> None:
    from PIL import Image as PillowImage

    PillowImage.new("CMYK", (4, 4)).save(tmp_path / "a.tif")
    PillowImage.new("CMYK", (4, 4)).save(tmp_path / "a.jpg")
    for name in ("a.tif", "a.jpg"):
        with pytest.raises(ImageUnsupported, match="CMYK"):
            read_raster(tmp_path / name, colorspace=SRGB)


def test_the_second_page_of_a_tiff_is_not_forgotten_in_silence(tmp_path: Path) -> None:
    from PIL import Image as PillowImage

    page = PillowImage.new("RGB", (4, 4))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
    assert any("first" in note for note in read_raster(tmp_path / "a.tif", colorspace=SRGB).notes)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".dpx", ".jpg"])
def test_a_disk_that_fills_leaves_the_old_file_and_no_other(suffix: str, tmp_path: Path) -> None:
    refused = 0
    with small_disk(tmp_path / "disk", size_kib=96) as disk:
        path = disk / f"clean{suffix}"
        write_raster(path, rgb(noise(20, 20)))
        before = path.read_bytes()
        for height in range(60, 400, 17):  # Some fit beside the old file and some do not.
            try:
                write_raster(path, colored(height))
            except ImageWriteFailed:
                refused += 1
                assert path.read_bytes() == before
            else:
                written = read_raster(path, colorspace=SRGB).part.channels["R"]
                assert written.shape == (height, 128)
                path.write_bytes(before)
            assert [entry.name for entry in disk.iterdir()] == [path.name]
    assert refused > 0


@pytest.mark.parametrize("suffix", [".png", ".tif", ".dpx", ".jpg"])
def test_a_file_that_may_not_grow_is_an_error(suffix: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ImageWriteFailed):
            write_raster(tmp_path / f"a{suffix}", colored(300))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_palette_of_few_colors_keeps_their_full_depth(tmp_path: Path) -> None:
    from PIL import Image as PillowImage

    picture = PillowImage.new("P", (4, 4), color=1)
    picture.putpalette([1, 2, 3, 200, 100, 50])
    picture.save(tmp_path / "a.png", bits=4)
    channels = read_raster(tmp_path / "a.png", colorspace=SRGB).part.channels
    assert [int(np.rint(channels[name][0, 0] * 255)) for name in "RGB"] == [200, 100, 50]


def test_a_suffix_of_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageUnsupported, match=r"\.png"):
        write_raster(tmp_path / "a.gif", rgb(noise(2, 2)))
