"""Run the denoise network on a tile and scale its correction by the user's strength."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from kwaflux_models.denoise.network import DenoiseNetwork, load
from kwaflux_models.effect import Pictures, Value, as_scalar

__all__ = ["EFFECT", "Denoise"]

_UNKNOWN_NOISE = -1.0
"""What the network was trained to read as: judge the noise yourself."""


class Denoise:
    """Remove noise: the picture plus ``strength`` times the network's residual."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, ready to infer."""
        return load(weights[0])

    def residual(
        self, network: nn.Module, pictures: Pictures, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the correction in the working curve, (1, 3, H, W)."""
        picture = pictures.picture
        told = float(values["noise"])
        noise = as_scalar(told if told > 0 else _UNKNOWN_NOISE, like=picture)
        residual = cast(DenoiseNetwork, network)(picture, noise)
        return cast(Tensor, residual * float(values["strength"]))


EFFECT = Denoise()
