"""Fit a network's probe to the levels of a pool."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kwaflux_models.effects.level_probe import LevelProbe, statistics
from kwaflux_models.training.loop.batch import working
from kwaflux_models.training.loop.sample_pool import Pool

__all__ = ["STEPS", "cross_judged", "fit_probe", "pool_statistics"]

STEPS = 3000
_BATCH = 256
_RATE = 2e-3
_DECAY = 3e-2
_DROPPED = 0.1
"""Share of the statistics that is hidden at a time, so that none is relied on alone."""


@torch.no_grad()
def pool_statistics(pool: Pool) -> Tensor:
    """Return the statistics of every degraded patch of a pool, (N, features)."""
    parts = range(0, len(pool), 32)
    return torch.cat([statistics(working(pool.degraded[at : at + 32])) for at in parts])


def fit_probe(found: Tensor, levels: Tensor, *, seed: int, steps: int = STEPS) -> LevelProbe:
    """Return a probe fitted to known levels.

    It learns the level and its own doubt together, by the likelihood of a Laplace distribution.

    Args:
        found: (N, features), the statistics.
        levels: (N,), a level of 0 means that there is nothing to mend.
        seed: Of the batches and the first weights.
        steps: How many batches.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    probe = LevelProbe()
    probe.center.copy_(found.mean(dim=0))
    probe.spread.copy_(found.std(dim=0).clamp_min(1e-3))
    unit = float(levels.std())
    optimiser = torch.optim.AdamW(probe.parameters(), lr=_RATE, weight_decay=_DECAY)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        picks = torch.from_numpy(rng.integers(len(levels), size=_BATCH))
        is_hidden = torch.from_numpy(rng.random((_BATCH, found.shape[1])) < _DROPPED)
        judged = probe.read(torch.where(is_hidden, probe.center, found[picks]))
        off = (judged.level - levels[picks]).abs()
        loss = (off / judged.doubt + torch.log(judged.doubt / unit)).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return probe.eval()


@torch.no_grad()
def cross_judged(found: Tensor, levels: Tensor, *, seed: int, steps: int = STEPS) -> Tensor:
    """Return (N,) levels as a probe tells them that has not seen the sample."""
    told = torch.empty_like(levels)
    half = torch.arange(len(levels)) < len(levels) // 2
    for is_judged in (half, ~half):
        with torch.enable_grad():
            probe = fit_probe(found[~is_judged], levels[~is_judged], seed=seed, steps=steps)
        told[is_judged] = probe.read(found[is_judged]).level
    return told
