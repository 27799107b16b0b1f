"""The denoiser on a tile: neighbors merged in, what is left cleaned, levels kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.effects.denoise.chroma_evidence import chroma_to_luma
from kwaflux_models.effects.denoise.merge import merge
from kwaflux_models.effects.denoise.network import DenoiseNetwork
from kwaflux_models.effects.denoise.temporal_noise import temporal_noise
from kwaflux_models.effects.level_guided_effect import (
    LevelEstimate,
    LevelGuidedEffect,
    smooth_step,
)
from kwaflux_models.effects.level_keeping import keep_levels
from kwaflux_models.rendering.effect_api import Samples, TileInput, Value

__all__ = ["EFFECT", "Denoise"]


_WHITE = 0.7
"""Deviation of a camera's noise, as a part of the level at which the network does best on it."""
_MARGIN = 1.15
"""How much the noise of a place may be above the frame's."""
_LEVEL_OF_DEVIATION = 3.0
"""The highest level that the network is told, in what changes from frame to frame."""
_QUIET, _NOISY = 0.005, 0.009
"""Deviations from frame to frame, working curve: up to the first a clip has no noise, from the
second on it has. On the validation clips 16 of 100 noisy ones are missed by it and 1 of 10 clean
ones is touched; by the probe's confident level alone, which a frame without neighbors has, 25."""
_TEXTURE, _COLORED = 0.09, 0.15
"""Fine chroma in fine luma: up to the first it is texture, from the second on it may be noise. On
validation pictures 21 of 24 noisy camera JPEGs have more than the second, of films, dark scenes and
sensors all 68, of sensors' noise under a codec 16 of 21; textures of stone and grass have less than
the first."""


class Denoise(LevelGuidedEffect):
    """Remove noise: the picture plus ``strength`` times the correction."""

    def estimate(self, network: nn.Module, samples: Samples) -> LevelEstimate:
        """Estimate the noise by the probe, and whether there is any by the neighbors."""
        alone = super().estimate(network, samples)
        if samples.neighbors is None:
            color = chroma_to_luma(samples.pictures)
            if color is None:
                return alone
            return replace(alone, share=alone.share * smooth_step(color, _TEXTURE, _COLORED))
        deviation = temporal_noise(samples.sources, samples.neighbors)
        level = min(alone.level, _LEVEL_OF_DEVIATION * deviation)
        share = smooth_step(deviation, _QUIET, _NOISY) * smooth_step(alone.level, 0.002, 0.006)
        return replace(alone, level=level, share=share, deviation=deviation)

    def in_words(self, level: float) -> str:
        """Return a level with the display codes of 8 bits that it is."""
        return f"{level:.2g} ({255.0 * level:.0f} of 255)"

    def correction(
        self,
        network: nn.Module,
        pictures: TileInput,
        estimate: LevelEstimate,
        values: Mapping[str, Value],
    ) -> Tensor | None:
        """Return the correction of luma and chroma, each by its own strength."""
        strengths = (float(values["luma"]), float(values["chroma"]))
        if strengths == (0.0, 0.0):
            return None
        picture = pictures.picture
        merged, noise = picture, picture.new_full((1, 1, *picture.shape[2:]), estimate.level)
        if values["temporal"] and (neighbors := _neighbors(pictures)) is not None:
            deviation = min(estimate.deviation or _WHITE * estimate.level, estimate.level)
            both = merge(picture, neighbors, picture.new_full((1, 1, 1, 1), _MARGIN * deviation))
            merged, noise = both.picture, noise * both.noise.to(noise.dtype)
        cleaned = merged + cast(DenoiseNetwork, network)(merged, noise)
        return _split(keep_levels(picture, cleaned) - picture, *strengths)


def _neighbors(pictures: TileInput) -> Tensor | None:
    """Return the neighbors' tiles, (N, 3, H, W), or None if there are none.

    A frame that stands in for one that is not there, mirrored at a clip's end, tells nothing new
    and is left out.
    """
    seen = {pictures.frame}
    neighbors = []
    for index, number in enumerate(pictures.frames):
        if index != pictures.center and number not in seen:
            seen.add(number)
            neighbors.append(pictures.tiles[index])
    return torch.cat(neighbors) if neighbors else None


def _split(change: Tensor, luma: float, chroma: float) -> Tensor:
    """Scale the part of a correction that changes luma, and the rest, each by its own factor."""
    if luma == chroma:
        return change * luma
    weights = change.new_tensor(REC709_LUMA).reshape(1, 3, 1, 1)
    gray = (change * weights).sum(dim=1, keepdim=True)
    return chroma * change + (luma - chroma) * gray


# Levels, working curve. On validation pictures the confident level of 94 of 96 clean and lightly
# coded ones is below 0.001, and 0.0045 at most; it is above 0.001 in 23 of 24 of a camera's JPEGs
# with noise, 24 of 24 of dark scenes, 22 of 23 of a sensor's noise, 16 of 21 of film grain, and 11
# of 21 of a sensor's noise under a codec at the bitrates of footage.
EFFECT = Denoise(
    new_network=DenoiseNetwork,
    level_param="noise",
    fade_from=0.002,
    fade_to=0.007,
    what="noise",
    done="removed",
)
