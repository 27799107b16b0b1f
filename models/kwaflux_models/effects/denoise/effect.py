"""Run the denoiser on a tile: neighbors merged in, the rest cleaned, levels kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.effects.degradation_level import judged, judgment_of
from kwaflux_models.effects.denoise.merge import merge
from kwaflux_models.effects.denoise.network import DenoiseNetwork
from kwaflux_models.effects.level_keeping import keep_levels
from kwaflux_models.effects.restorer_network import load_weights
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value

__all__ = ["EFFECT", "Denoise"]

_NOTHING, _PLENTY = 0.002, 0.010
"""Standard deviations of the noise, working curve, that are beyond doubt. Of most clean and lightly
compressed pictures nothing is; of those with a sensor's noise under a codec mostly 0.008 and more.
Gravel, lawn and the like are taken for noise all the same."""
_EQUIVALENT = 1.0
"""The level at which the network does best on a sensor's noise, as a part of its deviation."""


class Denoise:
    """Remove noise: the picture plus ``strength`` times the network's residual."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, ready to infer."""
        return load_weights(DenoiseNetwork(), weights[0])

    def measure(
        self, network: nn.Module, samples: Samples, values: Mapping[str, Value]
    ) -> Measured:
        """Judge the noise of the frame, unless the person said it."""
        if float(values["noise"]) > 0.0:
            return Measured()
        found = judged(cast(DenoiseNetwork, network), samples, nothing=_NOTHING, plenty=_PLENTY)
        return Measured({"noise": round(found.level, 4)}, data=found)

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the correction in the working curve, (1, 3, H, W); None if there is no noise."""
        found = judgment_of(pictures.measured, float(values["noise"]))
        strengths = (float(values["luma"]), float(values["chroma"]))
        if found.share == 0.0 or strengths == (0.0, 0.0):
            return None
        picture = pictures.picture
        sigma = picture.new_full((1, 1, *picture.shape[2:]), found.level)
        neighbors = _neighbors(pictures) if values["temporal"] else None
        merged, left = picture, sigma
        if neighbors is not None:
            both = merge(picture, neighbors, sigma)
            merged, left = both.picture, both.noise.to(sigma.dtype) * sigma
        cleaned = merged + cast(DenoiseNetwork, network)(merged, _EQUIVALENT * left)
        change = keep_levels(picture, cleaned) - picture
        return _split(change, *strengths) * (float(values["strength"]) * found.share)


def _neighbors(pictures: TileInput) -> Tensor | None:
    """Return the neighbors' tiles, (N, 3, H, W), or None if there are none.

    A frame that stands in for one that is not there, mirrored at a clip's end, tells nothing new
    and is left out.
    """
    seen = {pictures.frame}
    found = []
    for index, number in enumerate(pictures.frames):
        if index != pictures.center and number not in seen:
            seen.add(number)
            found.append(pictures.tiles[index])
    return torch.cat(found) if found else None


def _split(change: Tensor, luma: float, chroma: float) -> Tensor:
    """Scale the part of a correction that changes luma, and the rest, each by its own factor."""
    if luma == chroma:
        return change * luma
    weights = change.new_tensor(REC709_LUMA).reshape(1, 3, 1, 1)
    gray = (change * weights).sum(dim=1, keepdim=True)
    return chroma * change + (luma - chroma) * gray


EFFECT = Denoise()
