"""Choose the precision to train in by measuring, on the device at hand.

On processors without the instructions, and on networks bound by memory, it is not.
"""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor, nn

__all__ = ["training_precision"]

_GAIN = 1.1
"""bfloat16 must be this much faster to be taken."""


def training_precision(network: nn.Module, device: torch.device) -> torch.dtype:
    """Return bfloat16 if convolutions of this network's widths train faster in it, else float32."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    if not layers:
        return torch.float32
    widest = copy.deepcopy(max(layers, key=lambda layer: layer.weight.numel())).to(device)
    x = torch.randn(8, widest.in_channels, 48, 48, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    seconds = {dtype: _seconds(widest, x, dtype) for dtype in (torch.float32, torch.bfloat16)}
    faster = seconds[torch.bfloat16] * _GAIN < seconds[torch.float32]
    return torch.bfloat16 if faster else torch.float32


def _seconds(layer: nn.Conv2d, x: Tensor, dtype: torch.dtype) -> float:
    """Return the least time of a few forward and backward passes."""
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        with torch.autocast(x.device.type, dtype=dtype, enabled=dtype != torch.float32):
            loss = layer(x).float().square().mean()
        torch.autograd.grad(loss, list(layer.parameters()))
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        best = min(best, time.perf_counter() - begin)
    return best
