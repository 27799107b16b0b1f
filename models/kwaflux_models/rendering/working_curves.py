"""Working curves: conversion of scene-linear values to the curves that networks work in, and back.

Knows torch and the card's words.

``signed_log1p`` is ``sign(x) * log1p(64 |x|) / log1p(64)``: 0 stays 0 and 1 becomes 1, it is odd
below 0 and goes on above 1, and it never clamps. The 64 and the shape were chosen by measurement
over all finite half-precision values and up to 2**30 in float32: of seven curves this one had the
least round-trip error (5e-7 relative up to 2**16, 1e-6 up to 2**30), kept negatives symmetric, and
maps +-65504 to +-3.65 (in these units), which half precision carries with room to spare. ACEScct,
LogC4 and PQ lose small or negative values or leave the range of half.

``extended_srgb`` is the sRGB encoding (IEC 61966-2-1), carried on above 1, and below 0 straight on
with a slope of 2. Damage that was done to display-encoded values, a codec's steps above all, has
one size all over the picture in it, and so has the noise of a sensor, nearly. The noise that dips
below black is kept small there: at the encoding's own slope of 12.92 it would outweigh all other.
65504 becomes 107.

No curve is exact to the bit in float32, so what must not change is not sent through it: a residual
r is applied as ``x + (decode(encode(x) + r) - decode(encode(x)))``, which is x where r is 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kwaflux_core.flows.card import Curve
from kwaflux_models.rendering.display_curves_tensor import decode_srgb, encode_srgb, srgb_slope

__all__ = ["STEEPNESS", "decode", "decode_slope", "encode"]

STEEPNESS = 64.0
"""Slope against the asymptote: the curve is nearly straight below 1/64, logarithmic above."""

_SCALE = math.log1p(STEEPNESS)
_SLOPE_BELOW = 2.0


def encode(x: Tensor, curve: Curve = "signed_log1p") -> Tensor:
    """Map scene-linear values to a working curve.

    Args:
        x: Any shape, floating point, scene-linear with Rec.709 primaries; any finite value.
            Infinity stays infinity and NaN stays NaN: hold them out before.
        curve: Which; ``none`` returns ``x``.

    Returns:
        The same shape and type; 0 -> 0 and 1 -> 1; in ``signed_log1p`` 0.18 -> 0.605, 8 -> 1.495
        and -1 -> -1, in ``extended_srgb`` 0.461, 2.454 and -2.
    """
    if curve == "none":
        return x
    if curve == "signed_log1p":
        return torch.sign(x) * torch.log1p(STEEPNESS * x.abs()) / _SCALE
    return torch.where(x < 0.0, _SLOPE_BELOW * x, encode_srgb(x))


def decode(c: Tensor, curve: Curve = "signed_log1p") -> Tensor:
    """Map working-curve values back to scene-linear; the inverse of `encode`.

    Args:
        c: Any shape, floating point, working curve. In ``signed_log1p`` the result overflows
            float32 above about 20.
        curve: Which; ``none`` returns ``c``.

    Returns:
        The same shape and type, scene-linear with Rec.709 primaries.
    """
    if curve == "none":
        return c
    if curve == "signed_log1p":
        return torch.sign(c) * torch.expm1(c.abs() * _SCALE) / STEEPNESS
    return torch.where(c < 0.0, c / _SLOPE_BELOW, decode_srgb(c))


def decode_slope(c: Tensor, curve: Curve = "signed_log1p") -> Tensor:
    """Return the derivative of `decode` at working-curve values, above 0.

    Args:
        c: Any shape, floating point, working curve.
        curve: Which; ``none`` gives 1.
    """
    if curve == "none":
        return torch.ones_like(c)
    if curve == "signed_log1p":
        return torch.exp(c.abs() * _SCALE) * (_SCALE / STEEPNESS)
    return torch.where(c < 0.0, torch.full_like(c, 1.0 / _SLOPE_BELOW), srgb_slope(c))
