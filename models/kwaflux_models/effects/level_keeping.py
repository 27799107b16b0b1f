"""Keep the mean light of every place as it was, whatever a network did to its codes.

The mean of display codes is not the code of the mean light: a network that averages noisy codes
darkens shadows by as much as the noise is strong, and one that has its own view of colors pulls them
toward those it knows. What is lost of the mean light around each pixel is given back.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_models.rendering.working_curves import decode

__all__ = ["REACH_PX", "keep_levels"]

_SIDE_PX = 17
REACH_PX = 2 * (_SIDE_PX // 2)
"""How far around a pixel its mean light is taken: a tent of two box filters."""

_STEP = 1e-3


def keep_levels(picture: Tensor, cleaned: Tensor) -> Tensor:
    """Return a cleaned picture whose local means of light are the picture's.

    The lost light is taken in units of the curve, ``(decode(c) - decode(g)) / decode'(g)``, so that
    what is lost beside a lamp does not outweigh the dark around it, smoothed, and added to ``g``.

    Args:
        picture: (1, 3, H, W), working curve ``extended_srgb``.
        cleaned: The same, restored.
    """
    code, clean = picture.float(), cleaned.float()
    light = decode(clean, "extended_srgb")
    slope = (decode(clean + _STEP, "extended_srgb") - light) / _STEP
    lost = (decode(code, "extended_srgb") - light) / slope
    return (clean + _smooth(lost)).to(cleaned.dtype)


def _smooth(planes: Tensor) -> Tensor:
    for _ in range(2):
        for side in ((_SIDE_PX, 1), (1, _SIDE_PX)):
            margin = (side[0] // 2, side[1] // 2)
            planes = F.avg_pool2d(planes, side, 1, margin, count_include_pad=False)
    return planes
