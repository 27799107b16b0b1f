"""Measure grain: what a plate lost on its way, or what its flat areas hold.

Behind cleaning steps the grain is the difference between the plate and what came of it. Where the
picture has edges or texture, that difference holds some of the picture too, so pixels count the
less the more is going on around them. Of grain that was removed in part, as at a strength below 1,
what is left is subtracted as power: with r what was removed and c what is there now, plate and
picture differ by |r + c|**2 - |c|**2 = |r|**2 + 2 Re(r* c) at every frequency, apart in luma and in
color.

Without cleaning there is only the plate: its flat areas, less their local mean.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_core.images.lanczos import READ_RADIUS_PX, lanczos_upscale
from kwaflux_models.effects.regrain.leftover import left_per_removed
from kwaflux_models.effects.regrain.spectrum import (
    GRID,
    Spectrum,
    box_response,
    cross_spectrum,
    spectrum_of,
)
from kwaflux_models.effects.regrain.strength import Strength, fit_strength, mean_by_level
from kwaflux_models.rendering.effect_api import Samples

__all__ = ["MeasuredGrain", "grain_of_flat_areas", "removed_grain"]

_REMOVED_BOX_PX = 33
_FLAT_BOX_PX = 17
_DETAIL_BOX_PX = 7
_LEVEL_BOX_PX = 9
_AROUND_BOX_PX = 17
_GROUPS = 20
_CALM_GROUPS = 5
"""Groups of pixels by the detail around them, and how many of them are surely calm."""
_LEAST_ACTIVITY = 0.1
"""Detail below this share of the grain's variance does not disturb."""
_EXCESS = 0.3
"""So much more power than among the calm pixels halves what a group counts."""
_SUSPECT = 2.5
"""So many times the grain's own variance around a pixel is no longer grain alone."""
_FLAT = 1.5
"""Likewise for a plate that is known by itself alone."""
_LEAST_FLAT = 0.05
"""Share of the pixels that are believed in a picture without any flat place."""
_ROUNDS = 3
_MOST_SHARE = 8.0
"""More than this per part that was removed, where nearly all grain was left, is not believed."""
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
    weight = torch.ones_like(grain[:, :1])
    if samples.scale > 1:
        weight = _without_border(weight)
    left = picture - _box_mean(picture, box_px)
    strength, weight = _robust_strength(grain, picture, left, weight)
    deviation = _deviation(strength, picture)
    grain, left = grain.div_(deviation), left.div_(deviation)
    passed = (1.0 - box_response(box_px)).square() * carried
    calm = weight * _calm(_activity(left))
    share = 1.0 + 2.0 * left_per_removed(grain, left, calm)
    return _measured(
        strength, grain, weight, passed=passed, share=share.clamp(min=0.0, max=_MOST_SHARE)
    )


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
    return _measured(strength, grain, weight, passed=passed, share=torch.ones(3, 1, 1))


def _measured(
    strength: Strength, grain: Tensor, weight: Tensor, *, passed: Tensor, share: Tensor
) -> MeasuredGrain:
    """Return what grain of unit variance amounts to, with the strength it was divided by."""
    spectrum, factor = spectrum_of(cross_spectrum(grain, weight), passed=passed, share=share)
    return MeasuredGrain(strength.scaled(factor), spectrum)


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
    side = 2 * READ_RADIUS_PX + 1
    point = np.zeros((1, side, side), np.float32)
    point[0, side // 2, side // 2] = 1.0
    enlarged = lanczos_upscale(point, scale)[0].astype(np.float64)
    row = enlarged.reshape(side * scale, side, scale).mean(axis=2).sum(axis=0) / scale
    return torch.from_numpy(row)


def _without_border(weight: Tensor) -> Tensor:
    """Return the weights with the border taken out, where a filter read what is not there."""
    inside = torch.zeros_like(weight)
    inner = slice(READ_RADIUS_PX, -READ_RADIUS_PX)
    inside[..., inner, inner] = weight[..., inner, inner]
    return inside


def _robust_strength(
    grain: Tensor, picture: Tensor, left: Tensor, weight: Tensor
) -> tuple[Strength, Tensor]:
    """Return the strength, and the weights without the places that hold more than grain."""
    squares = grain.square()
    strength = fit_strength(squares, picture, weight)
    ratio = _times_expected(squares, strength, picture)
    activity = _activity(left / _deviation(strength, picture))
    weight = weight * _trusted(ratio, activity, weight)
    strength = fit_strength(squares, picture, weight)
    around = _box_mean(_times_expected(squares, strength, picture), _AROUND_BOX_PX)
    weight = weight / (1.0 + (around / _SUSPECT).pow_(8))
    return fit_strength(squares, picture, weight), weight


def _activity(left: Tensor) -> Tensor:
    """Return (N, 1, H, W): how much detail there is around a pixel.

    Args:
        left: The picture without its local mean, in units of the grain's deviation: so what is
            left of the grain is as much in the dark as in the light.
    """
    detail = (left - _box_mean(left, _DETAIL_BOX_PX)).square().mean(dim=1, keepdim=True)
    return _box_mean(detail, _AROUND_BOX_PX)


def _calm(activity: Tensor) -> Tensor:
    """Return (N, 1, H, W) from 0 to 1: how little there is of the picture beside the grain."""
    floor = max(_quantile(activity, 1.0 / _GROUPS), _LEAST_ACTIVITY)
    return (1.0 + activity / floor).square_().reciprocal_()


def _trusted(ratio: Tensor, activity: Tensor, weight: Tensor) -> Tensor:
    """Return (N, 1, H, W) from 0 to 1: whether what was removed depends on what is there.

    Pixels are grouped by the detail around them. Groups in which more was removed than where the
    picture is calm have lost some of the picture, and count the less the more it is.
    """
    inside = weight > 0.0
    edges = [_quantile(activity[inside], (i + 1) / _GROUPS) for i in range(_GROUPS - 1)]
    group = torch.bucketize(activity, activity.new_tensor(edges))
    flat, counts = group[inside], activity.new_zeros(_GROUPS, dtype=torch.float64)
    sums = counts.clone().index_add_(0, flat, ratio[inside].double())
    counts.index_add_(0, flat, torch.ones_like(ratio[inside], dtype=torch.float64))
    means = sums / counts.clamp(min=1.0)
    calm = means[:_CALM_GROUPS].mean().clamp(min=1e-9)
    excess = (means / calm - 1.0).clamp(min=0.0) / _EXCESS
    return (1.0 / (1.0 + excess.square())).to(ratio)[group]


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
