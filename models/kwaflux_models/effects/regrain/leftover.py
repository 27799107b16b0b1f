"""The share of the grain that a cleaning step left in the picture."""

from __future__ import annotations

import torch
from torch import Tensor

from kwaflux_models.effects.regrain.spectrum import GRID, OPPONENT

__all__ = ["left_per_removed"]

_RINGS = 10
_DRIFT = 0.15
"""How far what is left of the grain may differ from one ring of frequencies to the next."""
_LEAST_CHANCE = 2e-4
"""Squared error of a ring's share, however well its samples agree."""


def left_per_removed(grain: Tensor, left: Tensor, weight: Tensor) -> Tensor:
    """Return how much of the grain is still in the picture for each part that was removed.

    It is the regression of what is there on what was removed, in rings of frequency, for luma and
    for color. The picture itself has nothing to do with the grain and only blurs the estimate:
    samples count the less the more of it they hold, and a ring that says little leans on the one
    above it.

    Returns:
        (3, GRID, GRID) float64: of luma and two colors; 0 where all was removed, 1 where half.
    """
    side = weight.shape[-1]
    turned = grain.new_tensor(OPPONENT)
    window = torch.hann_window(side, device=grain.device).sqrt()
    window = weight * (window[:, None] * window)
    removed, there = (
        torch.fft.rfft2(torch.einsum("ij,njhw->nihw", turned, each) * window)
        for each in (grain, left)
    )
    down = torch.fft.fftfreq(side, dtype=torch.float64)
    across = torch.fft.rfftfreq(side, dtype=torch.float64)
    radius = (down[:, None].square() + across.square()).sqrt()
    ring = (radius * (2 * _RINGS)).long().clamp(max=_RINGS - 1).reshape(-1)
    bins = torch.bincount(ring, minlength=_RINGS).double() * _independent(window)
    together, own, other = (
        _ring_sums(each, ring)
        for each in (
            (removed.conj() * there).real,
            removed.real.square() + removed.imag.square(),
            there.real.square() + there.imag.square(),
        )
    )
    found = torch.stack([_regressed(together, own, other, bins, part) for part in ((0,), (1, 2))])
    grid = torch.fft.fftfreq(GRID, dtype=torch.float64)
    place = (grid[:, None].square() + grid.square()).sqrt() * (2 * _RINGS) - 0.5
    at = place.clamp(0.0, _RINGS - 1.001)
    low = at.long()
    spread = torch.lerp(found[:, low], found[:, low + 1], at - low)
    return spread[[0, 1, 1]]


def _ring_sums(values: Tensor, ring: Tensor) -> Tensor:
    """Return (N, 3, rings) float64 on the CPU: the sums over rings of frequency."""
    flat = values.double().flatten(2).cpu()
    return torch.zeros(*flat.shape[:2], _RINGS, dtype=torch.float64).index_add_(2, ring, flat)


def _independent(window: Tensor) -> float:
    """Return the share of frequencies that are independent of each other under a window."""
    return float(window.mean().square() / window.square().mean().clamp(min=1e-12))


def _regressed(
    together: Tensor, own: Tensor, other: Tensor, bins: Tensor, part: tuple[int, ...]
) -> Tensor:
    """Return (rings,): the regression of some components, from the highest ring downwards.

    What may be chance is shrunk away: of a slope of three standard errors nothing is left. The
    error is what the samples' disagreement tells or what theory does, whichever is greater.
    """
    xy, xx, yy = (each[:, list(part)].flatten(0, 1) for each in (together, own, other))
    trust = 1.0 / (yy / xx.clamp(min=1e-9) + 0.2)
    total = (trust * xx).sum(dim=0).clamp(min=1e-9)
    slope = (trust * xy).sum(dim=0) / total
    found = torch.zeros_like(slope)
    count = xy.shape[0]
    if count < 2:
        return found
    seen = (trust * (xy - slope * xx)).square().sum(dim=0) * count / (count - 1)
    expected = (trust.square() * xx * yy).sum(dim=0) / bins.clamp(min=1.0)
    chance = torch.maximum(seen, expected) / total.square()
    believed, doubt = 0.0, 1.0
    for ring in reversed(range(_RINGS)):
        gain = doubt / (doubt + float(chance[ring]) + _LEAST_CHANCE)
        believed += gain * (float(slope[ring]) - believed)
        doubt *= 1.0 - gain
        found[ring] = believed * max(0.0, 1.0 - 9.0 * doubt / max(believed**2, 1e-9))
        doubt += _DRIFT**2
    return found
