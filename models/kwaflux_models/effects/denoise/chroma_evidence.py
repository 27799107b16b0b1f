"""Whether what looks like noise in a single frame is in color, too, as a camera's noise is.

The texture of gravel, lawn or fabric is nearly all luma; the noise of a sensor, of film and of
tape is in the color differences as well. Measured in the calmer quarter of the blocks, where a
picture shows least of itself, at two scales, because cameras and codecs smooth the finer one.

Source: J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 1996
(the filter, which flat and sloped areas do not answer).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_core.color.luma import REC709_LUMA

__all__ = ["chroma_to_luma"]

_BLOCK_PX = 14
_CALM = 0.25
"""Quantile of the blocks."""
_COLORLESS = 1e-3
"""A picture whose color differences are all smaller has no color to judge by."""


def chroma_to_luma(samples: Tensor) -> float | None:
    """Return the fine detail of the color differences in that of luma, in calm places.

    Args:
        samples: (N, 3, H, W), working curve ``extended_srgb``; sides of 64 or more.

    Returns:
        The larger of two scales: 0.1 and less for texture, 0.4 and more for most noise; None for a
        picture without color, or without any detail.
    """
    samples = samples.float()
    weights = samples.new_tensor(REC709_LUMA).view(1, 3, 1, 1)
    luma = (samples * weights).sum(dim=1, keepdim=True)
    planes = torch.cat([luma, samples[:, :1] - luma, samples[:, 2:] - luma], dim=1)
    if float(planes[:, 1:].abs().amax()) < _COLORLESS:
        return None
    ratios = [_ratio(planes), _ratio(F.avg_pool2d(planes, 2))]
    known = [ratio for ratio in ratios if ratio is not None]
    return max(known) if known else None


def _ratio(planes: Tensor) -> float | None:
    line = planes.new_tensor([1.0, -2.0, 1.0])
    kernel = (line[:, None] * line / 6.0)[None, None]
    count, channels, height, width = planes.shape
    fine = F.conv2d(planes.reshape(-1, 1, height, width), kernel)
    blocks = F.avg_pool2d(fine.square(), _BLOCK_PX).reshape(count, channels, -1)
    luma, red, blue = torch.quantile(blocks.permute(1, 0, 2).flatten(1), _CALM, dim=1).sqrt()
    return float(torch.maximum(red, blue) / luma) if float(luma) > 0.0 else None
