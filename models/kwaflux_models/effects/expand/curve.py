"""The curve that leads display values to light: nothing below the knee, the peak at the clip.

With ``v`` the value over the clip point, ``k`` the knee and ``E`` the stops that white rises::

    v <= k       y = x
    k < v <= 1   y = x * 2 ** (E * smooth((v - k) / (1 - k)) ** 2)
    v > 1        y = x * 2 ** (E * (1 - smooth(log2(v) / (2 * M))))

with ``smooth(t) = t * t * (3 - 2 * t)`` held to 0..1 and ``M`` the most that ``E`` may be. It is
monotone and has a continuous slope: at the knee and at the clip the exponent's slope is 0, and
above it falls by at most 3/4 of a stop a stop. Values ``2 ** (2 * M)`` times above the clip are
light already and stay as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["expanded", "smooth_step"]


def expanded(x: Tensor, stops: Tensor, *, knee: float, clip: float, most_stops: float) -> Tensor:
    """Return values led through the curve; those at or below the knee keep their bits.

    Args:
        x: Any shape, scene-linear; white is 1. Negative values stay as they are.
        stops: Broadcastable to it: how far white rises there, 0 to ``most_stops``.
        knee: Where the rise begins, as a share of ``clip``, below 1.
        clip: The value at which the plate was clipped.
        most_stops: The most that ``stops`` may be; above 0.
    """
    value = x / clip
    rise = smooth_step((value - knee) / (1.0 - knee)).square_()
    above = torch.log2(value.clamp(min=1.0)) / (2.0 * most_stops)
    return x * torch.exp2(stops * rise * (1.0 - smooth_step(above)))


def smooth_step(t: Tensor) -> Tensor:
    """Return 0 up to 0, 1 from 1 on, and between them a rise whose slope is 0 at both ends."""
    held = t.clamp(0.0, 1.0)
    return held * held * (3.0 - 2.0 * held)
