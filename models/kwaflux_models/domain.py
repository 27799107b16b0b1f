"""Convert scene-linear values to the curve that networks work in, and back.

Owns the one working curve of the shipped networks. Knows torch and nothing else of ours.

The curve is ``sign(x) * log1p(64 |x|) / log1p(64)``: 0 stays 0 and 1 becomes 1, it is odd below 0
and goes on above 1, and it never clamps. The 64 and the shape were chosen by measurement over all
finite half-precision values and up to 2**30 in float32: of seven curves this one had the least
round-trip error (5e-7 relative up to 2**16, 1e-6 up to 2**30), kept negatives symmetric, and maps
+-65504 to +-3.65 (in these units), which half precision carries with room to spare. ACEScct, LogC4
and PQ lose small or negative values or leave the range of half.

No curve is exact to the bit in float32, so what must not change is not sent through it: a residual
r is applied as ``x + (decode(encode(x) + r) - decode(encode(x)))``, which is x where r is 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["STEEPNESS", "decode", "encode"]

STEEPNESS = 64.0
"""Slope against the asymptote: the curve is nearly straight below 1/64, logarithmic above."""

_SCALE = math.log1p(STEEPNESS)


def encode(x: Tensor) -> Tensor:
    """Map scene-linear values to the working curve.

    Args:
        x: Any shape, floating point, scene-linear with Rec.709 primaries; any finite value.
            Infinity stays infinity and NaN stays NaN: hold them out before.

    Returns:
        The same shape and type; 0 -> 0, 0.18 -> 0.605, 1 -> 1, 8 -> 1.495, -1 -> -1.
    """
    return torch.sign(x) * torch.log1p(STEEPNESS * x.abs()) / _SCALE


def decode(c: Tensor) -> Tensor:
    """Map working-curve values back to scene-linear; the inverse of `encode`.

    Args:
        c: Any shape, floating point, working curve. The result overflows float32 above about 20.

    Returns:
        The same shape and type, scene-linear with Rec.709 primaries.
    """
    return torch.sign(c) * torch.expm1(c.abs() * _SCALE) / STEEPNESS
