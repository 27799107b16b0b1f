"""Noise estimated from differences to aligned neighbors, which texture does not cause."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["temporal_noise"]

_BLOCK_PX = 16
_FLAT = 1e-8
"""Blocks with less variance are black bars, clipped or drawn: noise cannot show in them."""


def temporal_noise(samples: Tensor, neighbors: Tensor) -> float:
    """Return the standard deviation of what changes from frame to frame, working curve.

    For each block, the neighbor that differs second least counts (of a single one, that one): the
    least may be a copy, because codecs repeat blocks, and the others may show something else. The
    median over the blocks is returned. Two frames with independent noise differ by twice its
    variance. What a codec repeats of the noise is not counted.

    Args:
        samples: (N, 3, H, W), places of the frame, working curve.
        neighbors: (K, N, 3, H, W), the same of neighboring frames, aligned.

    Returns:
        0 where every block is flat.
    """
    squares = (neighbors.float() - samples.float()).square().mean(dim=2)
    apart = F.avg_pool2d(squares, _BLOCK_PX).sort(dim=0).values
    apart = apart[min(1, apart.shape[0] - 1)].flatten()
    luma = samples.float().mean(dim=1, keepdim=True)
    variance = F.avg_pool2d(luma.square(), _BLOCK_PX) - F.avg_pool2d(luma, _BLOCK_PX).square()
    apart = apart[variance.flatten() > _FLAT]
    if not apart.numel():
        return 0.0
    return float((torch.median(apart) / 2.0).sqrt())
