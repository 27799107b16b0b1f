"""Code values of a movie to float: every code exactly, chroma where it lies, nothing clamped."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwaflux_core.errors import ImageUnsupported
from kwaflux_server.movie import color_tags, ycbcr
from kwaflux_server.movie.color_tags import (
    ChromaSiting,
    ColorTags,
    Matrix,
    interop_id,
    levels_of,
    matrix_of,
    siting,
)
from kwaflux_server.movie.ycbcr import Layout, Levels, enlarged, rgb_of_codes

UNSPECIFIED = ColorTags(2, 2, 2, 0)
PLACES = {"left": (0.0, 0.5), "center": (0.5, 0.5), "topleft": (0.0, 0.0), "bottom": (0.5, 1.0)}


def rgb(
    codes: dict[str, npt.NDArray[np.uint8] | npt.NDArray[np.uint16]],
    layout: str,
    *,
    matrix: int = 1,
    is_full_range: bool = False,
    place: str = "left",
) -> dict[str, npt.NDArray[np.float32]]:
    found = Layout.parse(layout, path="clip.mov")
    weights, _ = matrix_of(ColorTags(1, 1, matrix, 1), height=1080, path="clip.mov")
    return rgb_of_codes(
        codes,
        found,
        levels=Levels(found.bits, is_full_range),
        matrix=weights if found.is_ycbcr else None,
        siting=siting(place)[0],
    )


@pytest.mark.parametrize(("bits", "layout"), [(8, "yuv444p"), (10, "yuv444p10le")])
def test_every_gray_code_value_is_the_float_that_the_standard_says(bits: int, layout: str) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    luma = np.arange(2**bits, dtype=dtype).reshape(-1, 32)
    neutral = np.full_like(luma, 2 ** (bits - 1))
    unit = 2 ** (bits - 8)
    found = rgb({"Y": luma, "Cb": neutral, "Cr": neutral}, layout)
    expected = (luma.astype(np.float64) - 16 * unit) / (219 * unit)
    for name in "RGB":
        np.testing.assert_allclose(found[name], expected, rtol=2e-7, atol=2e-7)
    assert len(np.unique(found["G"])) == 2**bits, "no rounding to fewer levels"
    assert found["G"].max() > 1.08
    assert found["G"].min() < -0.07


@pytest.mark.parametrize(
    ("matrix", "red", "blue"),
    [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (6, 0.299, 0.114), (9, 0.2627, 0.0593)],
)
@pytest.mark.parametrize("is_full_range", [True, False])
def test_colors_that_were_encoded_by_the_standards_equations_come_back(
    matrix: int, red: float, blue: float, *, is_full_range: bool
) -> None:
    color = np.random.default_rng(1).random((3, 40, 50))
    luma = red * color[0] + (1 - red - blue) * color[1] + blue * color[2]
    differences = ((color[2] - luma) / (2 * (1 - blue)), (color[0] - luma) / (2 * (1 - red)))
    zero, span, swing = (0, 4095, 4095) if is_full_range else (256, 3504, 3584)
    codes = {"Y": np.rint(zero + span * luma).astype(np.uint16)}
    for name, difference in zip(("Cb", "Cr"), differences, strict=True):
        codes[name] = np.rint(2048 + swing * difference).astype(np.uint16)
    found = rgb(dict(codes), "yuv444p12le", matrix=matrix, is_full_range=is_full_range)
    for index, name in enumerate("RGB"):
        # Half a code value of luma and of the difference, which the matrix makes larger.
        np.testing.assert_allclose(found[name], color[index], atol=0.5 * (1 + 1.9) / 3504)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("layout", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_a_ramp_of_chroma_is_a_straight_ramp_where_it_was_sited(layout: str, place: str) -> None:
    shift_x, shift_y = Layout.parse(layout, path="").chroma_shift
    x, y = PLACES[place]
    rows, columns = 24 >> shift_y, 40 >> shift_x
    # The chroma sample k lies at this pixel: a ramp over pixels, seen there, must come back.
    at_y = np.arange(rows)[:, None] * 2**shift_y + y * (2**shift_y - 1)
    at_x = np.arange(columns)[None, :] * 2**shift_x + x * (2**shift_x - 1)
    ramp = 400 + 4 * at_x + 8 * at_y
    luma = np.full((24, 40), 500, np.uint16)
    neutral = np.full((rows, columns), 512, np.uint16)
    assert np.array_equal(ramp, np.rint(ramp)), "the ramp itself must not be rounded"
    found = rgb({"Y": luma, "Cb": neutral, "Cr": ramp.astype(np.uint16)}, layout, place=place)
    pixel_y, pixel_x = np.mgrid[0:24, 0:40]
    difference = (400 + 4 * pixel_x + 8 * pixel_y - 512) / 896
    expected = (500 - 64) / 876 + 2 * (1 - 0.2126) * difference
    inner = (slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(found["R"][inner], expected[inner], atol=2e-6)


def test_a_sample_that_lies_on_a_pixel_is_not_changed() -> None:
    chroma = np.random.default_rng(2).random((9, 7)).astype(np.float32)
    assert np.array_equal(enlarged(chroma, 2, place=0.0, length=18)[0::2], chroma)
    assert np.array_equal(enlarged(chroma, 2, place=1.0, length=18)[1::2], chroma)


@settings(deadline=None)
@given(
    height=st.integers(1, 9),
    factor=st.sampled_from((1, 2, 4)),
    place=st.sampled_from((0.0, 0.5, 1.0)),
    data=st.data(),
)
def test_enlarging_keeps_a_flat_plane_flat_and_has_the_length_that_was_asked_for(
    height: int, factor: int, place: float, data: st.DataObject
) -> None:
    length = data.draw(st.integers(max(1, (height - 1) * factor + 1), height * factor))
    found = enlarged(np.full((height, 3), 0.37, np.float32), factor, place=place, length=length)
    assert found.shape == (length, 3)
    np.testing.assert_allclose(found, 0.37, rtol=3e-7)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [("yuv420p", (13, 11)), ("yuv422p", (25, 11)), ("yuv411p", (25, 6)), ("yuv410p", (7, 6))],
)
def test_odd_sizes_have_their_last_row_and_column(layout: str, shape: tuple[int, int]) -> None:
    luma = np.full((25, 21), 126, np.uint8)
    flat = np.full(shape, 128, np.uint8)
    found = rgb({"Y": luma, "Cb": flat, "Cr": flat}, layout)
    assert all(plane.shape == (25, 21) for plane in found.values())
    assert all(np.allclose(plane, 110 / 219) for plane in found.values())


def test_rgb_and_gray_and_alpha_need_no_matrix() -> None:
    codes = np.arange(12, dtype=np.uint8).reshape(3, 4)
    planar = rgb({"G": codes, "B": codes + 1, "R": codes + 2, "A": codes}, "gbrap",
                 is_full_range=True)  # fmt: skip
    assert list(planar) == ["R", "G", "B", "A"]
    np.testing.assert_allclose(planar["R"], (codes + 2) / 255.0, rtol=1e-6)
    gray = rgb({"Y": codes}, "gray", is_full_range=True)
    assert np.array_equal(gray["R"], gray["B"])
    over = rgb({"Y": codes, "Cb": codes, "Cr": codes, "A": codes}, "yuva444p", is_full_range=False)
    np.testing.assert_allclose(over["A"], codes / 255.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "bits", "shift", "channels"),
    [
        ("yuv420p", 8, (1, 1), ["Y", "Cb", "Cr"]),
        ("yuvj422p", 8, (1, 0), ["Y", "Cb", "Cr"]),
        ("yuv440p12le", 12, (0, 1), ["Y", "Cb", "Cr"]),
        ("yuva444p16le", 16, (0, 0), ["Y", "Cb", "Cr", "A"]),
        ("gbrp10le", 10, (0, 0), ["G", "B", "R"]),
        ("gray", 8, (0, 0), ["Y"]),
        ("gray12le", 12, (0, 0), ["Y"]),
        ("bgr24", 8, (0, 0), ["B", "G", "R"]),
        ("0rgb", 8, (0, 0), ["R", "G", "B"]),
        ("rgba64le", 16, (0, 0), ["R", "G", "B", "A"]),
    ],
)
def test_pixel_formats_are_taken_apart_by_their_names(
    name: str, bits: int, shift: tuple[int, int], channels: list[str]
) -> None:
    layout = Layout.parse(name, path="")
    assert (layout.bits, layout.chroma_shift, list(layout.channels)) == (bits, shift, channels)
    assert layout.is_full_range == name.startswith("yuvj")


@pytest.mark.parametrize(
    "name", ["pal8", "gbrpf32le", "yuv420p10be", "bayer_rggb8", "nv12", "rgb8", "xyz12le", "rggb"]
)
def test_pixel_formats_that_are_not_understood_are_refused(name: str) -> None:
    with pytest.raises(ImageUnsupported, match=f"clip.mov .*{name}"):
        Layout.parse(name, path="clip.mov")


# --- tags -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "name"), [(480, "BT.601"), (576, "BT.601"), (720, "BT.709")])
def test_a_matrix_that_is_not_said_goes_by_the_height_and_is_told(height: int, name: str) -> None:
    matrix, note = matrix_of(UNSPECIFIED, height=height, path="clip.mp4")
    assert matrix.name == name
    assert name in note
    assert matrix_of(ColorTags(1, 1, 9, 1), height=height, path="")[0] == Matrix(
        "BT.2020", 0.2627, 0.0593
    )
    assert matrix_of(ColorTags(1, 1, 9, 1), height=height, path="")[1] == ""


@pytest.mark.parametrize("matrix", [8, 10, 14, 77])
def test_a_matrix_that_is_no_weighted_sum_is_refused(matrix: int) -> None:
    with pytest.raises(ImageUnsupported, match="matrix"):
        matrix_of(ColorTags(1, 1, matrix, 1), height=1080, path="clip.mp4")


def test_levels_go_by_the_tag_then_the_format_then_the_kind() -> None:
    def levels(said: int, *, by_layout: bool, is_ycbcr: bool = True) -> tuple[bool, str]:
        color = ColorTags(1, 1, 1, said)
        return levels_of(color, is_full_by_layout=by_layout, is_ycbcr=is_ycbcr)

    assert levels(1, by_layout=False) == (False, "")
    assert levels(2, by_layout=False) == (True, "")
    assert levels(0, by_layout=True) == (True, "")
    assert levels(0, by_layout=False, is_ycbcr=False) == (True, "")
    is_full, note = levels(0, by_layout=False)
    assert not is_full
    assert "video levels" in note


def test_siting_that_is_not_said_is_left_and_told() -> None:
    assert siting("topleft") == (ChromaSiting("top left", 0.0, 0.0), "")
    place, note = siting("unspecified")
    assert (place.x, place.y) == (0.0, 0.5)
    assert "left" in note


@pytest.mark.parametrize(
    ("primaries", "transfer", "name"),
    [
        (1, 1, "g24_rec709_display"),
        (1, 6, "g24_rec709_display"),
        (1, 13, "srgb_rec709_display"),
        (9, 16, "pq_rec2020_display"),
        (9, 18, "hlg_rec2020_display"),
        (2, 1, ""),
        (1, 2, ""),
        (6, 6, ""),
        (9, 14, ""),
    ],
)
def test_only_tags_that_name_a_colorspace_are_believed(
    primaries: int, transfer: int, name: str
) -> None:
    assert interop_id(ColorTags(primaries, transfer, 1, 1)) == name


def test_every_colorspace_that_tags_can_name_is_in_the_built_in_config() -> None:
    from kwaflux_core.color.config import BUILTIN_CONFIG, ColorConfig

    config = ColorConfig.load(f"ocio://{BUILTIN_CONFIG}")
    names = {interop_id(ColorTags(p, t, 1, 1)) for p in range(23) for t in range(20)} - {""}
    assert len(names) == 10
    assert all(config.resolve(name) for name in names)


def test_catmull_rom_passes_through_its_samples() -> None:
    x = np.arange(12, dtype=np.float64)[:, None]
    smooth = np.sin(x / 3.0).astype(np.float32)
    found = enlarged(smooth, 2, place=0.0, length=24)
    between = np.sin((x + 0.5) / 3.0)
    assert math.isclose(found[10, 0], smooth[5, 0])
    np.testing.assert_allclose(found[5:-5:2, 0], between[2:-3, 0], atol=2e-3)


def test_the_public_names_are_sorted() -> None:
    for module in (ycbcr, color_tags):
        assert all(hasattr(module, name) for name in module.__all__)
