"""The measures of the published table have the values that their definitions give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from kwaflux_models.evaluation.metrics.display_values import shown
from kwaflux_models.evaluation.metrics.flicker import flicker, ghost
from kwaflux_models.evaluation.metrics.picture_scores import gmsd, score, texture_ratio
from kwaflux_models.evaluation.metrics.psnr_ssim import PSNR_CAP_DB, ms_ssim, psnr_db, ssim

Array = NDArray[np.float32]


def lively(seed: int = 1, side: int = 192) -> Array:
    """Noise of every coarseness, strong, around 0.5."""
    rng = np.random.default_rng(seed)
    total = np.zeros((side, side))
    for coarse in (1, 3, 8, 20):
        layer = gaussian_filter(rng.standard_normal((side, side)), coarse, mode="wrap")
        total += layer / layer.std()
    gray = 0.5 + 0.09 * total
    return np.repeat(np.clip(gray, 0.05, 0.95)[..., None], 3, axis=2).astype(np.float32)


def test_the_clean_picture_itself_has_the_best_of_every_score() -> None:
    clean = lively()
    scores = score(clean, clean)
    assert scores.psnr == PSNR_CAP_DB
    assert scores.ssim == pytest.approx(1.0)
    assert scores.ms_ssim == pytest.approx(1.0)
    assert scores.gmsd == pytest.approx(0.0, abs=1e-9)
    assert scores.texture == pytest.approx(1.0)


@pytest.mark.parametrize(("error", "expected"), [(0.1, 20.0), (0.01, 40.0), (1e-6, PSNR_CAP_DB)])
def test_psnr_is_that_of_the_mean_squared_error(error: float, expected: float) -> None:
    clean = np.full((32, 32, 3), 0.4, np.float32)
    assert psnr_db(clean + np.float32(error), clean) == pytest.approx(expected, abs=0.01)


def test_less_contrast_lowers_ms_ssim_as_its_formula_says() -> None:
    clean = lively()
    flat = (0.5 + 0.5 * (clean - 0.5)).astype(np.float32)
    # Each scale's contrast term is 2a / (1 + a^2) with a = 0.5, but for the constants.
    assert ms_ssim(flat, clean) == pytest.approx(0.8, abs=0.02)


def test_ms_ssim_refuses_a_picture_without_five_scales() -> None:
    with pytest.raises(ValueError, match="too few"):
        ms_ssim(lively(side=128), lively(side=128))


def test_gmsd_does_not_see_a_shift_of_brightness() -> None:
    clean = lively() * np.float32(0.8)
    assert gmsd(clean + np.float32(0.1), clean) == pytest.approx(0.0, abs=1e-6)


def test_blur_and_noise_lower_every_score() -> None:
    clean = lively()
    rng = np.random.default_rng(2)
    noisy = np.clip(clean + 0.05 * rng.standard_normal(clean.shape), 0, 1).astype(np.float32)
    soft = gaussian_filter(clean, (1.0, 1.0, 0.0)).astype(np.float32)
    for picture in (noisy, soft):
        assert ssim(picture, clean) < 0.99
        assert ms_ssim(picture, clean) < 0.999
        assert gmsd(picture, clean) > 0.005
    assert texture_ratio(noisy, clean) > 1.05
    assert texture_ratio(soft, clean) < 0.5


@given(st.floats(0.2, 2.0))
@settings(max_examples=10, deadline=None)
def test_texture_goes_with_the_square_of_contrast(contrast: float) -> None:
    clean = lively()
    picture = (0.5 + contrast * (clean - 0.5)).astype(np.float32)
    assert texture_ratio(picture, clean) == pytest.approx(contrast**2, rel=1e-3)


def test_texture_of_a_flat_picture_is_not_a_number() -> None:
    flat = np.full((64, 64, 3), 0.3, np.float32)
    assert math.isnan(texture_ratio(flat, flat))


def test_an_error_that_stays_does_not_flicker_and_fresh_noise_does() -> None:
    rng = np.random.default_rng(3)
    clean = np.stack([np.roll(lively(), shift, axis=1) for shift in range(4)])
    still = clean + rng.normal(0.0, 0.05, clean.shape[1:]).astype(np.float32)
    assert flicker(still, clean) == pytest.approx(0.0, abs=1e-6)
    gray = rng.normal(0.0, 0.05, (*clean.shape[:3], 1)).astype(np.float32)
    assert flicker(clean + gray, clean) == pytest.approx(0.05 * math.sqrt(2.0), rel=0.02)


def test_the_ghost_is_the_share_of_the_other_shot() -> None:
    clean, other = lively(1), lively(2)
    blended = (0.9 * clean + 0.1 * other).astype(np.float32)
    assert ghost(blended, clean, other) == pytest.approx(0.1, abs=1e-4)
    assert ghost(clean, clean, other) == 0.0
    assert ghost(clean, clean, clean) == 0.0


def test_a_display_shows_mid_gray_and_clips_what_it_cannot() -> None:
    linear = np.array([-1.0, 0.0, 0.18, 1.0, 7.0], np.float32)
    assert shown(linear) == pytest.approx([0.0, 0.0, 0.4613, 1.0, 1.0], abs=1e-3)
