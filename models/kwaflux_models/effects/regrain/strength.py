"""The strength of grain at each level of the picture.

The variance of a channel is ``own(level of the channel) * shared(luma)``: a sensor's noise depends
on what its own channel saw, noise that went through a codec or a print on how bright the picture
is. Both factors are piecewise linear, as the scaling function of AV1's film grain is (A. Norkin, N.
Birkbeck, "Film grain synthesis for AV1 video codec", DCC 2018). They are found by fitting the two
sets of sums in turn (W. Deming, F. Stephan, "On a least squares adjustment of a sampled frequency
table when the expected marginal totals are known", 1940), so that the variance over every level and
over every luma band is that of what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.rendering import working_curves

__all__ = ["KNOTS", "Strength", "fit_strength", "luma_of", "mean_by_level", "median_strength"]

Array = npt.NDArray[np.float64]

_STEP = 1.0 / 16.0
KNOTS = 41
"""Up to a level of 2.5, 530 times white."""
_FINE = 8
"""Cells of the histogram between two knots."""
_ROUNDS = 40
_TRUSTED_PX = 500.0
"""A knot that fewer pixels speak for is drawn towards its neighbors."""
_MOST_TRUST = 100.0
_LEAST_FACTOR = 1e-4
"""Below this share of the greatest, a factor is as good as 0."""
_SEEN_PX = 20.0
"""A knot that fewer pixels speak for is not measured at all."""
_DECAY = math.log1p(working_curves.STEEPNESS)
"""Fall of the variance with the level in highlights: photon noise, whose variance in linear light
grows with the light, divides by the square of the curve's slope."""
_MOST_SHARED = 2.0
"""The shared factor only corrects: where channels are alike nothing tells the two factors apart,
and a color that no sample had would get the product of two that make no sense."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Strength:
    """Hold the variance of the grain at every level.

    Args:
        own: (3, knots) float32: factor by the level of the channel itself.
        shared: (3, knots) float32: factor by the luma.

    Both are in squares of the working curve's unit, at levels 0, 1/16, 2/16 and so on. The sign of
    a level is not regarded.
    """

    own: Tensor
    shared: Tensor

    def variance(self, level: Tensor) -> Tensor:
        """Return the grain's variance, (N, 3, H, W), of a (N, 3, H, W) picture.

        Args:
            level: The picture without its grain, working curve.
        """
        luma = _interpolated(self.shared, luma_of(level).expand_as(level))
        return _interpolated(self.own, level).mul_(luma)

    def scaled(self, factor: Tensor) -> Strength:
        """Return the table with the variance of each channel multiplied by (3,) factors."""
        return Strength(self.own * factor[:, None].to(self.own), self.shared)


def luma_of(picture: Tensor) -> Tensor:
    """Return the luma (N, 1, H, W) of a (N, 3, H, W) picture."""
    luma = picture[:, :1] * REC709_LUMA[0]
    for channel in (1, 2):
        luma = luma.add_(picture[:, channel : channel + 1], alpha=REC709_LUMA[channel])
    return luma


def fit_strength(squares: Tensor, level: Tensor, weight: Tensor) -> Strength:
    """Return the table that fits measured grain.

    Args:
        squares: (N, 3, H, W), the grain's values squared, or any values whose mean is its variance.
        level: (N, 3, H, W), the picture without its grain, working curve.
        weight: (N, 1, H, W), from 0 to 1: how much a pixel is to be believed.
    """
    energies, weights = _histograms(squares, level, weight)
    own, shared = np.empty((3, KNOTS)), np.empty((3, KNOTS))
    for channel in range(3):
        own[channel], shared[channel] = _fitted(energies[channel], weights[channel])
    return Strength(torch.from_numpy(own).to(squares), torch.from_numpy(shared).to(squares))


def median_strength(strengths: Sequence[Strength]) -> Strength:
    """Return the table whose factors are, knot by knot, the medians of those of several."""
    own = torch.stack([each.own for each in strengths])
    shared = torch.stack([each.shared for each in strengths])
    # How a variance is split up between the factors must not differ from table to table.
    scale = shared.log().mean(dim=-1, keepdim=True).exp()
    return Strength(*(each.quantile(0.5, dim=0) for each in (own * scale, shared / scale)))


def mean_by_level(values: Tensor, level: Tensor) -> Tensor:
    """Return the mean of what is found at a level, (N, 3, H, W), each channel by its own.

    Noise of a sensor has a mean of 0 in linear light; in a curve that is steeper in the dark it
    has a mean that follows the picture, as a change of color does, and neither is grain.

    Args:
        values: (N, 3, H, W).
        level: (N, 3, H, W), working curve.
    """
    knots = torch.arange(1 - KNOTS, KNOTS, dtype=torch.float64) * _FINE
    cells = (KNOTS - 1) * _FINE
    places = torch.arange(-cells, cells + 1, dtype=torch.float64)
    hats = (1.0 - (places[:, None] - knots).abs() / _FINE).clamp_(min=0.0)
    cell = (level * (_FINE / _STEP)).round_().long().clamp_(-cells, cells).add_(cells)
    means = torch.empty_like(values)
    for channel in range(3):
        at, each = cell[:, channel].reshape(-1), values[:, channel].reshape(-1).double()
        sums = torch.bincount(at, weights=each, minlength=2 * cells + 1).double().cpu()
        counts = torch.bincount(at, minlength=2 * cells + 1).double().cpu()
        at_knots = (sums @ hats) / (counts @ hats + _TRUSTED_PX)
        mean = (hats @ at_knots).to(values)
        means[:, channel] = mean.index_select(0, at).view_as(means[:, channel])
    return means


def _interpolated(table: Tensor, level: Tensor) -> Tensor:
    """Return a channel's (3, knots) table at the levels (N, 3, H, W)."""
    place = (level.abs() * (1.0 / _STEP)).clamp_(max=KNOTS - 1.001)
    index = place.to(torch.int32)
    place -= index
    found = torch.empty_like(place)
    for channel in range(3):
        at = index[:, channel]
        low = table[channel, :-1]
        rise = table[channel, 1:] - low
        found[:, channel] = torch.addcmul(
            low.index_select(0, at.reshape(-1)).view_as(at),
            rise.index_select(0, at.reshape(-1)).view_as(at),
            place[:, channel],
        )
    return found


def _histograms(squares: Tensor, level: Tensor, weight: Tensor) -> tuple[Array, Array]:
    """Return the sums of weighted squares and of weights, each (3, own cells, luma cells)."""
    cells = (KNOTS - 1) * _FINE
    scale = _FINE / _STEP
    luma = (luma_of(level).abs() * scale).long().clamp_(max=cells - 1)
    flat = weight.expand_as(luma).reshape(-1).double()
    energies, weights = np.empty((3, cells, cells)), np.empty((3, cells, cells))
    for channel in range(3):
        own = (level[:, channel : channel + 1].abs() * scale).long().clamp_(max=cells - 1)
        cell = (own * cells + luma).reshape(-1)
        energy = squares[:, channel].reshape(-1).double() * flat
        for target, values in ((energies, energy), (weights, flat)):
            counted = torch.bincount(cell, weights=values, minlength=cells * cells)
            target[channel] = counted.reshape(cells, cells).cpu().numpy()
    return energies, weights


def _fitted(energy: Array, weight: Array) -> tuple[Array, Array]:
    """Return the own and the shared factor, (knots,) each, that fit one channel's sums."""
    own, shared = np.zeros(KNOTS), np.ones(KNOTS)
    if energy.sum() <= 0.0:
        return own, shared
    rows, columns = (np.flatnonzero(weight.sum(axis=axis)) for axis in (1, 0))
    energy, weight = energy[np.ix_(rows, columns)], weight[np.ix_(rows, columns)]
    by_own, by_luma = _hats(rows), _hats(columns)
    own += energy.sum() / weight.sum()
    found_own, found_luma = by_own.T @ energy.sum(axis=1), by_luma.T @ energy.sum(axis=0)
    for _ in range(_ROUNDS):
        shared_now = by_luma @ shared
        own *= _ratio(found_own, by_own.T @ ((weight @ shared_now) * (by_own @ own)))
        own_now = by_own @ own
        shared *= _ratio(found_luma, by_luma.T @ ((weight.T @ own_now) * shared_now))
        shared = np.clip(shared, 1.0 / _MOST_SHARED, _MOST_SHARED)
    own = _completed(own, by_own.T @ weight.sum(axis=1), fall=_DECAY * _STEP)
    return own, _completed(shared, by_luma.T @ weight.sum(axis=0), fall=0.0)


def _ratio(found: Array, expected: Array) -> Array:
    """Return found / expected, not below 0, and 1 where nothing is expected."""
    ratio: Array = np.where(expected > _TINY, found / np.maximum(expected, _TINY), 1.0)
    return np.maximum(ratio, 0.0)


def _hats(cells: npt.NDArray[np.int64]) -> Array:
    """Return (cells, knots): how much each knot counts in the middle of a cell."""
    place = (cells + 0.5) / _FINE
    hats: Array = np.maximum(1.0 - np.abs(place[:, None] - np.arange(KNOTS)), 0.0)
    return hats


def _completed(factor: Array, seen_px: Array, *, fall: float) -> Array:
    """Return a factor at every knot: as it was found where many pixels speak for it, else smooth.

    In logarithms, it is the least sum of the squared distances from what was found, weighted by
    the pixels, and of the squared steps from knot to knot. Where nothing was found it is thus
    interpolated, and held below the first level: there the noise of a sensor no longer depends on
    the light. Above the last it falls by ``fall`` a knot.
    """
    known = np.flatnonzero(seen_px >= min(_SEEN_PX, seen_px.max()))
    floor = _LEAST_FACTOR * float(factor[known].max()) + _TINY
    trust = np.zeros(KNOTS)
    trust[known] = np.minimum(seen_px[known] / _TRUSTED_PX, _MOST_TRUST)
    steps = np.diff(np.eye(KNOTS), axis=0)
    wanted = np.where(np.arange(1, KNOTS) > known[-1], -fall, 0.0)
    logs = np.linalg.solve(
        np.diag(trust) + steps.T @ steps,
        trust * np.log(np.maximum(factor, floor)) + steps.T @ wanted,
    )
    filled: Array = np.exp(logs)
    return filled
