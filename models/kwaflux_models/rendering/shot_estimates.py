"""Estimate a shot: measure some of its frames, step by step, and combine what was measured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

from torch import nn

from kwaflux_core.errors import ImageError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.shot_profile import Record, Shot
from kwaflux_models.rendering.effect_api import Measured, ShotMeasuringEffect
from kwaflux_models.rendering.flow_plan import FlowPlan
from kwaflux_models.rendering.flow_renderer import Checkpoint, FlowRenderer
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.render_context import RenderContext
from kwaflux_models.rendering.shot_decisions import Decisions, step_names
from kwaflux_models.rendering.step_renderer import Allocate

__all__ = ["ReadPlates", "ShotEstimates"]

_LOG = logging.getLogger("kwaflux.rendering")
_FRAMES = 5
"""Frames of a shot that are measured."""

ReadPlates: TypeAlias = Callable[[int], Mapping[int, Plate]]


@dataclass(frozen=True, slots=True)
class ShotEstimates:
    """Make the estimates of a shot, and read them from records.

    Args:
        context: What frames are rendered with.
        flow: The flow without its identities.
        loras: The LoRAs of each step, or None.
        scratch: Gives planes.
        checkpoint: Called between frames and tiles: more urgent work may be done inside it, and
            what it raises ends the estimating.
    """

    context: RenderContext
    flow: BoundFlow
    loras: Sequence[LoraStack | None]
    scratch: Allocate
    checkpoint: Checkpoint

    def decisions(self, records: Mapping[str, Record]) -> Decisions:
        """Return the estimates of records, of those steps that estimate anything.

        Args:
            records: Under the names of the steps; others are ignored.

        Raises:
            RequestError: A record is not one of its step's effect.
        """
        steps: dict[int, Measured] = {}
        used: dict[str, Record] = {}
        for number, name in enumerate(step_names(self.flow), start=1):
            if name in records and self._is_judged(number):
                values = self.flow.steps[number - 1].values
                with self._lent(number) as (effect, _):
                    steps[number] = effect.from_record(records[name], values)
                used[name] = records[name]
        return Decisions(steps, used)

    def missing(self, records: Mapping[str, Record]) -> tuple[int, ...]:
        """Return the numbers of the steps that estimate something and have no record."""
        names = step_names(self.flow)
        return tuple(
            number
            for number, name in enumerate(names, start=1)
            if name not in records and self._is_judged(number)
        )

    def shot(self, shot: Shot, frames: Sequence[int], read: ReadPlates) -> Shot:
        """Return a shot with the estimates that it lacks.

        Args:
            shot: The shot, with the estimates that are known.
            frames: The frames that it has, ascending.
            read: Returns a frame's plate and those of the neighbors that the flow may read. What
                it cannot read is left out.

        Raises:
            KwafluxError: As for a render.
        """
        records: dict[str, Record] = dict(shot.effects)
        judged = shot.judged
        names = step_names(self.flow)
        for step in self.missing(records):
            decided = self.decisions(records)
            measured: dict[int, Measured] = {}
            for frame in _spread(frames):
                self.checkpoint()
                try:
                    plates = read(frame)
                except ImageError as error:
                    _LOG.warning("frame %d is not judged: %s", frame, error.message)
                    continue
                measured[frame] = self._measured(step, plates, frame=frame, decided=decided)
            if measured:
                judged = tuple(measured)
                with self._lent(step) as (effect, network):
                    combined = effect.combine(network, list(measured.values()))
                    records[names[step - 1]] = effect.to_record(combined)
        return replace(shot, judged=judged, effects=records)

    def _measured(
        self, step: int, plates: Mapping[int, Plate], *, frame: int, decided: Decisions
    ) -> Measured:
        windows = {number: plate.window for number, plate in plates.items()}
        plan = FlowPlan.of_measurement(self.flow, step, frame=frame, windows=windows)
        renderer = FlowRenderer(
            self.context,
            self.flow,
            plates,
            frame=frame,
            loras=self.loras,
            decided=decided,
            scratch=self.scratch,
            final=self.scratch,
            checkpoint=self.checkpoint,
        )
        return renderer.measure(plan)

    def _is_judged(self, step: int) -> bool:
        bound = self.flow.steps[step - 1]
        if not bound.card.measures:
            return False
        with self.context.lend(bound.card, self.loras[step - 1]) as loaded:
            effect = loaded.effect
            return isinstance(effect, ShotMeasuringEffect) and effect.judges(bound.values)

    @contextmanager
    def _lent(self, step: int) -> Iterator[tuple[ShotMeasuringEffect, nn.Module]]:
        bound = self.flow.steps[step - 1]
        with self.context.lend(bound.card, self.loras[step - 1]) as loaded:
            yield cast(ShotMeasuringEffect, loaded.effect), loaded.network


def _spread(frames: Sequence[int]) -> tuple[int, ...]:
    """Return frames in the middle of as many equal parts of a shot."""
    if len(frames) <= _FRAMES:
        return tuple(frames)
    return tuple(frames[(2 * at + 1) * len(frames) // (2 * _FRAMES)] for at in range(_FRAMES))
