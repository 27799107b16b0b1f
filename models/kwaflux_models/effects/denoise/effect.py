"""Run the denoiser on a tile: neighbors brought into place, told how strong the noise is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.effects.degradation_level import judged, judgment_of, levels
from kwaflux_models.effects.denoise.motion import ALIGN_PX, RADIUS_PX, align
from kwaflux_models.effects.denoise.network import ABSENT, DenoiseNetwork
from kwaflux_models.effects.restorer_network import load_weights
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value

__all__ = ["EFFECT", "Denoise"]

_NOTHING, _PLENTY = 0.002, 0.010
"""Standard deviations of the noise, working curve, that are beyond doubt. Of most clean and lightly
compressed pictures nothing is; of those with a sensor's noise under a codec mostly 0.008 and more.
Gravel, lawn and the like are taken for noise all the same."""
_NETWORK_HALO_PX = -(-DenoiseNetwork.RADIUS_PX // ALIGN_PX) * ALIGN_PX
_MOTION_HALO_PX = -(-RADIUS_PX // ALIGN_PX) * ALIGN_PX


class Denoise:
    """Remove noise: the picture plus ``strength`` times the network's residual."""

    HALO_PX = _NETWORK_HALO_PX + _MOTION_HALO_PX

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
        planes = _neighbors(pictures) if values["temporal"] else None
        margin = _margin(picture)
        told = levels(found, values, like=picture)
        change = cast(DenoiseNetwork, network)(
            _inner(picture, margin), told, None if planes is None else _inner(planes, margin)
        )
        change = _split(change, *strengths) * (float(values["strength"]) * found.share)
        return F.pad(change, (margin,) * 4)


def _neighbors(pictures: TileInput) -> Tensor | None:
    """Return the planes the network is given of its neighbors, or None if there are none.

    A frame that stands in for one that is not there, mirrored at a clip's end, tells nothing new
    and is given as absent.
    """
    picture, seen = pictures.picture, {pictures.frame}
    places: dict[int, Tensor] = {}
    for index, (number, tile) in enumerate(zip(pictures.frames, pictures.tiles, strict=True)):
        if index != pictures.center and number not in seen:
            seen.add(number)
            places[index] = tile
    if not places:
        return None
    aligned = align(picture, torch.cat(list(places.values())))
    found = torch.cat([aligned.picture - picture, aligned.mismatch], dim=1)
    planes = [torch.cat([torch.zeros_like(picture), torch.full_like(picture[:, :1], ABSENT)], 1)]
    planes *= len(pictures.tiles)
    for at, index in enumerate(places):
        planes[index] = found[at : at + 1]
    return torch.cat(planes[: pictures.center] + planes[pictures.center + 1 :], dim=1)


def _margin(picture: Tensor) -> int:
    """Return how much of a tile only the motion search needs; 0 for one without a halo."""
    smallest = min(picture.shape[2:])
    return _MOTION_HALO_PX if smallest > 2 * Denoise.HALO_PX else 0


def _inner(tensor: Tensor, margin: int) -> Tensor:
    if not margin:
        return tensor
    return tensor[..., margin:-margin, margin:-margin]


def _split(change: Tensor, luma: float, chroma: float) -> Tensor:
    """Scale the part of a correction that changes luma, and the rest, each by its own factor."""
    if luma == chroma:
        return change * luma
    weights = change.new_tensor(REC709_LUMA).reshape(1, 3, 1, 1)
    gray = (change * weights).sum(dim=1, keepdim=True)
    return chroma * change + (luma - chroma) * gray


EFFECT = Denoise()
