"""Measure grain: what a plate lost on its way, or what its flat areas hold.

Behind cleaning steps it is looked for where the cleaned picture is flat: elsewhere a cleaning takes
texture along. With r what was removed and c what is there now, the plate is r + c, and what it has
more than the picture is |r + c|**2 - |c|**2 = |r|**2 + 2 Re(r* c), in variance at every level and
in power at every frequency. Grain that was removed in part, as at a strength below 1, is so counted
for the part that is missing.

Without cleaning there is only the plate: its flat areas, less their local mean.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_core.images.lanczos import READ_RADIUS_PX, lanczos_weights
from kwaflux_models.effects.regrain.spectrum import (
    GRID,
    Spectrum,
    box_response,
    cross_spectrum,
    missing_spectrum,
    spectrum_of,
)
from kwaflux_models.effects.regrain.strength import Strength, fit_strength, luma_of, mean_by_level
from kwaflux_models.rendering.effect_api import Samples

__all__ = ["MeasuredGrain", "grain_of_flat_areas", "removed_grain"]

_REMOVED_BOX_PX = 33
_FLAT_BOX_PX = 17
_SOFT_BOX_PX = 3
_DETAIL_BOX_PX = 17
_LEVEL_BOX_PX = 9
_AROUND_BOX_PX = 17
_BANDS_A_WHITE = 8
"""Places are compared with those of their level, in bands of this many from black to white."""
_DETAIL = 0.05
"""A place is flat whose detail is below this share of the plate's variance there."""
_CALMEST = 0.1
_TIMES_CALMEST = 2.0
_MOST_DETAIL = 0.2
"""In a band without such places those are taken whose detail is below this many times that of its
calmest tenth, which may be grain that was left, but not beyond this share."""
_BARELY = 0.02
"""Places that count for less than this part of those that count the most are not regarded."""
_MOST_SPREAD = 2.5
"""Places whose grain is off by more than so many deviations from the median are left out."""
_GROUPS = 20
_CLEANED = 0.8
_MOST_LOST = 0.1
"""What texture lost is taken off up to this part of the variance, and only where more than the
former part of the grain is gone: else detail is grain itself."""
_FLAT = 1.5
"""So many times the grain's own variance is no longer grain alone, in a plate that is known by
itself alone."""
_LEAST_FLAT = 0.05
"""Share of the pixels that are believed in a plate without any flat place."""
_ROUNDS = 3
_LEAST_VARIANCE = 1e-12
"""A millionth of the working curve's white, squared: what is weaker is rounding."""
_LEAST_CARRIED = 0.1
"""An enlargement's answer below this is taken for this when it is divided out."""


@dataclass(frozen=True, slots=True)
class MeasuredGrain:
    """Hold what was measured, in pixels of the plate.

    Args:
        strength: The variance at every level.
        spectrum: The shape, of unit variance.
    """

    strength: Strength
    spectrum: Spectrum


def removed_grain(samples: Samples) -> MeasuredGrain | None:
    """Return the grain that the plate has more than the picture; None when nothing was removed."""
    plate, picture, carried = _at_plate_scale(samples)
    removed = plate - picture
    removed -= mean_by_level(removed, _box_mean(picture, _LEVEL_BOX_PX))
    box_px = min(_REMOVED_BOX_PX, _odd(plate.shape[-1] // 2))
    grain = removed - _box_mean(removed, box_px)
    if float(grain.square().mean()) < _LEAST_VARIANCE:
        return None
    inside = torch.ones_like(grain[:, :1])
    if samples.scale > 1:
        inside = _without_border(inside)
    left = picture - _box_mean(picture, box_px)
    weight, lost = _flat_places(grain, left, picture, inside)
    grain, left = (_less_mean(each, weight, box_px) for each in (removed, picture))
    strength = fit_strength((grain + 2.0 * left).mul_(grain) - lost, picture, weight)
    deviation = _deviation(fit_strength(grain.square(), picture, weight), picture)
    grain, left = grain.div_(deviation), left.div_(deviation)
    passed = (1.0 - box_response(box_px)).square() * carried
    return _measured(strength, missing_spectrum(grain, left, weight), passed=passed)


def grain_of_flat_areas(plate: Tensor) -> MeasuredGrain | None:
    """Return the grain of a plate that is known by itself alone; None when there is none.

    Args:
        plate: (N, 3, H, W), samples of it, working curve.
    """
    plate = plate.float()
    box_px = min(_FLAT_BOX_PX, _odd(plate.shape[-1] // 2))
    smooth = _box_mean(plate, box_px)
    grain = plate - smooth
    if float(grain.square().mean()) < _LEAST_VARIANCE:
        return None
    weight = _flattest(grain, smooth)
    strength = fit_strength(grain.square(), smooth, weight)
    grain = grain.div_(_deviation(strength, smooth))
    passed = (1.0 - box_response(box_px)).square()
    return _measured(strength, cross_spectrum(grain, weight), passed=passed)


def _measured(strength: Strength, spectrum: Tensor, *, passed: Tensor) -> MeasuredGrain:
    """Return grain of a strength and of a spectrum as it was found behind a filter."""
    whole, factor = spectrum_of(spectrum, passed=passed)
    return MeasuredGrain(strength.scaled(factor), whole)


def _at_plate_scale(samples: Samples) -> tuple[Tensor, Tensor, Tensor]:
    """Return the plate, the picture at the plate's size, and what reached both.

    An enlarged picture is reduced by the mean of its pixels. The plate goes the same way, enlarged
    as the renderer enlarges and reduced, so that plain enlargement leaves no difference. The third
    is the share of the power that this way lets pass, (GRID, GRID).
    """
    plate, picture = samples.sources.float(), samples.pictures.float()
    if samples.scale == 1:
        return plate, picture, torch.ones(GRID, GRID, dtype=torch.float64)
    taps = _enlarged_and_reduced(samples.scale)
    grid = torch.fft.fftfreq(GRID, dtype=torch.float64)
    at = torch.arange(taps.numel(), dtype=torch.float64) - taps.numel() // 2
    answer = torch.cos(2.0 * math.pi * grid[:, None] * at) @ taps
    carried = (answer[:, None] * answer).square().clamp(min=_LEAST_CARRIED)
    filters = taps.to(plate)
    planes = plate.reshape(-1, 1, *plate.shape[-2:])
    planes = F.pad(planes, (taps.numel() // 2,) * 4, mode="reflect")
    planes = F.conv2d(F.conv2d(planes, filters[None, None, None]), filters[None, None, :, None])
    return planes.reshape(plate.shape), F.avg_pool2d(picture, samples.scale), carried


@functools.cache
def _enlarged_and_reduced(scale: int) -> Tensor:
    """Return the taps of enlarging a row and taking the mean of each pixel's block."""
    weights = np.array(lanczos_weights(scale), np.float64)
    return torch.from_numpy(weights.mean(axis=0)[::-1].copy())


def _without_border(weight: Tensor) -> Tensor:
    """Return the weights with the border taken out, where a filter read what is not there."""
    inside = torch.zeros_like(weight)
    inner = slice(READ_RADIUS_PX, -READ_RADIUS_PX)
    inside[..., inner, inner] = weight[..., inner, inner]
    return inside


def _flat_places(
    grain: Tensor, left: Tensor, picture: Tensor, inside: Tensor
) -> tuple[Tensor, Tensor]:
    """Return where the plate misses grain and little else, and what of it is texture all the same.

    Detail is looked for in the picture, softened so that it is hardly the grain that was left,
    and held against the plate's variance. Of the places without detail those are left out that
    miss much more or less than others of their level: they had detail that went with the grain.

    Returns:
        (N, 1, H, W) from 0 to 1, how much a place counts; and (N, 1, H, W), the variance that is
        missing because of texture.
    """
    plate = _box_mean((grain + left).square().mean(dim=1, keepdim=True), _AROUND_BOX_PX)
    detail = _detail(picture)
    share = detail / plate.clamp(min=_LEAST_VARIANCE)
    level = luma_of(_box_mean(picture, _AROUND_BOX_PX))
    flat = _calm(share, level, inside)
    missing = (grain + 2.0 * left).mul_(grain)
    around = _box_mean(missing, _AROUND_BOX_PX)
    for _ in range(_ROUNDS):
        strength = fit_strength(missing, picture, flat)
        ratio = _times_expected(around, strength, picture)
        flat = flat * _usual(ratio, level, flat)
    variance = strength.variance(picture).mean(dim=1, keepdim=True).clamp(min=_LEAST_VARIANCE)
    each = detail / variance
    calmest = _quantile(each[flat > _BARELY * flat.max()], _CALMEST)
    cleaned = float((flat * around).sum() / (3.0 * (flat * plate).sum()).clamp(min=_LEAST_VARIANCE))
    sure = min(max((cleaned - _CLEANED) / (1.0 - _CLEANED), 0.0), 1.0)
    lost = sure * _slope(each, ratio, flat) * (each - calmest).clamp(min=0.0)
    return flat, lost.clamp(max=_MOST_LOST) * variance


def _slope(share: Tensor, ratio: Tensor, flat: Tensor) -> float:
    """Return how much more is missing where there is more detail, for each part of it.

    Places are grouped by their detail; a line is fitted to the medians of the groups.
    """
    seen = flat > _BARELY * flat.max()
    share, ratio = share[seen][::7], ratio[seen][::7]
    groups = torch.split(share.argsort(), max(1, share.numel() // _GROUPS))
    x, y = (torch.stack([each[group].median() for group in groups]) for each in (share, ratio))
    weight = 1.0 / (x + _DETAIL).square()
    x = x - (weight * x).sum() / weight.sum()
    return max(0.0, float((weight * x * y).sum() / (weight * x.square()).sum().clamp(min=1e-9)))


def _less_mean(planes: Tensor, weight: Tensor, box_px: int) -> Tensor:
    """Return planes less their mean around a pixel, of the places with weight alone."""
    mean = _box_mean(planes * weight, box_px) / _box_mean(weight, box_px).clamp(min=1e-6)
    return planes - mean


def _detail(picture: Tensor) -> Tensor:
    """Return (N, 1, H, W): the variance of what is coarser than grain around a pixel."""
    soft = _box_mean(_box_mean(picture, _SOFT_BOX_PX), _SOFT_BOX_PX)
    detail = (soft - _box_mean(picture, _DETAIL_BOX_PX)).square().mean(dim=1, keepdim=True)
    return _box_mean(detail, _AROUND_BOX_PX)


def _calm(share: Tensor, level: Tensor, inside: Tensor) -> Tensor:
    """Return (N, 1, H, W), from 0 to 1: which places have the least detail of their level.

    Where all places of a level have much of it, which may be grain that was left or texture, all
    of them count for less than those of other levels.
    """
    calm = torch.zeros_like(share)
    for places in _by_level(level, inside > 0.0):
        bound = min(max(_TIMES_CALMEST * _quantile(share[places], _CALMEST), _DETAIL), _MOST_DETAIL)
        weight = (1.0 + (share[places] / bound).square()).square().reciprocal()
        calm[places] = weight * (_DETAIL / bound)
    return calm


def _usual(ratio: Tensor, level: Tensor, flat: Tensor) -> Tensor:
    """Return 1 where a ratio is near the median over flat places of its level, 0 elsewhere.

    The spread is that of the lower half, which detail does not reach.
    """
    usual = torch.zeros_like(flat)
    for places in _by_level(level, flat > _BARELY * flat.max()):
        median, low = (_quantile(ratio[places], share) for share in (0.5, 0.16))
        usual[places] = ((ratio[places] - median).abs() <= _MOST_SPREAD * (median - low)).float()
    return usual


def _by_level(level: Tensor, seen: Tensor) -> Iterator[Tensor]:
    """Yield the masks of the places that are seen, a band of levels at a time."""
    band = (level.abs() * _BANDS_A_WHITE).long()
    for number in sorted(set(band[seen].tolist())):
        yield (band == number) & seen


def _flattest(grain: Tensor, level: Tensor) -> Tensor:
    """Return (N, 1, H, W) of 0 and 1: where a plate that is known by itself holds grain alone.

    The places with the least power against the mean of their level are surely flat. All that have
    not much more than those follow, and then what has not much more than all these.
    """
    around = _box_mean(grain.square(), _AROUND_BOX_PX)
    some, some_level = (each[..., ::4, ::4].contiguous() for each in (around, level))
    strength = fit_strength(some, some_level, torch.ones_like(some[:, :1]))
    bound = _quantile(_times_expected(some, strength, some_level), _LEAST_FLAT)
    for _ in range(_ROUNDS):
        kept = (_times_expected(some, strength, some_level) <= bound).float()
        strength, bound = fit_strength(some, some_level, kept), _FLAT
    return (_times_expected(around, strength, level) <= bound).float()


def _times_expected(squares: Tensor, strength: Strength, level: Tensor) -> Tensor:
    """Return (N, 1, H, W): squares against the variance that a table expects, over channels."""
    variance = strength.variance(level).clamp_(min=_LEAST_VARIANCE)
    return (squares / variance).mean(dim=1, keepdim=True)


def _deviation(strength: Strength, level: Tensor) -> Tensor:
    return strength.variance(level).clamp_(min=_LEAST_VARIANCE).sqrt_()


def _box_mean(x: Tensor, side_px: int) -> Tensor:
    """Return the mean over a square around each pixel; of what is there, at the border."""
    for dim in (-2, -1):
        length = x.shape[dim]
        at = torch.arange(length, device=x.device)
        low, high = (at - side_px // 2).clamp(min=0), (at + side_px // 2 + 1).clamp(max=length)
        sums = F.pad(x, (1, 0) if dim == -1 else (0, 0, 1, 0)).cumsum(dim)
        shape = (-1, 1) if dim == -2 else (-1,)
        total = sums.index_select(dim, high) - sums.index_select(dim, low)
        x = total.div_((high - low).reshape(shape))
    return x


def _quantile(values: Tensor, share: float) -> float:
    """Return the value below which a share of many values lies, judged by every seventh."""
    some = values.flatten()[::7]
    return float(some.kthvalue(max(1, math.ceil(share * some.numel()))).values)


def _odd(length: int) -> int:
    return length - 1 + length % 2
