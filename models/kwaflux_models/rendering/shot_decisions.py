"""Estimates that hold for a whole shot: read from a profile, or made of some of its frames."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.shot_profile import Record
from kwaflux_models.rendering.effect_api import Measured

__all__ = ["NO_DECISIONS", "Decisions", "step_names"]


@dataclass(frozen=True, slots=True)
class Decisions:
    """The estimates of a shot.

    Args:
        steps: The estimates by the number of the step, from 1, of the flow without its identities.
        records: The same as plain values, under the names of the steps.
    """

    steps: Mapping[int, Measured] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A text that differs where the estimates differ."""
        return json.dumps(self.records, sort_keys=True) if self.records else ""


NO_DECISIONS = Decisions()
"""Every frame is measured by itself."""


def step_names(flow: BoundFlow) -> tuple[str, ...]:
    """Return the id of each step's effect, numbered where the flow has it more than once."""
    ids = [step.card.id for step in flow.steps]
    counts = Counter(ids)
    return tuple(
        own if counts[own] == 1 else f"{own}#{ids[: at + 1].count(own)}"
        for at, own in enumerate(ids)
    )
