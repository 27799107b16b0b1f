"""A picture led from display codes to light, and back."""

from __future__ import annotations

import numpy as np
import pytest

from kwaflux_core.color.config import SRGB_ENCODED, ColorConfig
from kwaflux_core.errors import UnknownColorspace
from kwaflux_core.images.color_conversion import recolored
from kwaflux_core.images.image import SCENE_LINEAR, Image

CONFIG = ColorConfig.default()


def picture(value: float, alpha: float | None = None, **kind: object) -> Image:
    channels = {name: np.full((4, 5), value, np.float32) for name in "RGB"}
    if alpha is not None:
        channels["A"] = np.full((4, 5), alpha, np.float32)
    return Image.from_channels(channels, **kind)  # type: ignore[arg-type]


def test_a_gray_code_becomes_the_light_of_the_srgb_curve_and_comes_back() -> None:
    image = picture(0.5, colorspace=SRGB_ENCODED)
    light = recolored(image, image.find_layer(), SCENE_LINEAR, config=CONFIG)
    # IEC 61966-2-1: ((0.5 + 0.055) / 1.055) ** 2.4; gray is gray in every primaries.
    np.testing.assert_allclose(light.part.channels["G"], 0.21404114, rtol=1e-5)
    assert light.colorspace == SCENE_LINEAR
    back = recolored(light, light.find_layer(), SRGB_ENCODED, config=CONFIG)
    np.testing.assert_allclose(back.part.channels["R"], 0.5, atol=1e-5)
    assert back.colorspace == CONFIG.resolve(SRGB_ENCODED)


def test_straight_alpha_becomes_premultiplied_light() -> None:
    image = picture(1.0, alpha=0.25, colorspace=SRGB_ENCODED, is_premultiplied=False)
    light = recolored(image, image.find_layer(), SCENE_LINEAR, config=CONFIG)
    np.testing.assert_allclose(light.part.channels["R"], 0.25, rtol=1e-5)
    assert light.is_premultiplied
    assert (light.part.channels["A"] == 0.25).all()


def test_premultiplied_color_is_divided_for_the_curve_and_multiplied_again() -> None:
    image = picture(0.25, alpha=0.25)
    codes = recolored(image, image.find_layer(), SRGB_ENCODED, config=CONFIG)
    np.testing.assert_allclose(codes.part.channels["R"], 0.25, rtol=1e-5)


def test_color_under_no_alpha_stays_finite() -> None:
    image = picture(0.0, alpha=0.0)
    codes = recolored(image, image.find_layer(), SRGB_ENCODED, config=CONFIG)
    assert np.isfinite(codes.part.channels["R"]).all()


def test_the_picture_that_was_given_is_not_changed() -> None:
    image = picture(0.5, colorspace=SRGB_ENCODED)
    recolored(image, image.find_layer(), SCENE_LINEAR, config=CONFIG)
    assert (image.part.channels["R"] == 0.5).all()


def test_an_unknown_colorspace_is_refused() -> None:
    image = picture(0.5)
    with pytest.raises(UnknownColorspace):
        recolored(image, image.find_layer(), "sRGBB", config=CONFIG)
