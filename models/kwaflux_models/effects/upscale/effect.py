"""Add to a Lanczos enlargement what the network predicts, and clean it as far as is wanted.

Four times is twice two times: the second enlargement finds a picture that is clean already.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from kwaflux_models.effects.restorer_network import load_weights
from kwaflux_models.effects.upscale.network import SCALE, UpscaleNetwork, enlarged
from kwaflux_models.rendering.effect_api import TileInput, Value, as_scalar

__all__ = ["EFFECT", "Upscale"]


class Upscale:
    """Enlarge: Lanczos, plus detail, plus ``denoise`` times what cleans it."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, ready to infer."""
        return load_weights(UpscaleNetwork(), weights[0])

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return what is added to the enlargement, (1, 3, H * scale, W * scale)."""
        strength = float(values["strength"])
        if strength == 0.0:
            return None
        picture, scale = pictures.picture, int(values["scale"])
        one = cast(UpscaleNetwork, network)
        detail = as_scalar(float(values["detail"]), like=picture)
        lacking, unclean = one(picture, detail)
        change = cast(Tensor, lacking + unclean * float(values["denoise"]))
        if scale == SCALE:
            return change * strength
        middle = enlarged(picture) + change
        further, _ = one(middle, detail)
        large = enlarged(middle) + cast(Tensor, further)
        return (large - enlarged(picture, scale=scale)) * strength


EFFECT = Upscale()
