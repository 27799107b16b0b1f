"""Judge from its neighbors how bright a clipped pixel was.

Of what could be seen around clipped pixels of real high dynamic range pictures, three things told
something of the light that was lost, in this order: how many channels are clipped (one alone is
just over, three are far over), how dark the unclipped surroundings are (a window in a room is
brighter than the sky over a field), and how deep in the clipped area the pixel lies. The numbers
were fitted to five environment maps and checked on three others; more than these three did not
carry over from one picture to another.

Light does not jump where a picture does not: at the edge of an area that brightened slowly until it
was clipped the rise begins at nothing and grows with the depth, while a lamp before a dark wall
rises at once. All of it is made of soft masks and their means over squares, so that it changes
smoothly with the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_models.effects.expand.curve import smooth_step

__all__ = ["REACH_PX", "share_of_peak"]

_SIDES_PX = (16, 64)
"""Sides of the squares that depth is judged with; each is averaged over twice."""
_SIDE_SHARES = (0.5, 0.5)
"""What each of them says of the depth."""
_EDGE_SHARES = (1.0, 0.05)
"""Weights of near and far surroundings where a lamp's edge is told from a sky's: the far ones
speak where the near ones are out of reach."""
REACH_PX = 64
"""At least as far as any pixel lies that has a say."""

_ONE_CHANNEL, _TWO_CHANNELS = 0.14, 0.36
"""Share of the peak, in stops, where one channel is clipped, and where two are."""
_LEAST_WHITE, _BY_CONTRAST = 0.65, 0.35
"""The same deep in white: in surroundings as bright as the clip, and what darkness adds."""
_SHARP_STOPS = 1.0
"""So far must the surroundings of an edge lie below the clip to make it a lamp's."""
_SHARP_SHARE = 0.85
"""What is there at once at a lamp's edge; the rest comes with the depth, which rounds the top."""
_DARKEST_STOPS = 7.0
_USUAL_STOPS = 3.0
"""How far the surroundings usually lie below the clip: taken where none are in reach."""
_USUAL_WEIGHT = 0.03
"""How soon that is taken: where less than such a share of the surroundings is unclipped."""
_SOFT_WEIGHT = 0.002
"""The same for edges, which are taken for soft where nothing is in reach."""


def share_of_peak(value: Tensor) -> Tensor:
    """Return (1, 3, H, W): how much of the peak, in stops, white rises in each channel; 0..1.

    Args:
        value: (1, 3, H, W) float32, scene-linear over the clip point.
    """
    least = value.amin(dim=1, keepdim=True)
    seen = torch.cat([value, least], dim=1)
    clipped = smooth_step((seen - 0.9) * 10.0)
    contrast = _stops_below(
        seen, clipped, shares=_EDGE_SHARES, usual_stops=0.0, usual_weight=_SOFT_WEIGHT
    )
    sharp = _SHARP_SHARE * smooth_step(contrast / _SHARP_STOPS)
    height = clipped * (sharp + (1.0 - sharp) * _depth(clipped))
    channels, white = height[:, :3], height[:, 3:]
    second = ((channels.mean(dim=1, keepdim=True) - 1 / 3) * 1.5).clamp(0.0, 1.0)
    partly = _ONE_CHANNEL + (_TWO_CHANNELS - _ONE_CHANNEL) * second
    brightest = value.amax(dim=1, keepdim=True)
    darkness = _stops_below(
        brightest,
        clipped[:, 3:],
        shares=(0.0, 1.0),
        usual_stops=_USUAL_STOPS,
        usual_weight=_USUAL_WEIGHT,
    )
    wholly = _LEAST_WHITE + _BY_CONTRAST * darkness / _DARKEST_STOPS
    return channels * partly + white * (wholly - _TWO_CHANNELS)


def _depth(mask: Tensor) -> Tensor:
    """Return how deep in a mask each pixel lies: 0 at a straight edge, 1 far inside."""
    depth = torch.zeros_like(mask)
    for side_px, share in zip(_SIDES_PX, _SIDE_SHARES, strict=True):
        depth += share * (2.0 * _mean(mask, side_px) - 1.0).clamp_(min=0.0)
    return depth


def _stops_below(
    value: Tensor,
    clipped: Tensor,
    *,
    shares: tuple[float, float],
    usual_stops: float,
    usual_weight: float,
) -> Tensor:
    """Return how far below the clip the unclipped surroundings lie on average, in stops.

    Args:
        value: (1, C, H, W), over the clip point.
        clipped: How surely each value is clipped, 0..1.
        shares: The weights of the near and of the far surroundings (``_SIDES_PX``).
        usual_stops: What is returned where nothing in reach is unclipped.
        usual_weight: The weight of that beside the surroundings.
    """
    outside = 1.0 - clipped
    stops = outside * -torch.log2(value.clamp(2.0**-_DARKEST_STOPS, 1.0))
    weight = torch.full_like(value, usual_weight)
    total = torch.full_like(value, usual_weight * usual_stops)
    for side_px, share in zip(_SIDES_PX, shares, strict=True):
        if share > 0.0:
            weight += share * _mean(outside, side_px)
            total += share * _mean(stops, side_px)
    return total / weight


def _mean(planes: Tensor, side_px: int) -> Tensor:
    """Return the mean over a square, taken twice: a tent of 2 * side - 1 pixels, centered.

    ``side_px`` is a power of two.
    """
    total = F.pad(planes, (side_px - 1,) * 4, mode="replicate")
    for axis in (-1, -2):
        for _ in range(2):
            width = 1
            while width < side_px:
                length = total.shape[axis] - width
                total = total.narrow(axis, 0, length) + total.narrow(axis, width, length)
                width *= 2
    return total / float(side_px**4)
