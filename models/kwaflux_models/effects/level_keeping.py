"""Levels of light are kept, whatever a network did to the codes.

The mean of display codes is not the code of the mean light: a network that averages noisy codes
darkens shadows, the more the stronger the noise. The light that the noise of the removed strength
adds on average is added again. Where values are below black, of noise or of colors outside the
network's range, that is not enough: there, the mean light around each pixel is made the plate's.

Source: J. L. W. V. Jensen, "Sur les fonctions convexes", Acta Mathematica 1906; the mean over the
noise is a Gauss-Hermite quadrature of five nodes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_core.flows.card import Curve
from kwaflux_models.rendering.working_curves import decode, decode_slope, encode

__all__ = ["ALIGN_PX", "REACH_PX", "keep_levels"]

_CURVE: Curve = "extended_srgb"
ALIGN_PX = 4
"""Means are taken of blocks of this side; tiles begin where blocks do."""
_BOX = 3
"""Side, in blocks, of the box filter that is applied twice."""
REACH_PX = 2 * ALIGN_PX * (2 * (_BOX // 2) + 2)
"""How far around a pixel means are taken, one mean of another included."""
_NODES = ((1.3556262, 0.2220759), (2.8569700, 0.0112574))
"""Places, in standard deviations, and weights; those of the negative places are the same."""
_MIDDLE = 8.0 / 15.0
_REACHES_BLACK, _CLEAR_OF_BLACK = 3.0, 4.0
"""Codes, in deviations of the noise, from which on the noise does not reach below black."""
_NEGATIVE = 0.02
"""Part of the pixels below black that a place has whose noise is whole. Where noise was clipped at
black, the mean light is that of the clipping, and the network's answer is nearer to the truth."""


def keep_levels(picture: Tensor, cleaned: Tensor) -> Tensor:
    """Return a cleaned picture whose mean light is the picture's.

    Args:
        picture: (1, 3, H, W), working curve ``extended_srgb``; H and W multiples of `ALIGN_PX`.
        cleaned: The same, restored.
    """
    code, clean = picture.float(), cleaned.float()
    deviation = _smooth((code - clean).square()).sqrt()
    light = _MIDDLE * decode(clean, _CURVE)
    for place, weight in _NODES:
        for node in (clean + place * deviation, clean - place * deviation):
            light += weight * decode(node, _CURVE)
    kept = encode(light, _CURVE)
    share = _CLEAR_OF_BLACK - _smooth(code) / deviation.clamp_min(1e-6)
    share = (share / (_CLEAR_OF_BLACK - _REACHES_BLACK)).clamp(0.0, 1.0)
    share = share * (_smooth((code < 0.0).float()) / _NEGATIVE).clamp(0.0, 1.0)
    if bool(share.any()):
        lost = decode(code, _CURVE) - decode(kept, _CURVE)
        kept = kept + share * _smooth(lost / decode_slope(kept, _CURVE))
    return torch.where(clean == code, clean, kept).to(cleaned.dtype)


def _smooth(planes: Tensor) -> Tensor:
    """Return means over about 20 pixels."""
    blocks = F.avg_pool2d(planes, ALIGN_PX)
    for _ in range(2):
        blocks = F.avg_pool2d(blocks, _BOX, 1, _BOX // 2, count_include_pad=False)
    return F.interpolate(blocks, scale_factor=float(ALIGN_PX), mode="bilinear")
