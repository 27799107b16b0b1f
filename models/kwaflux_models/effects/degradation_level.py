"""What the restoring effects have in common: how strong is it, and how much is done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kwaflux_models.effects.restorer_network import Restorer
from kwaflux_models.rendering.effect_api import Measured, Samples, Value

__all__ = ["Judgment", "judged", "judgment_of", "levels"]

_FLAT = 5e-4
"""A sample that varies by less, working curve, says nothing of what happened to it."""


@dataclass(frozen=True, slots=True)
class Judgment:
    """Hold the level of one frame.

    Args:
        level: What the network is told, in the unit it was trained with.
        share: 0..1, how much of the network's correction is applied: 0 where there is nothing to
            mend, so that what is clean keeps its bits.
        beyond_doubt: The level that the frame has at least.
    """

    level: float
    share: float
    beyond_doubt: float = 0.0


def judged(network: Restorer, samples: Samples, *, nothing: float, plenty: float) -> Judgment:
    """Judge the level of a frame by the samples that hold something; an even frame has none.

    Args:
        network: The effect's network; its probe is asked.
        samples: Places of the frame.
        nothing: Where no more than this is beyond doubt, the frame is left alone.
        plenty: Where this is beyond doubt, the whole correction is applied.
    """
    first = next(network.probe.parameters())
    pictures = samples.pictures[samples.pictures.flatten(1).std(dim=1) > _FLAT]
    if not len(pictures):
        return Judgment(0.0, 0.0)
    found = network.probe(pictures.to(first.dtype))
    least = found.at_least()
    x = min(1.0, max(0.0, (least - nothing) / (plenty - nothing)))
    return Judgment(found.together(), x * x * (3.0 - 2.0 * x), least)


def judgment_of(measured: Measured | None, told: float) -> Judgment:
    """Return what a frame's measurement says, or what a person said instead.

    Args:
        measured: The effect's measurement; None where nothing was measured.
        told: The person's level; 0 if left to be judged.
    """
    if told > 0.0:
        return Judgment(told, 1.0)
    data = measured.data if measured is not None else None
    return data if isinstance(data, Judgment) else Judgment(0.0, 0.0)


def levels(judgment: Judgment, values: Mapping[str, Value], *, like: Tensor) -> Tensor:
    """Return the (1, 2, 1, 1) numbers a network is told: the level, and the detail wanted."""
    told = torch.tensor([judgment.level, float(values["detail"])], device=like.device)
    return told.to(like.dtype).reshape(1, 2, 1, 1)
