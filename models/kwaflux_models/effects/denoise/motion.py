"""Bring a neighboring frame's pixels to where they are in the frame at hand.

Knows torch only; must not know effects, tiles or files.

A hierarchical block search on luma: at 1/8, 1/4, 1/2 and full resolution each block of 4 x 4 pixels
looks for the offset with the least sum of absolute differences over the 12 x 12 pixels around it,
starting from the offset found one resolution lower, and from rest: fine texture that moves little
is lost at the low resolutions. At last half pixels are tried. Luma is rounded to integers, so that
every sum is exact in float32 and the choice does not depend on where a tile lies or how sums are
ordered.

Sources: M. Bierling, "Displacement estimation by hierarchical blockmatching", SPIE VCIP 1988. The
filter between pixels: ITU-T H.264, section 8.4.2.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ALIGN_PX", "RADIUS_PX", "REACH_PX", "Aligned", "align"]

_BLOCK = 4
_WINDOW = 12
_STEPS = 200.0
"""Integer steps of luma in one unit of the working curve."""
_LIMIT = 1000.0
"""Luma beyond this many steps counts as this many: keeps every sum below 2^24."""
_LEVELS = 3
_COARSE_REACH = 3
_STEP_COST = 24.0
"""What an offset must gain, in summed steps, for each pixel it differs from the one it began with;
keeps blocks from chasing noise."""
_BETWEEN = (1.0, -5.0, 20.0, 20.0, -5.0, 1.0)
"""Weights of six pixels in a row for the place in their middle, times 32."""
_HALF_GAIN = 0.9
"""What half a pixel must make of the cost: between pixels there is a little less noise."""

ALIGN_PX = _BLOCK << _LEVELS
"""Tiles start at multiples of this, so that their blocks are the frame's blocks."""

REACH_PX = (_COARSE_REACH << _LEVELS) + (1 << _LEVELS) - 1
"""Farthest motion that is found, along a row or column."""

RADIUS_PX = REACH_PX + ((_WINDOW + _BLOCK) << _LEVELS) + len(_BETWEEN) // 2
"""Farthest pixel, along a row or column, that can change an aligned pixel."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """Hold a neighbor brought into place.

    Attributes:
        picture: (N, 3, H, W), working curve.
        mismatch: (N, 1, H, W), root mean square of the difference over the window of each pixel's
            block, working curve: that of the noise where the neighbor shows the same thing.
    """

    picture: Tensor
    mismatch: Tensor


def align(center: Tensor, neighbor: Tensor) -> Aligned:
    """Return neighbors' pixels where they belong in the frame at hand.

    Args:
        center: (1, 3, H, W), working curve; H and W multiples of `ALIGN_PX`.
        neighbor: (N, 3, H, W), the same of neighboring frames.
    """
    here, there = (_pyramid(picture) for picture in (center, neighbor))
    coarse = here[-1]
    shape = (neighbor.shape[0], 2, coarse.shape[2] // _BLOCK, coarse.shape[3] // _BLOCK)
    offsets = coarse.new_zeros(shape)
    for level in range(_LEVELS, -1, -1):
        reach = _COARSE_REACH if level == _LEVELS else 1
        found = _search(here[level], there[level], offsets, reach=reach)
        if level < _LEVELS:
            at_rest = _search(here[level], there[level], torch.zeros_like(offsets), reach=reach)
            found = _better(at_rest, found)
        offsets = 2.0 * _enlarged(found[0], 2) if level else found[0]
    halves = _half_search(here[0], there[0], offsets)
    moved = _moved_by_halves(neighbor, halves)
    return Aligned(moved, _mismatch(moved - center).to(center.dtype))


def _mismatch(difference: Tensor) -> Tensor:
    """Return the (N, 1, H, W) root mean square over the window of each pixel's block."""
    squares = F.avg_pool2d(difference.float().square().mean(dim=1, keepdim=True), _BLOCK)
    around = F.avg_pool2d(squares, _WINDOW // _BLOCK, 1, padding=1, count_include_pad=False)
    return _enlarged(around.sqrt(), _BLOCK)


def _pyramid(picture: Tensor) -> list[Tensor]:
    """Return integer luma at full resolution and at every halving of it."""
    luma = picture.float().mean(dim=1, keepdim=True) * _STEPS
    levels = [luma.round().clamp(-_LIMIT, _LIMIT)]
    for _ in range(_LEVELS):
        levels.append(F.avg_pool2d(levels[-1], 2).round())
    return levels


def _enlarged(blocks: Tensor, factor: int) -> Tensor:
    return blocks.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


def _index(offsets: Tensor, shape: torch.Size) -> Tensor:
    """Return (N, 1, H * W) flat indices of each pixel moved by its offset, held to the borders."""
    height, width = shape[-2:]
    rows = torch.arange(height, device=offsets.device).reshape(-1, 1)
    columns = torch.arange(width, device=offsets.device)
    down = (rows + offsets[:, :1].long()).clamp(0, height - 1)
    right = (columns + offsets[:, 1:].long()).clamp(0, width - 1)
    return (down * width + right).flatten(2)


def _moved(picture: Tensor, offsets: Tensor) -> Tensor:
    """Return (N, C, H, W) with each block's pixels fetched from where its offset points."""
    index = _index(_enlarged(offsets, _BLOCK), picture.shape)
    fetched = torch.gather(picture.flatten(2), 2, index.expand(-1, picture.shape[1], -1))
    return fetched.reshape(picture.shape)


def _window_sums(difference: Tensor) -> Tensor:
    """Return (N, 1, h, w): the sum over the window around each block."""
    blocks = F.avg_pool2d(difference, _BLOCK, divisor_override=1)
    return F.avg_pool2d(blocks, _WINDOW // _BLOCK, 1, padding=1, divisor_override=1)


def _better(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return for each block the offset and cost of the cheaper of two; the first if equal."""
    is_other = other[1] < one[1] - _STEP_COST
    return torch.where(is_other, other[0], one[0]), torch.where(is_other, other[1], one[1])


def _between(picture: Tensor, *, dim: int) -> Tensor:
    """Return the values half a pixel farther along ``dim`` (2 or 3)."""
    count = picture.shape[dim]
    place = torch.arange(-2, count + 3, device=picture.device).clamp(0, count - 1)
    padded = picture.index_select(dim, place)
    parts = [weight * padded.narrow(dim, at, count) for at, weight in enumerate(_BETWEEN)]
    total = parts[0] + parts[5] + (parts[1] + parts[4]) + (parts[2] + parts[3])
    return total / 32.0


def _phases(picture: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a picture at (0, 0), (0, 1/2), (1/2, 0) and (1/2, 1/2) pixels."""
    right = _between(picture, dim=3)
    return picture, right, _between(picture, dim=2), _between(right, dim=2)


def _half_search(here: Tensor, there: Tensor, offsets: Tensor) -> Tensor:
    """Return each block's offset in half pixels: the given one, or one of the eight around it."""
    height, width = here.shape[-2:]
    phases = [phase.round() for phase in _phases(there)]
    moved = [F.pad(_moved(phase, offsets), (1,) * 4, mode="replicate") for phase in phases]
    cost = _window_sums((here - moved[0][..., 1:-1, 1:-1]).abs())
    best, cost = 2.0 * offsets, cost * _HALF_GAIN
    for dy, dx in ((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)):
        phase, top, left = moved[2 * abs(dy) + abs(dx)], 1 - (dy < 0), 1 - (dx < 0)
        found = _window_sums((here - phase[..., top : top + height, left : left + width]).abs())
        is_better = found < cost
        step = torch.tensor([dy, dx], dtype=offsets.dtype, device=offsets.device)
        best = torch.where(is_better, 2.0 * offsets + step.reshape(1, 2, 1, 1), best)
        cost = torch.where(is_better, found, cost)
    return best


def _moved_by_halves(picture: Tensor, halves: Tensor) -> Tensor:
    """Return (N, C, H, W) with each block's pixels fetched from where its half pixels point."""
    whole = torch.floor(halves / 2.0)
    phase = _enlarged(halves - 2.0 * whole, _BLOCK)
    number = 2.0 * phase[:, :1] + phase[:, 1:]
    fetched = [_moved(one, whole) for one in _phases(picture)]
    result = fetched[0]
    for index, one in enumerate(fetched[1:], start=1):
        result = torch.where(number == index, one, result)
    return result


def _search(here: Tensor, there: Tensor, offsets: Tensor, *, reach: int) -> tuple[Tensor, Tensor]:
    """Return each block's best offset within ``reach`` of the given one, and what it costs.

    The neighbor is fetched once by the given offsets and then shifted as a whole; beside a block
    whose neighbors begin elsewhere that is a little off, and many times faster.
    """
    moved = F.pad(_moved(there, offsets), (reach,) * 4, mode="replicate")
    height, width = here.shape[-2:]
    steps = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    steps.sort(key=lambda step: abs(step[0]) + abs(step[1]))
    judged = torch.full_like(offsets[:, :1], torch.inf)
    best, cost = offsets, judged
    for dy, dx in steps:
        shifted = moved[..., reach + dy : reach + dy + height, reach + dx : reach + dx + width]
        found = _window_sums((here - shifted).abs())
        with_step = found + _STEP_COST * (abs(dy) + abs(dx))
        is_better = with_step < judged
        judged = torch.where(is_better, with_step, judged)
        step = torch.tensor([dy, dx], dtype=offsets.dtype, device=offsets.device)
        best = torch.where(is_better, offsets + step.reshape(1, 2, 1, 1), best)
        cost = torch.where(is_better, found, cost)
    return best, cost
