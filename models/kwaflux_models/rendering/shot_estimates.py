"""Estimate a shot: measure some of its frames, step by step, and combine what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from torch import nn

from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.shot_profile import Record
from kwaflux_models.rendering.effect_api import Measured, ShotMeasuringEffect
from kwaflux_models.rendering.flow_plan import FlowPlan
from kwaflux_models.rendering.flow_renderer import Checkpoint, FlowRenderer
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.render_context import RenderContext
from kwaflux_models.rendering.shot_decisions import Decisions, step_names
from kwaflux_models.rendering.step_renderer import Allocate

__all__ = ["ShotEstimates"]


@dataclass(frozen=True, slots=True)
class ShotEstimates:
    """Make the estimates of a shot, and read them from records.

    Args:
        context: What frames are rendered with.
        flow: The flow without its identities.
        loras: The LoRAs of each step, or None.
    """

    context: RenderContext
    flow: BoundFlow
    loras: Sequence[LoraStack | None]

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

    def name(self, step: int) -> str:
        """Return the name of a step, under which its record is kept."""
        return step_names(self.flow)[step - 1]

    def missing(self, records: Mapping[str, Record]) -> tuple[int, ...]:
        """Return the numbers of the steps that estimate something and have no record."""
        names = step_names(self.flow)
        return tuple(
            number
            for number, name in enumerate(names, start=1)
            if name not in records and self._is_judged(number)
        )

    def measure(
        self,
        step: int,
        plates: Mapping[int, Plate],
        *,
        frame: int,
        decided: Decisions,
        scratch: Allocate,
        checkpoint: Checkpoint,
    ) -> Measured:
        """Measure one frame for a step.

        Args:
            step: The number of the step.
            plates: The frame under its number, and the neighbors that the flow may read.
            frame: The frame's number.
            decided: The estimates of the steps before.
            scratch: Gives planes.
            checkpoint: Called between tiles.

        Raises:
            KwafluxError: As for a render.
        """
        windows = {number: plate.window for number, plate in plates.items()}
        plan = FlowPlan.of_measurement(self.flow, step, frame=frame, windows=windows)
        renderer = FlowRenderer(
            self.context,
            self.flow,
            plates,
            frame=frame,
            loras=self.loras,
            decided=decided,
            scratch=scratch,
            final=scratch,
            checkpoint=checkpoint,
        )
        return renderer.measure(plan)

    def combined(self, step: int, measurements: Sequence[Measured]) -> Record:
        """Return the record of a shot for a step."""
        with self._lent(step) as (effect, network):
            return effect.to_record(effect.combine(network, measurements))

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
