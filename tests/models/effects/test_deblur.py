"""Deblur: the person says how soft; the estimate is shown, and refuses only when confident."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.deblur.effect import EFFECT, SoftnessEstimate
from kwaflux_models.effects.deblur.network import SIGMA_UNIT_PX, DeblurNetwork
from kwaflux_models.effects.deblur.richardson_lucy import REACH_PX, calm_noise, deconvolved
from kwaflux_models.effects.level_probe import LevelProbe, ProbeOutput
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput


class Judge(LevelProbe):
    """A probe that says what it was told to say."""

    def __init__(self, softness_px: float, *, doubt_px: float) -> None:
        super().__init__()
        self.said = nn.Parameter(torch.tensor([softness_px, doubt_px]) / SIGMA_UNIT_PX)

    def forward(self, samples: torch.Tensor) -> ProbeOutput:
        level, doubt = self.said.detach().expand(samples.shape[0], 2).unbind(dim=1)
        return ProbeOutput(level, doubt)


def measured(softness_px: float, *, doubt_px: float = 0.05, told_px: float = 1.0) -> Measured:
    network = DeblurNetwork()
    network.probe = Judge(softness_px, doubt_px=doubt_px)
    torch.manual_seed(0)
    pictures = torch.rand(3, 3, 128, 128)
    values = {"softness": told_px, "strength": 1.0, "detail": 0.3}
    return EFFECT.measure(network, Samples(pictures, pictures), values)


@pytest.mark.parametrize("told_px", [0.0, 1.0])
def test_what_is_surely_too_soft_is_refused_with_the_number(told_px: float) -> None:
    found = measured(3.2, told_px=told_px)
    assert "beyond what can be recovered" in found.refusal
    assert "3.2 px" in found.refusal


def test_a_doubtful_estimate_refuses_nothing() -> None:
    assert measured(3.2, doubt_px=0.6).refusal == ""


def test_the_estimate_is_shown_in_pixels() -> None:
    assert measured(1.5, told_px=0.0).shown == {"softness": 1.5}
    assert measured(1.5, told_px=1.0).shown == {"softness_judged": 1.5}


def test_a_sharp_frame_is_left_alone_where_the_effect_judges_by_itself() -> None:
    pictures = TileInput(
        lambda: (torch.rand(1, 3, 64, 64),), center=0, measured=measured(0.25, told_px=0.0)
    )
    values = {"softness": 0.0, "strength": 1.0, "detail": 0.3}
    assert EFFECT.residual(DeblurNetwork(), pictures, values) is None


@pytest.mark.parametrize("softness_px", [1.7, 2.0])
def test_a_soft_frame_is_sharpened_by_the_effects_own_judgment(softness_px: float) -> None:
    found = measured(softness_px, doubt_px=0.1, told_px=0.0)
    assert found.decision == f"softness {softness_px:.2g} px: sharpened"


def test_the_default_is_the_effects_own_judgment() -> None:
    assert Registry.discover().cards["deblur"].param("softness").default == 0.0


# --- deconvolution --------------------------------------------------------------------------


def soft_pair(sigma_px: float, *, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return a sharp and a soft picture, scene-linear, (1, 3, 192, 192)."""
    sharp = (
        skimage.data.astronaut()[  # type: ignore[no-untyped-call]
            64:256, 96:288
        ].astype(np.float32)
        / 255.0
    )
    light = np.maximum(sharp**2.2, 1e-4)
    soft = gaussian_filter(light, (sigma_px, sigma_px, 0.0))
    soft = soft + noise * np.random.default_rng(1).standard_normal(soft.shape) * np.sqrt(soft)
    pair = (
        np.ascontiguousarray(each.transpose(2, 0, 1)[None], np.float32) for each in (light, soft)
    )
    first, second = (torch.from_numpy(each) for each in pair)
    return first, second


def psnr(picture: Tensor, wanted: Tensor) -> float:
    inner = (..., slice(24, -24), slice(24, -24))
    codes = [each.clamp(0.0, 1.0).pow(1.0 / 2.2)[inner] for each in (picture, wanted)]
    return float(-10.0 * torch.log10((codes[0] - codes[1]).square().mean()))


@pytest.mark.parametrize("sigma_px", [1.0, 2.0])
def test_a_deconvolved_picture_is_better_than_an_unsharp_mask(sigma_px: float) -> None:
    sharp, soft = soft_pair(sigma_px)
    found = psnr(deconvolved(soft, sigma_px), sharp)
    code = soft.clamp(0.0, 1.0).pow(1.0 / 2.2)
    smooth = torch.from_numpy(gaussian_filter(code.numpy(), (0, 0, 1.5, 1.5)))
    masks = [
        psnr((code + a * (code - smooth)).clamp(0.0, 1.0).pow(2.2), sharp) for a in (0.5, 1, 2)
    ]
    assert found > max(masks) + 0.5
    assert found > psnr(soft, sharp) + 3.0


def test_light_is_kept_and_stays_above_black() -> None:
    _, soft = soft_pair(1.5)
    soft[..., 90:94, 90:94] = 40.0
    found = deconvolved(soft, 1.5)
    assert float(found.min()) > 0.0
    assert float(found.mean()) == pytest.approx(float(soft.mean()), rel=5e-3)


def test_a_tile_is_deconvolved_as_in_the_frame() -> None:
    _, soft = soft_pair(2.4)
    whole = deconvolved(soft, 2.4)
    part = deconvolved(soft[..., 20:180, 20:180], 2.4)
    inner = slice(REACH_PX, -REACH_PX)
    wanted = whole[..., 20:180, 20:180][..., inner, inner]
    torch.testing.assert_close(part[..., inner, inner], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("noise", [0.004, 0.02])
def test_the_noise_of_a_soft_picture_is_measured(noise: float) -> None:
    _, soft = soft_pair(1.5)
    code = soft.pow(1.0 / 2.2)
    noisy = code + noise * torch.randn(code.shape, generator=torch.Generator().manual_seed(1))
    assert calm_noise(noisy) == pytest.approx(noise, rel=0.25)
    assert calm_noise(code) < 0.003


def test_noise_has_the_network_sharpen() -> None:
    quiet, noisy = (SoftnessEstimate(0.3, 1.0, 0.3, noise=noise) for noise in (0.0, 0.05))
    network = DeblurNetwork().eval()
    values = {"softness": 0.0, "strength": 1.0, "detail": 0.0}
    _, soft = soft_pair(1.2)
    tile = soft.pow(1.0 / 2.2)

    def change(estimate: SoftnessEstimate) -> Tensor:
        pictures = TileInput(lambda: (tile,), center=0, measured=Measured(data=estimate))
        with torch.inference_mode():
            found = EFFECT.residual(network, pictures, values)
        assert found is not None
        return found

    assert float(change(quiet).abs().max()) > 0.05
    assert float(change(noisy).abs().max()) == 0.0  # a new network's answer
