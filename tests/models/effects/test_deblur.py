"""Deblur: the person says how soft; the estimate is shown, and refuses only when confident."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.deblur.effect import EFFECT
from kwaflux_models.effects.deblur.network import SIGMA_UNIT_PX, DeblurNetwork
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


@pytest.mark.parametrize("softness_px", [0.8, 1.0, 2.0])
def test_a_soft_frame_is_sharpened_by_the_effects_own_judgment(softness_px: float) -> None:
    found = measured(softness_px, doubt_px=0.1, told_px=0.0)
    assert found.decision == f"softness {softness_px:.2g} px: sharpened"


def test_the_default_is_the_effects_own_judgment() -> None:
    assert Registry.discover().cards["deblur"].param("softness").default == 0.0
