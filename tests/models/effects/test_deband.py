"""Deband: steps become gradients, and nothing else moves."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.color.display_curves import display_decode, display_encode
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.deband.coding import CODES, Coding
from kwaflux_models.effects.deband.effect import EFFECT
from kwaflux_models.effects.deband.gradients import MAX_RADIUS_PX, REACH_PX, contour_correction
from kwaflux_models.evaluation.metrics.contours import (
    contour_reduction,
    false_contour_energy,
    smooth_areas,
)
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import TileInput, no_network
from kwaflux_models.training.degradations.codec_roundtrip import Encode, round_trip

CARD = Registry.discover().cards["deband"]
DEFAULTS = {param.name: param.default for param in CARD.params}
Array = npt.NDArray[np.float32]


def debanded(code: Array, **values: str | float) -> Array:
    """Run the effect at strength 1 on an (H, W, 3) picture of the sRGB code."""
    linear = torch.from_numpy(display_decode(code, "srgb").transpose(2, 0, 1).copy())[None]
    pictures = TileInput(partial(_alone, working_curves.encode(linear)), center=0)
    with torch.inference_mode():
        residual = EFFECT.residual(no_network(), pictures, {**DEFAULTS, **values})
    if residual is None:
        return code
    moved = linear + (working_curves.decode(working_curves.encode(linear) + residual) - linear)
    shown = display_encode(moved[0].permute(1, 2, 0).numpy(), "srgb")
    is_kept = residual[0].permute(1, 2, 0).numpy() == 0
    return np.where(is_kept, code, shown).astype(np.float32)


def _alone(tile: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (tile,)


def rounded(code: Array, bits: int) -> Array:
    return np.asarray(np.rint(code * (2**bits - 1)) / (2**bits - 1), dtype=np.float32)


def sky(height: int = 128, width: int = 192) -> Array:
    """Return a glow over a horizon: gradients of all slopes, a little different in each color."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    glow = np.exp(-((x - 110) ** 2 + (y - 170) ** 2) / (2 * 120**2))
    return np.stack([0.3 + 0.4 * glow, 0.35 + 0.3 * glow, 0.5 + 0.15 * glow], -1)


def psnr(picture: Array, reference: Array) -> float:
    return float(-10 * np.log10(np.mean(np.square(picture - reference))))


@pytest.mark.parametrize("bits", [6, 7, 8, 10])
def test_seven_tenths_of_the_false_contours_go(bits: int) -> None:
    reference = sky() if bits < 10 else 0.4 + 0.1 * (sky() - 0.3)
    banded = rounded(reference.astype(np.float32), bits)
    after = debanded(banded, bits=bits)
    step = 1 / (2**bits - 1)
    assert contour_reduction(banded, after, reference.astype(np.float32), step=step) > 0.7
    assert psnr(after, reference) > psnr(banded, reference) + 3


@pytest.mark.parametrize("width_px", [4, 10, 25, 60])
def test_a_ramp_comes_back_whatever_the_width_of_its_steps(width_px: int) -> None:
    x = np.arange(320, dtype=np.float32) / width_px / 255 + 0.3
    reference = np.broadcast_to(x[None, :, None], (140, 320, 3)).astype(np.float32)
    banded = rounded(reference, 8)
    after = debanded(banded)
    inner = np.s_[:, 64:-64]
    reduction = contour_reduction(banded[inner], after[inner], reference[inner], step=1 / 255)
    assert reduction > 0.95


@settings(deadline=None, max_examples=8)
@given(
    seed=st.integers(0, 1000),
    threshold=st.floats(0.1, 1.0),
    radius=st.integers(4, MAX_RADIUS_PX),
    noise=st.sampled_from([0.0, 0.15, 0.4]),
)
def test_no_pixel_moves_farther_than_the_threshold(
    seed: int, threshold: float, radius: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    plane = np.add.outer(np.arange(80) / rng.uniform(2, 40), np.arange(90) / rng.uniform(2, 40))
    plane[:, 40:] += rng.integers(-30, 30)
    codes = torch.from_numpy(np.rint(plane + rng.normal(0, noise, plane.shape))).float()[None, None]
    moved = contour_correction(codes, radius_px=radius, threshold=threshold)
    assert moved is None or float(moved.abs().max()) <= threshold + 1e-6


def test_an_edge_between_two_gradients_stays_where_it_is() -> None:
    reference = sky()
    reference[:, 100:] -= 0.2
    banded = rounded(reference, 8)
    after = debanded(banded)
    beside = np.s_[:, 96:104]
    assert np.abs(after - banded).max() <= 0.5 / 255 + 1e-5
    assert psnr(after[beside], reference[beside]) > psnr(banded[beside], reference[beside]) - 0.1


def test_noise_and_grain_keep_their_bits() -> None:
    rng = np.random.default_rng(2)
    for level in (1.0, 2.0, 5.0):
        noisy = rounded(sky() + rng.normal(0, level / 255, (128, 192, 3)).astype(np.float32), 8)
        assert np.mean(debanded(noisy) != noisy) < 0.001


def test_a_float_gradient_and_float_noise_keep_their_bits() -> None:
    rng = np.random.default_rng(3)
    assert (debanded(sky()) == sky()).all()
    faint = (sky() + rng.normal(0, 0.05 / 255, (128, 192, 3))).astype(np.float32)
    assert (debanded(faint) == faint).all()


def test_texture_keeps_its_bits() -> None:
    y, x = np.mgrid[0:160, 0:200].astype(np.float32)
    cloth = np.repeat((0.4 + 0.1 * np.sin(x * 1.3) * np.cos(y * 0.9))[..., None], 3, -1)
    banded = rounded(cloth.astype(np.float32), 8)
    assert (debanded(banded) == banded).all()


def test_flat_patches_beside_each_other_keep_their_means() -> None:
    flat = np.full((128, 192, 3), 100 / 255, np.float32)
    flat[:, 96:] = 101 / 255
    after = debanded(flat)
    assert (after != flat).any()
    assert after[:, :30].mean() == pytest.approx(100 / 255, rel=1e-4)
    assert after.mean() == pytest.approx(flat.mean(), rel=1e-5)


def test_a_video_codec_s_bands_go_in_the_code_that_it_rounded() -> None:
    reference = sky()
    coded = round_trip(np.stack([reference] * 2), Encode("h264", 16, preset="fast"))[1]
    after = debanded(coded, sampling="ycbcr")
    assert contour_reduction(coded, after, reference, step=1 / 219) > 0.5
    assert psnr(after, reference) > psnr(coded, reference) + 1


def test_half_the_strength_is_half_the_way() -> None:
    banded = rounded(sky(), 8)
    full, half = debanded(banded), debanded(banded, strength=0.5)
    assert np.abs((half - banded) - 0.5 * (full - banded)).max() < 2e-5


def test_nothing_that_a_tile_needs_lies_outside_its_halo() -> None:
    assert CARD.halo_px >= REACH_PX
    plane = torch.from_numpy(np.rint(np.add.outer(np.arange(300) / 9, np.arange(420) / 31)))
    codes = plane.float()[None, None]
    whole = contour_correction(codes, radius_px=MAX_RADIUS_PX, threshold=0.5, spacing_px=4)
    shifted = contour_correction(
        codes[..., 20:290, 30:], radius_px=MAX_RADIUS_PX, threshold=0.5, spacing_px=4
    )
    assert whole is not None
    assert shifted is not None
    inner = whole[..., 20 + REACH_PX : 290 - REACH_PX, 30 + REACH_PX : 420 - REACH_PX]
    again = shifted[..., REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]
    assert torch.allclose(inner, again, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", sorted(CODES))
@pytest.mark.parametrize("is_ycbcr", [False, True])
def test_codes_come_back_to_light(name: str, is_ycbcr: bool) -> None:
    linear = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1)) * 1.3 - 0.1
    coding = Coding(name, 8, is_ycbcr=is_ycbcr)
    back = coding.from_steps(coding.to_steps(linear))
    assert torch.allclose(back, linear, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "colorspace"),
    [
        ("srgb", "sRGB Encoded Rec.709 (sRGB)"),
        ("gamma22", "Gamma 2.2 Encoded Rec.709"),
        ("gamma24", "Gamma 2.4 Encoded Rec.709"),
        ("slog3", "S-Log3 S-Gamut3"),
        ("slog3_cine", "S-Log3 S-Gamut3.Cine"),
        ("logc3", "ARRI LogC3 (EI800)"),
        ("vlog", "V-Log V-Gamut"),
    ],
)
def test_codes_are_those_of_opencolorio(name: str, colorspace: str) -> None:
    rng = np.random.default_rng(4)
    planes = rng.uniform(0.0, 0.9, (3, 8, 8)).astype(np.float32)
    ours = Coding(name, 8).to_steps(torch.from_numpy(planes.copy())[None])[0] / 255
    config = ColorConfig.load(environ={})
    config.converter("Linear Rec.709 (sRGB)", colorspace).apply(planes)
    assert np.abs(ours.numpy() - planes).max() < 2e-4


def test_false_contours_are_measured_where_the_reference_is_smooth_alone() -> None:
    reference = sky()
    assert false_contour_energy(reference, reference, step=1 / 255) == 0.0
    banded = rounded(reference, 8)
    energy = false_contour_energy(banded, reference, step=1 / 255)
    assert energy > 0.5
    steep = reference.copy()
    steep[:, ::2] += 0.2
    assert not smooth_areas(steep, step=1 / 255).any()
    assert false_contour_energy(rounded(steep, 8), steep, step=1 / 255) == 0.0


def test_a_blurred_contour_still_counts() -> None:
    x = np.arange(256, dtype=np.float32)[None, :, None] / 25 / 255
    reference = np.broadcast_to(x, (64, 256, 1)).astype(np.float32)
    banded = rounded(reference, 8)
    blurred = np.mean([np.roll(banded, by, axis=1) for by in (-1, 0, 1)], axis=0)
    inner = np.s_[:, 8:-8]
    before, after = (
        false_contour_energy(each[inner], reference[inner], step=1 / 255)
        for each in (banded, blurred)
    )
    assert 0.6 * before < after < before
