"""Sharpening a tile, guided by how soft and how noisy the frame is; too soft is refused."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from kwaflux_core.flows.card import Curve
from kwaflux_models.effects.deblur.network import SIGMA_UNIT_PX, DeblurNetwork
from kwaflux_models.effects.deblur.richardson_lucy import calm_noise, deconvolved
from kwaflux_models.effects.level_guided_effect import (
    LevelEstimate,
    LevelGuidedEffect,
    smooth_step,
)
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value

__all__ = ["EFFECT", "Deblur", "SoftnessEstimate"]

_CURVE: Curve = "extended_srgb"
_REFUSED_PX = 2.4
"""Softer than this, detail is gone; what a network draws in its place is invented."""
_SURE_PX = 1.0
"""A softness is sure whose confident value is not lower by more than this."""


_CLEAN, _NOISY = 0.003, 0.008
"""Noise up to which the picture is deconvolved, and from which on the network sharpens it. On ten
validation pictures, told the width of a Gaussian of 1 to 2 px, deconvolution is 1.4 to 3.1 dB above
the network without noise, 0.4 to 0.9 behind a JPEG of quality 90, 0.4 above at noise of 0.01 and up
to 0.4 below at 0.02; of disks 0.4 to 1.7 above, level behind a JPEG, 0.3 to 0.5 below with noise.
"""
_WIDER = 1.1
"""The point spread is taken for wider than judged: a disk is more than a Gaussian in its middle."""


@dataclass(frozen=True, slots=True)
class SoftnessEstimate(LevelEstimate):
    """How soft a frame is, and how noisy.

    Attributes:
        noise: Standard deviation of the noise, working curve.
    """

    noise: float = 0.0


class Deblur(LevelGuidedEffect):
    """Sharpen: deconvolve what has no noise, and let the network sharpen what has."""

    def estimate(self, network: nn.Module, samples: Samples) -> LevelEstimate:
        """Estimate softness by the probe, and noise in calm places."""
        found = super().estimate(network, samples)
        noise = calm_noise(samples.pictures)
        return SoftnessEstimate(found.level, found.share, found.confident_level, noise=noise)

    def estimate_type(self) -> type[LevelEstimate]:
        """Return the class of the effect's estimates."""
        return SoftnessEstimate

    def median(self, estimates: Sequence[LevelEstimate]) -> LevelEstimate:
        """Return each number's median."""
        base = super().median(estimates)
        noise = statistics.median(map(_noise_of, estimates))
        return SoftnessEstimate(base.level, base.share, base.confident_level, noise=noise)

    def correction(
        self,
        network: nn.Module,
        pictures: TileInput,
        estimate: LevelEstimate,
        values: Mapping[str, Value],
    ) -> Tensor | None:
        """Return the correction: of the deconvolution, of the network, or between them."""
        measured = pictures.measured
        noise = _noise_of(measured.data if measured is not None else None)
        by_network = smooth_step(noise, _CLEAN, _NOISY)
        picture = pictures.picture
        change = torch.zeros_like(picture)
        if by_network > 0.0:
            sharpened = super().correction(network, pictures, estimate, values)
            change = change if sharpened is None else by_network * sharpened
        if by_network < 1.0:
            light = working_curves.decode(picture.float().contiguous(), _CURVE)
            sharp = deconvolved(light, _WIDER * estimate.level * SIGMA_UNIT_PX)
            sharp = torch.where(light > 0.0, sharp, light)
            gained = working_curves.encode(sharp, _CURVE).to(picture.dtype) - picture
            change = change + (1.0 - by_network) * gained
        return change

    def judges(self, values: Mapping[str, Value]) -> bool:
        """Return True: what is too soft is refused, whatever a person set."""
        return True

    def measured(self, estimate: LevelEstimate, values: Mapping[str, Value]) -> Measured:
        """Return an estimate with what is shown of it; refuse what is surely too soft."""
        softness_px = estimate.level * SIGMA_UNIT_PX
        is_told = float(values["softness"]) > 0.0
        refusal = ""
        doubt_px = softness_px - estimate.confident_level * SIGMA_UNIT_PX
        if softness_px > _REFUSED_PX and doubt_px < _SURE_PX:
            estimate = replace(estimate, share=0.0)
            refusal = (
                f"beyond what can be recovered: the picture is soft by {softness_px:.1f} px "
                f"(standard deviation), {_REFUSED_PX:g} px is the limit"
            )
        name = "softness_judged" if is_told else "softness"
        decision = "" if is_told or refusal else self.decision(estimate)
        return Measured({name: round(softness_px, 3)}, refusal, estimate, decision)

    def in_words(self, level: float) -> str:
        """Return the softness in pixels."""
        return f"{level:.2g} px"


def _noise_of(estimate: object) -> float:
    return estimate.noise if isinstance(estimate, SoftnessEstimate) else 0.0


# Careful: whole pictures are soft by nature in places. The confident softness of 11 of 12
# validation pictures is below 0.1 px, of one 1.3; behind a Gaussian of 1 px it is 0.3 to 0.9, of
# 1.5 px 0.7 to 1.4. On the test pictures a judgment obeyed from 0.4 px on lost more than it gained.
EFFECT = Deblur(
    new_network=DeblurNetwork,
    level_param="softness",
    fade_from=1.0,
    fade_to=1.4,
    unit=SIGMA_UNIT_PX,
    what="softness",
    done="sharpened",
)
