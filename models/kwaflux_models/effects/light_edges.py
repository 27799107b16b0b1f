"""Corrections beside edges of light, where networks ring: no new extremes are made there.

Networks trained on display codes know no contrast above 1. Beside a lamp or a window they make
outlines whose strength follows the bright side, but which are seen on the dark one.

Source: clamping to the range of the neighborhood, as resampling tools do against ringing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["REACH_PX", "limit_beside_light"]

_LOW, _HIGH = 1.0, 1.2
"""Contrasts, in display code: no picture for a display has more than the first; from the second on
the limit is in full force."""
_SIDE_PX = 13
_RANGE_PX = 3
REACH_PX = _SIDE_PX // 2 + _RANGE_PX // 2
"""How far around a pixel contrast is looked for."""


def limit_beside_light(picture: Tensor, change: Tensor) -> Tensor:
    """Return a correction that, beside edges of light, stays in the range of the nearest pixels.

    Args:
        picture: (1, 3, H, W), working curve ``extended_srgb``.
        change: The same, what is added to it.
    """
    if float(picture.amax() - picture.amin()) <= _LOW:
        return change
    code = picture.float()
    means = F.avg_pool2d(code, _RANGE_PX, 1, _RANGE_PX // 2, count_include_pad=False)
    brightest = _highest(means.amax(dim=1, keepdim=True), _SIDE_PX)
    darkest = -_highest(-means.amin(dim=1, keepdim=True), _SIDE_PX)
    share = ((brightest - darkest - _LOW) / (_HIGH - _LOW)).clamp(0.0, 1.0)
    limited = torch.minimum(code + change.float(), _highest(code, _RANGE_PX))
    limited = torch.maximum(limited, -_highest(-code, _RANGE_PX)) - code
    return torch.lerp(change.float(), limited, share).to(change.dtype)


def _highest(planes: Tensor, side: int) -> Tensor:
    """Return the highest value of the ``side`` x ``side`` pixels around each."""
    planes = F.max_pool2d(planes, (side, 1), 1, (side // 2, 0))
    return F.max_pool2d(planes, (1, side), 1, (0, side // 2))
