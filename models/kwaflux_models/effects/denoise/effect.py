"""The denoiser on a tile with its aligned neighbors, guided by how strong the noise is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.effects.denoise.motion import ALIGN_PX, RADIUS_PX, align
from kwaflux_models.effects.denoise.network import ABSENT, DenoiseNetwork
from kwaflux_models.effects.level_guided_effect import LevelGuidedEffect
from kwaflux_models.effects.restorer_network import Restorer
from kwaflux_models.rendering.effect_api import TileInput, Value

__all__ = ["EFFECT", "Denoise"]

_NETWORK_HALO_PX = -(-DenoiseNetwork.RADIUS_PX // ALIGN_PX) * ALIGN_PX
_MOTION_HALO_PX = -(-RADIUS_PX // ALIGN_PX) * ALIGN_PX
_HALO_PX = _NETWORK_HALO_PX + _MOTION_HALO_PX


class Denoise(LevelGuidedEffect):
    """Remove noise: the picture plus ``strength`` times the network's correction."""

    def correction(
        self, network: Restorer, pictures: TileInput, levels: Tensor, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the correction of luma and chroma, each by its own strength."""
        strengths = (float(values["luma"]), float(values["chroma"]))
        if strengths == (0.0, 0.0):
            return None
        picture = pictures.picture
        planes = _neighbors(pictures) if values["temporal"] else None
        margin = _margin(picture)
        change = network(
            _inner(picture, margin), levels, None if planes is None else _inner(planes, margin)
        )
        return F.pad(_split(change, *strengths), (margin,) * 4)


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
    return _MOTION_HALO_PX if smallest > 2 * _HALO_PX else 0


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


# Standard deviations of the noise, working curve. The confident level of most clean and lightly
# compressed pictures is 0; of those with a sensor's noise under a codec it is mostly 0.008 and
# more. Gravel, lawn and the like are taken for noise all the same.
EFFECT = Denoise(new_network=DenoiseNetwork, level_param="noise", fade_from=0.002, fade_to=0.010)
