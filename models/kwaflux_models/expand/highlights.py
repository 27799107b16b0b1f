"""Judge from its neighbors how bright a clipped pixel was.

Owns the judgement, 0..1 of the peak for each channel. Must not know curves, params or tiles.

Of what could be seen around clipped pixels of real high dynamic range pictures, three things told
something of the light that was lost, in this order: how many channels are clipped (one alone is
just over, three are far over), how dark the unclipped surroundings are (a window in a room is
brighter than the sky over a field), and how deep in the clipped area the pixel lies. The numbers
were fitted to five environment maps and checked on three others; more than these three did not
carry over from one picture to another.

Light does not jump where a picture does not: at the edge of an area that brightened slowly until
it was clipped the rise begins at nothing and grows with the depth, while a lamp before a dark wall
rises at once. All of it is made of soft masks and their means over squares, so that it changes
smoothly with the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_models.expand.curve import smooth_step

__all__ = ["REACH_PX", "share_of_peak"]

_SIDES_PX = (4, 16, 64)
"""Sides of the squares that depth is judged with; each is averaged over twice."""
_EDGE_SIDE_PX = 16
"""Side of the square whose darkness tells a lamp's edge from a sky's."""
REACH_PX = 64
"""At least as far as any pixel lies that has a say."""

_ONE_CHANNEL, _TWO_CHANNELS = 0.14, 0.36
"""Share of the peak, in stops, where one channel is clipped, and where two are."""
_LEAST_WHITE, _BY_CONTRAST = 0.65, 0.35
"""The same deep in white: in surroundings as bright as the clip, and what darkness adds."""
_SHARP_STOPS = 2.0
"""So far must the surroundings of an edge lie below the clip to make it a lamp's."""
_SHARP_SHARE = 0.85
"""What is there at once at a lamp's edge; the rest comes with the depth, which rounds the top."""
_DARKEST_STOPS = 7.0
_USUAL_STOPS = 4.0
"""How far the surroundings usually lie below the clip: taken where none are in reach."""
_USUAL_WEIGHT = 0.02


def share_of_peak(value: Tensor) -> Tensor:
    """Return (1, 3, H, W): how much of the peak, in stops, white rises in each channel; 0..1.

    Args:
        value: (1, 3, H, W) float32, scene-linear over the clip point.
    """
    least = value.amin(dim=1, keepdim=True)
    seen = torch.cat([value, least], dim=1)
    clipped = smooth_step((seen - 0.9) * 10.0)
    contrast = _stops_below(seen, clipped, _EDGE_SIDE_PX)
    sharp = _SHARP_SHARE * smooth_step(contrast / _SHARP_STOPS)
    height = clipped * (sharp + (1.0 - sharp) * _depth(clipped))
    channels, white = height[:, :3], height[:, 3:]
    second = ((channels.mean(dim=1, keepdim=True) - 1 / 3) * 1.5).clamp(0.0, 1.0)
    partly = _ONE_CHANNEL + (_TWO_CHANNELS - _ONE_CHANNEL) * second
    darkness = _stops_below(value.amax(dim=1, keepdim=True), clipped[:, 3:], _SIDES_PX[-1])
    wholly = _LEAST_WHITE + _BY_CONTRAST * darkness / _DARKEST_STOPS
    return channels * partly + white * (wholly - _TWO_CHANNELS)


def _depth(mask: Tensor) -> Tensor:
    """Return how deep in a mask each pixel lies: 0 at a straight edge, 1 far inside."""
    inside = [(2.0 * _mean(mask, side_px) - 1.0).clamp_(min=0.0) for side_px in _SIDES_PX]
    return torch.stack(inside).mean(dim=0)


def _stops_below(value: Tensor, clipped: Tensor, side_px: int) -> Tensor:
    """Return how far below the clip the unclipped surroundings lie on average, in stops."""
    outside = 1.0 - clipped
    stops = -torch.log2(value.clamp(2.0**-_DARKEST_STOPS, 1.0))
    weight = _mean(outside, side_px) + _USUAL_WEIGHT
    return (_mean(outside * stops, side_px) + _USUAL_WEIGHT * _USUAL_STOPS) / weight


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
