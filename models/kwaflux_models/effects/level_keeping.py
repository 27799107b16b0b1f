"""Keep the mean light of every place as it was, whatever a network did to its codes.

The mean of display codes is not the code of the mean light: a network that averages noisy codes
darkens shadows, the more the stronger the noise, and a network moves colors toward those it was
trained on. The lost mean light around each pixel is added again.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from kwaflux_models.rendering.working_curves import decode, decode_slope

__all__ = ["ALIGN_PX", "REACH_PX", "keep_levels"]

ALIGN_PX = 4
"""Means are taken of blocks of this side; tiles begin where blocks do."""
_BOX = 5
"""Side, in blocks, of the box filter that is applied twice."""
_ROUNDS = 2
"""Newton's rounds; the second matters below black and where noise is many times the light."""
REACH_PX = ALIGN_PX * (2 * (_BOX // 2) + 2)
"""How far around a pixel its mean light is taken."""


def keep_levels(picture: Tensor, cleaned: Tensor) -> Tensor:
    """Return a cleaned picture whose local means of light are the picture's.

    The lost light is taken in units of the curve, ``(decode(c) - decode(g)) / decode'(g)``, so that
    what is lost beside a lamp does not outweigh the dark around it, smoothed over about 30 pixels,
    and added to ``g``.

    Args:
        picture: (1, 3, H, W), working curve ``extended_srgb``; H and W multiples of `ALIGN_PX`.
        cleaned: The same, restored.
    """
    light, kept = decode(picture.float(), "extended_srgb"), cleaned.float()
    for _ in range(_ROUNDS):
        lost = light - decode(kept, "extended_srgb")
        kept = kept + _smooth(lost / decode_slope(kept, "extended_srgb"))
    return kept.to(cleaned.dtype)


def _smooth(planes: Tensor) -> Tensor:
    blocks = F.avg_pool2d(planes, ALIGN_PX)
    for _ in range(2):
        blocks = F.avg_pool2d(blocks, _BOX, 1, _BOX // 2, count_include_pad=False)
    return F.interpolate(blocks, scale_factor=float(ALIGN_PX), mode="bilinear")
