"""The range receipt: what a flow did to the range of a plate's color."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from kwaflux_core.errors import ModelError
from kwaflux_core.protocol.messages import RangeReceipt

__all__ = ["range_receipt"]

Planes: TypeAlias = tuple[npt.NDArray[np.float32], ...]


def range_receipt(before: Planes, after: Planes | None, *, beyond_trained: float) -> RangeReceipt:
    """Return the receipt of a frame.

    Args:
        before: The plate's color planes, float32 (H, W) each.
        after: The result's; None where no pixel was touched.
        beyond_trained: Share (0..1) of values beyond the range a network was trained on.

    Raises:
        ModelError: The result holds NaN or Inf that the plate did not.
    """
    low_in, high_in, nan_in, inf_in = _range(before)
    if after is None:
        low_out, high_out, nan_out, inf_out = low_in, high_in, nan_in, inf_in
    else:
        low_out, high_out, nan_out, inf_out = _range(after)
    if (nan_out or inf_out) and not (nan_in or inf_in):
        raise ModelError(
            f"the flow made {nan_out} NaN and {inf_out} Inf in a frame that had none",
            hint="the frame was not released; lower the strength, or set precision to float32",
        )
    return RangeReceipt(low_in, high_in, low_out, high_out, beyond_trained, nan_in, inf_in)


def _range(planes: Planes) -> tuple[float, float, int, int]:
    """Return the least and greatest finite value, and the number of NaN and Inf."""
    lows, highs, nan_count, inf_count = [], [], 0, 0
    for plane in planes:
        tensor = torch.from_numpy(plane)
        low, high = (float(value) for value in torch.aminmax(tensor))
        if not (np.isfinite(low) and np.isfinite(high)):
            nan_count += int(torch.isnan(tensor).sum())
            inf_count += int(torch.isinf(tensor).sum())
            finite = tensor[torch.isfinite(tensor)]
            if finite.numel() == 0:
                continue
            low, high = float(finite.min()), float(finite.max())
        lows.append(low)
        highs.append(high)
    return min(lows, default=0.0), max(highs, default=0.0), nan_count, inf_count
