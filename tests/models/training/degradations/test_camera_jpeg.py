"""Camera JPEGs: noise that is smoothed, chroma most, and film grain of a size."""

from __future__ import annotations

import numpy as np
import pytest

from kwaflux_models.training.degradations.camera_jpeg import Camera, draw_camera
from kwaflux_models.training.degradations.codec_roundtrip import Encode
from kwaflux_models.training.degradations.film_grain import film_grain

SIDE = 96


def noisy(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.5 + 0.05 * rng.standard_normal((SIDE, SIDE, 3))).astype(np.float32)


def alike(plane: np.ndarray) -> float:
    """Return the correlation of neighbors in a row."""
    plane = plane - plane.mean()
    return float((plane[:, 1:] * plane[:, :-1]).mean() / plane.var())


def test_a_camera_smooths_chroma_more_than_luma() -> None:
    camera = Camera(luma_px=0.5, chroma_px=1.5, sharpen=0.3, jpeg=Encode("jpeg", 90))
    made = camera.smoothed(noisy())
    luma = made @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    assert alike(made[..., 2] - luma) > alike(luma) + 0.3
    assert made.mean() == pytest.approx(0.5, abs=0.005)


def test_a_camera_that_does_nothing_changes_nothing_but_the_jpeg() -> None:
    camera = Camera(luma_px=0.0, chroma_px=0.0, sharpen=0.0, jpeg=Encode("jpeg", 98))
    picture = noisy()
    np.testing.assert_allclose(camera.smoothed(picture), picture, atol=1e-5)
    made = camera.apply(picture[None])
    assert made.shape == (1, SIDE, SIDE, 3)
    assert 0.0 <= made.min() <= made.max() <= 1.0


@pytest.mark.parametrize("seed", range(6))
def test_a_drawn_camera_gives_a_jpeg_of_75_to_98(seed: int) -> None:
    camera = draw_camera(np.random.default_rng(seed))
    assert 75 <= camera.jpeg.quality <= 98
    assert camera.chroma_px > camera.luma_px


@pytest.mark.parametrize("size_px", [1.0, 1.5, 2.5])
def test_grain_has_the_size_and_the_strength_it_is_given(size_px: float) -> None:
    rng = np.random.default_rng(1)
    flat = np.full((256, 256, 3), 0.5, np.float32)
    grain = film_grain(flat, rng, sigma=0.04, size_px=size_px) - flat
    assert grain.std() == pytest.approx(0.04, rel=0.05)
    spectrum = np.abs(np.fft.fft2(grain[..., 1])) ** 2
    size = float(np.sqrt((spectrum**2).mean() / 2.0) / spectrum.mean())
    assert size == pytest.approx(size_px, rel=0.15)


def test_grain_is_weakest_at_black_and_white() -> None:
    ramp = np.tile(np.linspace(0.0, 1.0, 512, dtype=np.float32)[None, :, None], (64, 1, 3))
    grain = film_grain(ramp, np.random.default_rng(2), sigma=0.04, size_px=1.3) - ramp
    black, middle = grain[:, :32].std(), grain[:, 240:272].std()
    assert black < 0.6 * middle
