"""Merge the neighbors of a frame into it, as far as they show the same thing.

A mean of independent noises has less noise, by a known factor. So the network that cleans the mean
sees one picture, with the strength of the noise that is left at each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["REACH_PX", "Merged", "merge"]

REACH_PX = 3
"""How far around a pixel its neighbor is compared."""

_TOLERANCE = 1.15
"""The mean squared difference may be this much more than the noise explains."""
_SLOPE = 4.0
"""How fast a neighbor's weight falls with what the noise does not explain."""
_INTERPOLATED = 0.8
"""Part of a neighbor's variance that is left after it was interpolated between pixels."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Hold a frame with its neighbors merged in.

    Args:
        picture: (1, 3, H, W), working curve.
        noise: (1, 1, H, W): which part of the noise's standard deviation is left, 0..1.
    """

    picture: Tensor
    noise: Tensor


def merge(picture: Tensor, neighbors: Tensor, sigma: Tensor) -> Merged:
    """Return the weighted mean of a frame and its neighbors.

    A neighbor's weight is ``exp(-4 max(0, d / (2 sigma^2) - 1.15))``, with ``d`` the mean squared
    difference to the frame over 7 x 7 pixels. Two frames with independent noise differ by
    2 sigma^2; where they differ by more, they show different things. Where they differ by less,
    they have noise in common (a codec repeats it), which the mean does not remove.

    Args:
        picture: (1, 3, H, W), working curve.
        neighbors: (N, 3, H, W), in their places.
        sigma: (1, 1, H, W) or (1, 1, 1, 1): standard deviation of the noise, above 0.
    """
    variance = sigma.float().square().clamp_min(1e-10)
    difference = (neighbors - picture).float()
    side = 2 * REACH_PX + 1
    squares = difference.square().mean(dim=1, keepdim=True)
    apart = F.avg_pool2d(squares, side, 1, REACH_PX, count_include_pad=False)
    weights = torch.exp(-_SLOPE * F.relu(apart / (2.0 * variance) - _TOLERANCE))
    total = 1.0 + weights.sum(dim=0, keepdim=True)
    merged = picture + ((weights * difference).sum(dim=0, keepdim=True) / total).to(picture.dtype)
    own = (apart / (2.0 * variance)).clamp_max(1.0)
    independent = (weights * own).sum(dim=0, keepdim=True) / (total - 1.0 + 1e-6)
    squared = 1.0 + _INTERPOLATED * weights.square().sum(dim=0, keepdim=True)
    left = 1.0 - independent * (1.0 - squared / total.square())
    return Merged(merged, left.clamp_min(0.0).sqrt())
