"""Add to a Lanczos enlargement what the network predicts, and clean it as far as is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from kwaflux_models.body import load_weights
from kwaflux_models.effect import Pictures, Value, as_scalar
from kwaflux_models.upscale.network import UpscaleNetwork

__all__ = ["EFFECT", "Upscale"]

_SCALES = (2, 4)


class Upscale:
    """Enlarge: Lanczos, plus detail, plus ``denoise`` times what cleans it."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return a network for each scale, ready to infer."""
        networks = {
            str(scale): load_weights(UpscaleNetwork(scale), path)
            for scale, path in zip(_SCALES, weights, strict=True)
        }
        return nn.ModuleDict(networks)

    def residual(
        self, network: nn.Module, pictures: Pictures, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return what is added to the enlargement, (1, 3, H * scale, W * scale)."""
        strength = float(values["strength"])
        if strength == 0.0:
            return None
        one = cast(UpscaleNetwork, cast(nn.ModuleDict, network)[str(int(values["scale"]))])
        picture = pictures.picture
        lacking, unclean = one(picture, as_scalar(float(values["detail"]), like=picture))
        return cast(Tensor, (lacking + unclean * float(values["denoise"])) * strength)


EFFECT = Upscale()
