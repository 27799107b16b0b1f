"""Run the deblurring network on a tile, told how soft the frame is; refuse what is too soft."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from kwaflux_models.effects.deblur.network import SIGMA_UNIT_PX, DeblurNetwork
from kwaflux_models.effects.degradation_level import Judgment, judged, judgment_of, levels
from kwaflux_models.effects.restorer_network import load_weights
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value

__all__ = ["EFFECT", "Deblur"]

_SHARP_PX, _SOFT_PX = 0.5, 1.0
"""Softness that is beyond doubt, from nothing done to everything. What is soft by nature, as clouds
are, is taken for soft focus all the same."""
_BEYOND_PX = 2.4
"""Softer than this, detail is gone; what a network draws in its place is invented."""


class Deblur:
    """Sharpen: the picture plus ``strength`` times the network's residual."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, ready to infer."""
        return load_weights(DeblurNetwork(), weights[0])

    def measure(
        self, network: nn.Module, samples: Samples, values: Mapping[str, Value]
    ) -> Measured:
        """Judge how soft the frame is and show it; refuse what is too soft beyond doubt."""
        found = judged(
            cast(DeblurNetwork, network),
            samples,
            nothing=_SHARP_PX / SIGMA_UNIT_PX,
            plenty=_SOFT_PX / SIGMA_UNIT_PX,
        )
        softness_px = found.level * SIGMA_UNIT_PX
        refusal = ""
        if found.beyond_doubt * SIGMA_UNIT_PX > _BEYOND_PX:
            found = Judgment(found.level, 0.0)
            refusal = (
                f"beyond what can be recovered: the picture is soft by {softness_px:.1f} px "
                f"(standard deviation), {_BEYOND_PX:g} px is the limit"
            )
        name = "softness_judged" if float(values["softness"]) > 0.0 else "softness"
        return Measured({name: round(softness_px, 3)}, refusal, found)

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the correction in the working curve, (1, 3, H, W); None if nothing is done."""
        found = judgment_of(pictures.measured, float(values["softness"]) / SIGMA_UNIT_PX)
        if found.share == 0.0:
            return None
        picture = pictures.picture
        told = levels(found, values, like=picture)
        change = cast(DeblurNetwork, network)(picture, told)
        return cast(Tensor, change * (float(values["strength"]) * found.share))


EFFECT = Deblur()
