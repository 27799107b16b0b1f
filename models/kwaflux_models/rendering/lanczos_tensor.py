"""``kwaflux_core.images.lanczos`` for tensors, on the device they lie on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_core.images.lanczos import (
    LANCZOS_LOBES,
    LARGEST_FILTERED,
    OVERSHOOT,
    lanczos_weights,
)
from kwaflux_core.tiling import mirrored_indices

__all__ = ["lanczos_upscale_tensor"]


def lanczos_upscale_tensor(planes: Tensor, scale: int) -> Tensor:
    """Return planes enlarged as ``lanczos_upscale`` enlarges them, without leaving the device.

    The filter is separable: each pass is seven products, summed in the same order, so that the
    bits on a CPU are those of ``lanczos_upscale``.

    Args:
        planes: (C, H, W), float32.
        scale: From 1.

    Returns:
        (C, H * scale, W * scale), float32; ``planes`` itself at scale 1.
    """
    if scale == 1:
        return planes
    is_held = ~(planes.abs() <= LARGEST_FILTERED)
    source = torch.where(is_held, _mean_of_neighbors(planes, is_held), planes)
    large = _enlarged(_enlarged(source, scale, dim=2), scale, dim=1)
    low, high = (_blocks(each, scale) for each in _range_around(source))
    large = torch.minimum(torch.maximum(large, low), high)
    return torch.where(_blocks(is_held, scale), _blocks(planes, scale), large)


def _blocks(planes: Tensor, scale: int) -> Tensor:
    return planes.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)


def _range_around(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest value that a pixel's block may have, (C, H, W) each."""
    high = F.max_pool2d(planes[None], 3, 1, 1)[0]
    low = -F.max_pool2d(-planes[None], 3, 1, 1)[0]
    side = 2 * LANCZOS_LOBES + 1
    most = F.max_pool2d(planes[None], side, 1, LANCZOS_LOBES)[0]
    least = -F.max_pool2d(-planes[None], side, 1, LANCZOS_LOBES)[0]
    is_signed = torch.sign(least) * torch.sign(most) > 0
    beyond = torch.minimum(least.abs(), most.abs()) * float(OVERSHOOT)
    beyond = torch.where(is_signed, beyond, torch.zeros_like(beyond))
    return low - beyond, high + beyond


def _enlarged(planes: Tensor, scale: int, *, dim: int) -> Tensor:
    size = planes.shape[dim]
    indices = torch.as_tensor(
        mirrored_indices(-LANCZOS_LOBES, size + LANCZOS_LOBES, size), device=planes.device
    )
    around = planes.index_select(dim, indices)
    phases = [
        _weighted_sum(
            [float(weight) for weight in taps],
            [around.narrow(dim, tap, size) for tap in range(len(taps))],
        )
        for taps in lanczos_weights(scale)
    ]
    return torch.stack(phases, dim=dim + 1).flatten(dim, dim + 1)


def _weighted_sum(weights: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    total: Tensor | None = None
    for weight, tensor in zip(weights, tensors, strict=True):
        if weight:
            # Two roundings, as in NumPy: a fused multiply-add would give other bits.
            product = tensor * weight
            total = product if total is None else total + product
    return torch.zeros_like(tensors[0]) if total is None else total


def _mean_of_neighbors(planes: Tensor, is_held: Tensor) -> Tensor:
    """Return for every pixel the mean of those of its eight neighbors that are not held out."""
    values = torch.where(is_held, torch.zeros_like(planes), planes).double()
    _, height, width = planes.shape
    padded, counts = (F.pad(each, (1, 1, 1, 1)) for each in (values, (~is_held).double()))
    total, count = torch.zeros_like(values), torch.zeros_like(values)
    for dy in range(3):
        for dx in range(3):
            total = total + padded[:, dy : dy + height, dx : dx + width]
            count = count + counts[:, dy : dy + height, dx : dx + width]
    return (total / count.clamp(min=1)).to(planes.dtype)
