"""The enlargement of a picture: what is filtered, what is repeated, and that nothing shifts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import OpenImageIO
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kwaflux_core.errors import ImageError
from kwaflux_core.geometry import Box
from kwaflux_core.images.image import Channel, Image, Layer, Part
from kwaflux_core.images.lanczos import READ_RADIUS_PX, is_filtered, lanczos_upscale, scaled_image

Planes = npt.NDArray[np.float32]
SCALES = [2, 3, 4, 8]


def noise(*shape: int, seed: int = 1) -> Planes:
    return np.random.default_rng(seed).random(shape, np.float32)


def block_mean(planes: Planes, scale: int) -> npt.NDArray[np.float64]:
    count, height, width = planes.shape
    blocks = planes.reshape(count, height // scale, scale, width // scale, scale)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float64))


def one_channel(name: str, dtype: npt.DTypeLike, part_name: str = "") -> Part:
    pixels: Channel = np.zeros((2, 3), dtype)
    window = Box.from_size(3, 2)
    return Part({name: pixels}, window, window, name=part_name)


# --- the filter -----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("value", [0.18, -3.0, 65504.0, 1e-6, 1e30])
def test_a_constant_stays_that_constant(scale: int, value: float) -> None:
    planes = np.full((2, 7, 5), value, np.float32)
    result = lanczos_upscale(planes, scale)
    assert result.shape == (2, 7 * scale, 5 * scale)
    np.testing.assert_allclose(result, planes[0, 0, 0], rtol=5e-7)


@pytest.mark.parametrize("scale", SCALES)
def test_a_ramp_stays_a_ramp_without_a_shift_in_either_direction(scale: int) -> None:
    across = np.arange(32, dtype=np.float32)
    planes = np.stack([np.tile(across, (24, 1)), np.tile(across[:24, None], (1, 32))])
    result = lanczos_upscale(planes, scale)
    centers = (np.arange(32 * scale) + 0.5) / scale - 0.5
    inner = slice(3 * scale, -3 * scale)
    np.testing.assert_allclose(
        result[0, :, inner], np.tile(centers[inner], (24 * scale, 1)), atol=2e-5
    )
    down = centers[: 24 * scale][inner]
    np.testing.assert_allclose(result[1, inner], np.tile(down[:, None], (1, 32 * scale)), atol=2e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_a_centered_dot_stays_centered_and_symmetric(scale: int) -> None:
    planes = np.full((1, 15, 15), 4.0, np.float32)
    planes[0, 7, 7] = 5.0
    result = lanczos_upscale(planes, scale)[0]
    for mirrored in (result[::-1], result[:, ::-1], result.T):
        np.testing.assert_allclose(result, mirrored, atol=1e-6)
    assert (result - 4.0).sum() == pytest.approx(scale**2, rel=1e-4)


def test_an_odd_scale_keeps_every_pixel_in_the_middle_of_its_block_bit_for_bit() -> None:
    planes = noise(2, 9, 11) - 0.5
    for scale in (3, 5):
        middle = lanczos_upscale(planes, scale)[:, scale // 2 :: scale, scale // 2 :: scale]
        np.testing.assert_array_equal(middle, planes)


def test_the_filter_is_the_lanczos_filter_that_others_have() -> None:
    planes = noise(1, 24, 32) + 1.0
    source = OpenImageIO.ImageBuf(np.ascontiguousarray(planes[0][:, :, None]))
    target = OpenImageIO.ROI(0, 64, 0, 48, 0, 1, 0, 1)
    peer = OpenImageIO.ImageBufAlgo.resize(source, filtername="lanczos3", roi=target)
    expected = np.asarray(peer.get_pixels(OpenImageIO.FLOAT))[:, :, 0]
    result = lanczos_upscale(planes, 2)[0]
    np.testing.assert_allclose(result[8:-8, 8:-8], expected[8:-8, 8:-8], atol=0.03)
    assert np.abs(result[8:-8, 8:-8] - expected[8:-8, 8:-8]).mean() < 5e-3


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 7), (1, 2, 2), (2, 5, 1)])
def test_pictures_smaller_than_the_filter_are_enlarged(shape: tuple[int, int, int]) -> None:
    planes = noise(*shape)
    result = lanczos_upscale(planes, 4)
    assert result.shape == (shape[0], shape[1] * 4, shape[2] * 4)
    assert np.isfinite(result).all()
    if shape == (1, 1, 1):
        np.testing.assert_allclose(result, planes[0, 0, 0], rtol=5e-7)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.integers(1, 90), st.integers(1, 40), st.data())
def test_a_tile_read_with_its_surroundings_has_the_very_bits_of_the_whole(
    scale: int, height: int, width: int, data: st.DataObject
) -> None:
    planes = noise(2, height, width) * 100 - 50
    planes[:, :: max(1, height // 3), :: max(1, width // 2)] = np.nan
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    top, left = max(0, y0 - READ_RADIUS_PX), max(0, x0 - READ_RADIUS_PX)
    read = planes[:, top : y1 + READ_RADIUS_PX, left : x1 + READ_RADIUS_PX]
    tile = lanczos_upscale(np.ascontiguousarray(read), scale)
    tile = tile[
        :, (y0 - top) * scale : (y1 - top) * scale, (x0 - left) * scale : (x1 - left) * scale
    ]
    whole = lanczos_upscale(planes, scale)
    expected = whole[:, y0 * scale : y1 * scale, x0 * scale : x1 * scale]
    np.testing.assert_array_equal(tile, expected)


@pytest.mark.parametrize("dark", [0.0, 0.001, 0.1])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_edge_of_light_gets_no_ring_and_no_negative(dark: float, scale: int) -> None:
    planes = np.full((1, 16, 16), dark, np.float32)
    planes[:, :, 8:] = 1.0
    planes[:, 4, 3] = 1.0
    result = lanczos_upscale(planes, scale)
    assert result.min() >= 0.74 * dark
    assert result.max() <= 1.0 + 0.26 * dark


def test_an_edge_between_middle_tones_keeps_its_overshoot() -> None:
    planes = np.full((1, 16, 16), 0.4, np.float32)
    planes[:, :, 8:] = 0.6
    result = lanczos_upscale(planes, 2)
    assert result.min() < 0.39
    assert result.max() > 0.61


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38])
@pytest.mark.parametrize("scale", [2, 3])
def test_what_is_not_finite_fills_its_own_block_and_reaches_no_other(
    value: float, scale: int
) -> None:
    planes = np.full((2, 12, 12), 0.5, np.float32)
    for y, x in ((5, 5), (5, 6), (0, 0), (11, 3)):
        planes[0, y, x] = value
    result = lanczos_upscale(planes, scale)
    is_held = np.repeat(np.repeat(planes != 0.5, scale, 1), scale, 2)
    np.testing.assert_array_equal(result[is_held], np.float32(value))
    np.testing.assert_allclose(result[~is_held], 0.5, rtol=5e-7)


def test_a_picture_of_nothing_but_nan_stays_so() -> None:
    assert np.isnan(lanczos_upscale(np.full((3, 4, 4), np.nan, np.float32), 2)).all()


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.uint32, (1, 6, 7), elements=st.integers(0, 2**32 - 1)), st.integers(1, 3))
def test_any_bits_are_enlarged_and_finite_stays_finite(
    bits: npt.NDArray[np.uint32], scale: int
) -> None:
    planes = bits.view(np.float32)
    result = lanczos_upscale(planes, scale)
    is_finite = np.repeat(np.repeat(np.isfinite(planes), scale, 1), scale, 2)
    np.testing.assert_array_equal(np.isfinite(result), is_finite)


def test_scale_1_returns_the_same_planes() -> None:
    planes = noise(3, 4, 4)
    assert lanczos_upscale(planes, 1) is planes


@pytest.mark.parametrize(
    ("planes", "scale"),
    [
        (np.zeros((4, 4), np.float32), 2),
        (np.zeros((3, 4, 4), np.float64), 2),
        (np.zeros((3, 0, 4), np.float32), 2),
        (np.zeros((3, 4, 4), np.float32), 0),
        (np.zeros((3, 4, 4), np.float32), -2),
    ],
)
def test_other_planes_and_scales_are_refused(planes: Planes, scale: int) -> None:
    with pytest.raises(ImageError):
        lanczos_upscale(planes, scale)


# --- which channels -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("R", "G", "B", "A", "Y", "r", "left.R", "diffuse.G", "diffuse.red", "specular.blue"),
        *("left.diffuse.B", "matte.A", "mask.R", "mask.alpha", "AR", "solid.R", "grid.B"),
        *("emission02.R", "fluid_mask.A", "valid.G", "nightlight.R", "stage.R"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_light_is_filtered(name: str, dtype: npt.DTypeLike) -> None:
    assert is_filtered(name, one_channel(name, dtype))


@pytest.mark.parametrize(
    "name",
    [
        *("Z", "ZBack", "depth.Z", "depth.R", "depth.Y", "left.depth.Z", "Depth01.R", "deep.A"),
        *("P.X", "P.Y", "P.R", "Position.R", "world_position.G", "N.Y", "normals.B", "Pref.R"),
        *("forward.u", "backward.v", "motion.R", "motion_vectors.G", "motionVector.B", "uv.R"),
        *("id", "ID", "id.R", "objectID.R", "object_id.G", "materialId.R", "matid.B", "idMask.R"),
        *("mask_id01.R", "left.instanceID.A", "uCryptoMaterial_cryptomatte00.R"),
        *("crypto_object00.R", "CryptoAsset_cryptomatte.A", "cryptomatte.R", "unheard.of"),
    ],
)
def test_measures_names_and_what_is_not_known_are_not_filtered(name: str) -> None:
    assert not is_filtered(name, one_channel(name, np.float32))


def test_whole_numbers_are_never_filtered() -> None:
    assert not is_filtered("R", one_channel("R", np.uint32))


@pytest.mark.parametrize("part_name", ["depth", "objectID", "crypto_material", "N"])
def test_the_name_of_a_part_tells_what_its_channels_are(part_name: str) -> None:
    assert not is_filtered("R", one_channel("R", np.float32, part_name))
    assert is_filtered("R", one_channel("R", np.float32, "rgba.beauty"))


def test_a_y_beside_an_x_is_a_coordinate_and_alone_it_is_luminance() -> None:
    window = Box.from_size(1, 1)
    pixel: Channel = np.zeros((1, 1), np.float32)
    vectors = Part({"refraction.X": pixel, "refraction.Y": pixel}, window, window)
    assert not is_filtered("refraction.Y", vectors)
    assert is_filtered("refraction.Y", one_channel("refraction.Y", np.float32))


# --- pictures -------------------------------------------------------------------------------


def picture() -> Image:
    """Return two parts: color with auxiliaries and overscan, and a part of cryptomatte and AOV."""
    rng = np.random.default_rng(3)
    data, display = Box(-3, 2, 9, 11), Box(0, 0, 8, 10)
    shape = (data.height, data.width)

    def plane() -> Planes:
        return rng.normal(0, 1, shape).astype(np.float32)

    first = Part(
        {
            **{name: plane() for name in ("R", "G", "B", "A", "depth.Z", "forward.u", "N.X")},
            "spec.R": plane().astype(np.float16),
            "id": rng.integers(0, 2**32, shape, np.uint32),
        },
        data,
        display,
        {"owner": "show"},
        pixel_aspect=2.0,
    )
    small = Box(1, 1, 4, 3)
    second = Part(
        {"faces00.R": noise(2, 3), "faces00.A": noise(2, 3), "facesheet.R": noise(2, 3)},
        small,
        display,
        {"cryptomatte/1a2b3c4/name": "faces", "cryptomatte/1a2b3c4/hash": "MurmurHash3_32"},
        name="extra",
    )
    return Image((first, second), colorspace="ACEScg", is_premultiplied=False)


def enlarged(image: Image, scale: int) -> tuple[Layer, tuple[Planes, Planes, Planes], Image]:
    layer = image.find_layer()
    height, width = (scale * size for size in image.part.channels["R"].shape)
    red, green, blue = noise(3, height, width)
    return layer, (red, green, blue), scaled_image(image, layer, (red, green, blue), scale=scale)


@pytest.mark.parametrize("scale", [2, 4])
def test_every_window_of_every_part_is_multiplied_exactly(scale: int) -> None:
    image = picture()
    result = enlarged(image, scale)[2]
    for before, after in zip(image.parts, result.parts, strict=True):
        assert after.data_window == before.data_window.scaled(scale)
        assert after.display_window == before.display_window.scaled(scale)
        assert after.attributes == before.attributes
        assert (after.name, after.pixel_aspect) == (before.name, before.pixel_aspect)
        assert list(after.channels) == list(before.channels)
        for name, pixels in before.channels.items():
            assert after.channels[name].dtype == pixels.dtype
    assert (result.colorspace, result.is_premultiplied) == ("ACEScg", False)


@pytest.mark.parametrize("scale", [2, 3])
def test_the_layer_takes_the_new_color_and_alpha_is_filtered(scale: int) -> None:
    image = picture()
    _, color, result = enlarged(image, scale)
    for name, plane in zip("RGB", color, strict=True):
        assert result.part.channels[name] is plane
    alpha = np.asarray(image.part.channels["A"], np.float32)
    np.testing.assert_array_equal(result.part.channels["A"], lanczos_upscale(alpha[None], scale)[0])


@pytest.mark.parametrize("scale", [2, 3])
def test_identifiers_depth_vectors_and_cryptomattes_are_repeated_bit_for_bit(scale: int) -> None:
    image = picture()
    result = enlarged(image, scale)[2]
    repeated = [(0, name) for name in ("depth.Z", "forward.u", "N.X", "id")]
    for index, name in [*repeated, (1, "faces00.R"), (1, "faces00.A")]:
        source, target = image.parts[index].channels[name], result.parts[index].channels[name]
        for dy in range(scale):
            for dx in range(scale):
                np.testing.assert_array_equal(target[dy::scale, dx::scale], source)


def test_motion_vectors_keep_their_values_and_a_note_says_in_which_pixels() -> None:
    image = replace(picture(), notes=("a note of the reader",))
    result = enlarged(image, 4)[2]
    assert result.notes[0] == "a note of the reader"
    assert "vectors of forward are" in result.notes[1]
    assert "multiply them by 4" in result.notes[1]
    still = Image.from_channels({name: noise(4, 4) for name in "RGB"})
    assert enlarged(still, 2)[2].notes == ()
    assert enlarged(image, 1)[2].notes == image.notes


def test_a_layer_whose_name_only_begins_like_a_cryptomatte_is_color() -> None:
    image = picture()
    result = enlarged(image, 2)[2].parts[1].channels["facesheet.R"]
    source = np.asarray(image.parts[1].channels["facesheet.R"], np.float32)
    np.testing.assert_array_equal(result, lanczos_upscale(source[None], 2)[0])


def test_a_half_layer_is_filtered_in_float_and_stays_half() -> None:
    image = picture()
    result = enlarged(image, 2)[2].part.channels["spec.R"]
    source = np.asarray(image.part.channels["spec.R"], np.float32)
    expected = lanczos_upscale(source[None], 2)[0].astype(np.float16)
    np.testing.assert_array_equal(result, expected)
    means = block_mean(np.asarray(result, np.float32)[None], 2)[0]
    assert np.corrcoef(means.ravel(), source.ravel())[0, 1] > 0.95


def test_an_overshoot_of_the_largest_half_makes_no_inf_and_inf_stays() -> None:
    aov = np.zeros((8, 8), np.float16)
    aov[:, 4:] = 65504
    aov[0, 0], aov[7, 7] = np.nan, np.inf
    aov[7, 0] = -np.inf
    plate = noise(8, 8)
    image = Image.from_channels({"R": plate, "G": plate, "B": plate, "spec.R": aov})
    result = enlarged(image, 2)[2].part.channels["spec.R"]
    finite = np.repeat(np.repeat(np.isfinite(aov), 2, 0), 2, 1)
    np.testing.assert_array_equal(np.isfinite(result), finite)
    assert (result[:2, :2] != result[:2, :2]).all()
    assert (result[-2:, -2:] == np.inf).all()
    assert (result[-2:, :2] == -np.inf).all()


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint16, (5, 4), elements=st.integers(0, 2**16 - 1)))
def test_any_half_bits_are_enlarged_without_a_new_inf_or_nan(bits: npt.NDArray[np.uint16]) -> None:
    aov = bits.view(np.float16)
    plate = noise(5, 4)
    image = Image.from_channels({"R": plate, "G": plate, "B": plate, "spec.R": aov})
    result = enlarged(image, 3)[2].part.channels["spec.R"]
    finite = np.repeat(np.repeat(np.isfinite(aov), 3, 0), 3, 1)
    np.testing.assert_array_equal(np.isfinite(result), finite)


def test_the_base_layers_color_is_filtered_when_another_layer_is_enlarged() -> None:
    plate = noise(6, 6)
    names = ("R", "G", "B", "left.R", "left.G", "left.B", "left.A")
    image = Image.from_channels(dict.fromkeys(names, plate))
    layer = image.find_layer("left")
    red, green, blue = noise(3, 12, 12)
    result = scaled_image(image, layer, (red, green, blue), scale=2)
    assert result.part.channels["left.G"] is green
    for name in ("R", "left.A"):
        np.testing.assert_array_equal(
            result.part.channels[name], lanczos_upscale(plate[None], 2)[0]
        )


def test_scale_1_shares_everything_but_the_new_color() -> None:
    image = picture()
    _, color, result = enlarged(image, 1)
    assert result.parts[1] is image.parts[1]
    assert result.part.channels["R"] is color[0]
    assert result.part.channels["A"] is image.part.channels["A"]


def test_color_of_another_size_and_scales_below_1_are_refused() -> None:
    image = picture()
    layer = image.find_layer()
    plate: Channel = np.zeros((4, 4), np.float32)
    for scale in (2, 0, -1):
        with pytest.raises(ImageError):
            scaled_image(image, layer, (plate, plate, plate), scale=scale)
