"""Carry out the plan of one frame: render and measure, step by step.

Owns the order of work, smaller tiles when memory runs out, and what is taken from the cache and
put into it. Must not know which pixels a caller wants, or what a result says of itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from kwaflux_core.errors import OutOfMemory
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.geometry import Box
from kwaflux_models.rendering.device import Precision
from kwaflux_models.rendering.effect_api import SAMPLE_PX, Measured, MeasuringEffect, Samples
from kwaflux_models.rendering.flow_plan import FlowPlan, MeasureTask, PlateTask, RenderTask, Task
from kwaflux_models.rendering.image_contract import Domain
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.measure_samples import (
    aligned_sample_tensor,
    sample_tensor,
    source_place,
)
from kwaflux_models.rendering.motion_field import MotionField
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.render_context import RenderContext
from kwaflux_models.rendering.shot_decisions import Decisions, step_names
from kwaflux_models.rendering.step_cache import CachedStep, Sources
from kwaflux_models.rendering.step_renderer import (
    Allocate,
    Plane,
    StepRenderer,
    StepResult,
    TemporalInput,
    cut,
)

__all__ = ["Checkpoint", "FlowRenderer"]

Checkpoint: TypeAlias = Callable[[], None]
"""Called between tiles: more urgent work may be done inside it, and raising ends the frame."""

_SMALLEST_TILE_PX = 128


class FlowRenderer:
    """Render one frame through a flow.

    Args:
        context: Lends effects; caches what other frames may want.
        flow: The flow without its identities.
        plates: The frame under its number, and the neighbors that the flow may read.
        frame: The frame's number.
        loras: The LoRAs of each step, or None.
        decided: Estimates that hold for the whole shot, by the number of the step.
        scratch: Gives the planes for what lies between two effects.
        final: Gives the planes for the last effect's result.
        checkpoint: Called between tiles.
    """

    def __init__(
        self,
        context: RenderContext,
        flow: BoundFlow,
        plates: Mapping[int, Plate],
        *,
        frame: int,
        loras: Sequence[LoraStack | None],
        decided: Decisions,
        scratch: Allocate,
        final: Allocate,
        checkpoint: Checkpoint,
    ) -> None:
        self.tile_px = context.tile_px
        self.fallbacks: list[str] = []
        self._context = context
        self._steps = flow.steps
        self._plates = plates
        self._frame = frame
        self._loras = loras
        self._decided = decided
        self._scratch = scratch
        self._final = final
        self._checkpoint = checkpoint
        self._precisions: dict[int, Precision] = {}
        self._measured: dict[tuple[int, int], Measured] = {}
        self._results: dict[int, StepResult] = {}

    # --- what the frame's report says -------------------------------------------------------

    def precisions(self) -> tuple[Precision, ...]:
        """Return what each step ran in, in the flow's order."""
        return tuple(self._precisions[step] for step in sorted(self._precisions))

    def measured_values(self) -> dict[str, float]:
        """Return the numbers that the effects report of the frame, under their full names."""
        return {
            f"{self._name(step)}.{name}": float(value)
            for step in range(1, len(self._steps) + 1)
            for name, value in self._of_frame(step).shown.items()
            if math.isfinite(value)
        }

    def skip_reasons(self) -> tuple[str, ...]:
        """Return why effects left the frame alone, a sentence each."""
        texts = []
        for number, step in enumerate(self._steps, start=1):
            refusal = self._of_frame(number).refusal
            did = "left the frame as it came" if step.scale == 1 else "did no more than enlarge it"
            if refusal:
                texts.append(f"{self._name(number)} {did}: {refusal}")
        return tuple(texts)

    def decisions(self) -> tuple[str, ...]:
        """Return what the effects found and what they do about it, a sentence each."""
        found = ((step, self._of_frame(step)) for step in range(1, len(self._steps) + 1))
        return tuple(
            f"{self._name(step)}: {each.decision}" for step, each in found if each.decision
        )

    def _of_frame(self, step: int) -> Measured:
        return self._measured_of(step, self._frame) or Measured()

    def _measured_of(self, step: int, frame: int) -> Measured | None:
        decided = self._decided.steps.get(step)
        return decided or self._measured.get((step, frame))

    def _name(self, step: int) -> str:
        return step_names(BoundFlow(self._steps))[step - 1]

    # --- the plan ---------------------------------------------------------------------------

    def run(self, plan: FlowPlan) -> StepResult:
        """Carry a plan out and return the result of its last task.

        A task whose result is cached needs no other; samples are rendered only where the input of
        what measures them does not hold them.

        Raises:
            OutOfMemory: Not even the smallest tile fits.
        """
        goal = len(plan.tasks) - 1
        uses = _uses(plan)
        pending = [goal]
        while pending:
            index = pending[-1]
            task = plan.tasks[index]
            if index in self._results or self._is_measured(task):
                pending.pop()
            elif (cached := self._cached(task)) is not None:
                self._results[index] = cached
            elif missing := [at for at in self._needs(task) if not self._is_done(plan, at)]:
                pending += reversed(missing)
            else:
                self._run(index, task)
                for at in _read_by(task):
                    uses[at] -= 1
                    if not uses[at]:
                        self._results.pop(at, None)
        return self._results[goal]

    def measure(self, plan: FlowPlan) -> Measured:
        """Carry a plan out whose last task measures, and return what was measured.

        Raises:
            OutOfMemory: Not even the smallest tile fits.
        """
        *before, task = plan.tasks
        if not isinstance(task, MeasureTask):
            raise ValueError("the plan's last task does not measure")
        needed = {task.input, *task.samples}
        for index in sorted(needed):
            self.run(FlowPlan(tuple(before[: index + 1])))
        self._run(len(before), task)
        return self._measured[task.step, task.frame]

    def _is_done(self, plan: FlowPlan, index: int) -> bool:
        return index in self._results or self._is_measured(plan.tasks[index])

    def _is_measured(self, task: Task) -> bool:
        if not isinstance(task, MeasureTask):
            return False
        return self._measured_of(task.step, task.frame) is not None

    def _needs(self, task: Task) -> tuple[int, ...]:
        """Return the tasks that must be done before this one can be."""
        match task:
            case PlateTask():
                return ()
            case RenderTask(inputs=inputs, measure=measure):
                return inputs if measure is None else (*inputs, measure)
            case MeasureTask():
                if task.input not in self._results:
                    return (task.input,)
                return tuple(at for at, _ in self._samples(task) if at != task.input)

    def _samples(self, task: MeasureTask) -> list[tuple[int, Box]]:
        """Return, for each place, the task whose result it is cut out of."""
        before, held = self._results[task.input].plate.window, task.input
        whole = self._plates[task.frame].window.scaled(task.scale)
        found = []
        for index, place in enumerate(task.places):
            at = held
            if not before.contains(place.intersection(whole) or whole):
                at = task.samples[index]
                if task.is_whole:
                    before, held = whole, at
            found.append((at, place))
        return found

    def _run(self, index: int, task: Task) -> None:
        """Do one task; where memory runs out, make room and try again."""
        has_failed = False
        while True:
            try:
                match task:
                    case PlateTask(frame):
                        self._results[index] = StepResult(self._plates[frame], is_touched=False)
                    case MeasureTask():
                        self._measured[task.step, task.frame] = self._measure(task)
                    case RenderTask():
                        self._results[index] = self._render(task)
                        self._cache(task, self._results[index])
            except (torch.OutOfMemoryError, MemoryError) as error:
                self._make_room(task, error, has_failed=has_failed)
                has_failed = True
            else:
                return

    def _make_room(self, task: Task, error: Exception, *, has_failed: bool) -> None:
        """Release memory and, for a render, halve the tiles.

        Raises:
            OutOfMemory: Nothing more can be released.
        """
        context = self._context
        context.device.release_memory()
        hint = "close other programs that use the device, or set devices to 'cpu'"
        if isinstance(task, MeasureTask):
            if has_failed:
                raise OutOfMemory(
                    f"{len(task.places)} samples of {SAMPLE_PX} pixels do not fit on "
                    f"{context.device.label}",
                    hint=hint,
                    needed_bytes=len(task.places) * 3 * SAMPLE_PX * SAMPLE_PX * 4,
                ) from error
            return
        context.cache.clear()
        context.motion.clear()
        if self.tile_px <= _SMALLEST_TILE_PX:
            plate = self._plates[self._frame]
            raise OutOfMemory(
                f"a tile of {self.tile_px} pixels of a {plate.window.width} x "
                f"{plate.window.height} frame does not fit on {context.device.label}",
                hint=hint,
                needed_bytes=plate.nbytes,
            ) from error
        self.tile_px = max(self.tile_px // 2, _SMALLEST_TILE_PX)
        self.fallbacks.append(f"tile {self.tile_px}")

    # --- a step -----------------------------------------------------------------------------

    def _render(self, task: RenderTask) -> StepResult:
        context, step = self._context, self._steps[task.step - 1]
        inputs = [self._results[at] for at in task.inputs]
        is_last = task.step == len(self._steps)
        allocate = self._final if is_last else self._scratch
        allocate = _new_planes if task.is_sample else allocate
        with context.lend(step.card, self._loras[task.step - 1]) as loaded:
            self._precisions[task.step] = loaded.precision
            renderer = StepRenderer(
                step,
                loaded=loaded,
                source=TemporalInput(
                    tuple(each.plate for each in inputs),
                    task.frames,
                    task.center,
                    task.whole,
                    task.whole.width // self._plates[task.frame].window.width,
                    partial(self._motions, task) if step.card.motion_px else None,
                ),
                measured=self._measured_of(task.step, task.frame),
                device=context.device,
                config=context.config,
            )
            result = renderer.render(
                task.region,
                tile_px=self.tile_px,
                allocate=allocate,
                checkpoint=self._checkpoint,
            )
        if not result.is_touched:
            result = inputs[task.center]
            if is_last and result.is_touched:
                result = _copied(result, task.region, allocate)
        beyond = max(result.beyond_trained, *(each.beyond_trained for each in inputs))
        return replace(result, beyond_trained=beyond)

    def _motions(self, task: RenderTask) -> tuple[MotionField | None, ...]:
        """Return the motion from the frame to each of its neighbors, found on their plates."""
        frame = self._plates[task.frame]
        return tuple(
            None if neighbor == task.frame else self._motion(frame, self._plates[neighbor])
            for neighbor in task.frames
        )

    def _motion(self, frame: Plate, neighbor: Plate) -> MotionField:
        self._checkpoint()
        return self._context.motion.between(frame, neighbor)

    def _measure(self, task: MeasureTask) -> Measured:
        context, step = self._context, self._steps[task.step - 1]
        source = self._plates[task.frame]
        domain = Domain(
            step.card.working,
            colorspace=source.colorspace,
            config=context.config,
            is_premultiplied=source.is_premultiplied,
        )
        places = [(self._results[at].plate, place) for at, place in self._samples(task)]
        pictures = sample_tensor(places, domain=domain, device=context.device)
        sources = pictures
        if task.step > 1:
            own = [(source, source_place(place, scale=task.scale)) for place in task.places]
            sources = sample_tensor(own, domain=domain, device=context.device)
        neighbors = self._neighbor_samples(task, domain)
        samples = Samples(pictures, sources, task.scale, neighbors, source.coding)
        self._checkpoint()
        stack = self._loras[task.step - 1]
        with context.lend(step.card, stack) as loaded, torch.inference_mode():
            if not isinstance(loaded.effect, MeasuringEffect):
                return Measured()
            return loaded.effect.measure(loaded.network, samples, step.values)

    def _neighbor_samples(self, task: MeasureTask, domain: Domain) -> Tensor | None:
        if not task.neighbors:
            return None
        source = self._plates[task.frame]
        places = [source_place(place, scale=task.scale) for place in task.places]
        return torch.stack(
            [
                aligned_sample_tensor(
                    self._plates[neighbor],
                    places,
                    motion=self._motion(source, self._plates[neighbor]),
                    whole=source.window,
                    reach_px=self._steps[task.step - 1].card.motion_px,
                    domain=domain,
                    device=self._context.device,
                )
                for neighbor in task.neighbors
            ]
        )

    # --- the cache --------------------------------------------------------------------------

    def _cached(self, task: Task) -> StepResult | None:
        if not isinstance(task, RenderTask) or not task.sources:
            return None
        found = self._context.cache.find(self._key(task), task.wanted, self._sources(task))
        if found is None:
            return None
        self._precisions.update(found.precisions)
        self._measured.update({(at, task.frame): each for at, each in found.measured.items()})
        return found.result

    def _cache(self, task: RenderTask, result: StepResult) -> None:
        if not task.sources or self.tile_px != self._context.tile_px:
            return
        measured = {
            at: found
            for (at, frame), found in self._measured.items()
            if frame == task.frame and at <= task.step
        }
        precisions = {at: used for at, used in self._precisions.items() if at <= task.step}
        self._context.cache.put(
            self._key(task),
            task.wanted,
            self._sources(task),
            CachedStep(result, measured, precisions),
            limit=2 * task.readers,
        )

    def _key(self, task: RenderTask) -> str:
        """Return what names the steps: their text, the bytes of their LoRAs, what was decided."""
        steps = BoundFlow(self._steps[: task.step]).to_text()
        loras = (stack.key for stack in self._loras[: task.step] if stack is not None)
        return " ".join((steps, *loras, self._decided.key))

    def _sources(self, task: RenderTask) -> Sources:
        return tuple((frame, self._plates[frame]) for frame in task.sources)


def _read_by(task: Task) -> tuple[int, ...]:
    match task:
        case PlateTask():
            return ()
        case RenderTask():
            return task.inputs
        case MeasureTask():
            return (task.input, *task.samples)


def _uses(plan: FlowPlan) -> Counter[int]:
    """Return how often each task's result is read; a result that was read as often can go."""
    return Counter(at for task in plan.tasks for at in _read_by(task))


def _copied(result: StepResult, region: Box, allocate: Allocate) -> StepResult:
    """Return a region of a result in planes of its own: the result may stay in the cache."""
    plate, window = result.plate, result.plate.window
    color = allocate(region.height, region.width)
    for into, plane in zip(color, plate.color, strict=True):
        np.copyto(into, cut(plane, region, window))
    alpha = None if plate.alpha is None else cut(plate.alpha, region, window)
    return replace(result, plate=replace(plate, color=color, alpha=alpha, window=region))


def _new_planes(height: int, width: int) -> tuple[Plane, Plane, Plane]:
    """Return planes for pixels that are only measured; a pool has no use for their size."""
    stack = np.empty((3, height, width), np.float32)
    return stack[0], stack[1], stack[2]
