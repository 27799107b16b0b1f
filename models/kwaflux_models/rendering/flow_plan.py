"""The plan of rendering one frame through a flow: steps, frames and pixels, as data.

A plan is pure: made of a bound flow and of data windows, without pixels, networks or caches. Steps
are counted from 1; 0 is the plate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kwaflux_core.errors import FrameMissing
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.sequence import temporal_window
from kwaflux_core.geometry import Box
from kwaflux_models.rendering.effect_api import SAMPLE_PX
from kwaflux_models.rendering.measure_samples import sample_places
from kwaflux_models.rendering.motion_compensation import MARGIN_PX

__all__ = ["FlowPlan", "MeasureTask", "PlateTask", "RenderTask", "Task"]


@dataclass(frozen=True, slots=True)
class PlateTask:
    """Take a frame's plate."""

    frame: int


@dataclass(frozen=True, slots=True)
class RenderTask:
    """Render pixels of a frame with one step.

    Args:
        step: Which.
        frame: The frame's number.
        wanted: Pixels of the step's result that are asked for.
        region: Pixels of the step's input that make them.
        whole: The frame's data window as the step receives it.
        inputs: Tasks of the frames in the step's temporal window, oldest first.
        frames: The numbers of those frames.
        center: Index of the frame itself among them.
        measure: The task that measures the frame for this step; None where the effect does not.
        is_sample: Whether the result is only measured, by a later step.
        sources: The frames whose plates the result is made of, where other frames' rendering wants
            the same result; empty where it need not be cached.
        readers: For how many frames one frame's rendering wants this result.
    """

    step: int
    frame: int
    wanted: Box
    region: Box
    whole: Box
    inputs: tuple[int, ...]
    frames: tuple[int, ...]
    center: int
    measure: int | None
    is_sample: bool
    sources: tuple[int, ...]
    readers: int


@dataclass(frozen=True, slots=True)
class MeasureTask:
    """Measure a frame for one step, once, whatever part of it is rendered.

    Args:
        step: Which.
        frame: The frame's number.
        places: Where the frame is measured, in the step's input.
        scale: How many times larger the step's input is than the plate.
        input: The task of the frame as the step receives it; it may hold a part of the frame.
        samples: For each place the task that renders it, where ``input`` does not hold it.
        is_whole: Whether the samples are one task, of the whole frame.
        neighbors: The frames whose plates are compared with the frame's, for an effect that aligns
            its neighbors.
    """

    step: int
    frame: int
    places: tuple[Box, ...]
    scale: int
    input: int
    samples: tuple[int, ...]
    is_whole: bool
    neighbors: tuple[int, ...] = ()


Task: TypeAlias = "PlateTask | RenderTask | MeasureTask"


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """Hold the tasks of one frame, each after those it needs. The last one is the result.

    Args:
        tasks: The tasks; they name each other by their index.
    """

    tasks: tuple[Task, ...]

    @classmethod
    def of(
        cls, flow: BoundFlow, *, frame: int, wanted: Box, windows: Mapping[int, Box]
    ) -> FlowPlan:
        """Return the plan of a frame.

        Args:
            flow: The flow without its identities.
            frame: The frame's number.
            wanted: Pixels of the result, in the result's scale.
            windows: The data windows of the frames that are there.

        Raises:
            FrameMissing: A frame is not there that lies between two that are.
        """
        builder = _Builder(flow, windows)
        builder.render(len(flow.steps), frame, wanted, is_sample=False)
        return cls(tuple(builder.tasks))

    @classmethod
    def of_measurement(
        cls, flow: BoundFlow, step: int, *, frame: int, windows: Mapping[int, Box]
    ) -> FlowPlan:
        """Return the plan that ends with the measuring of a frame for one step.

        Args:
            flow: The flow without its identities.
            step: The number of the step; its effect measures.
            frame: The frame's number.
            windows: The data windows of the frames that are there.

        Raises:
            FrameMissing: A frame is not there that lies between two that are.
        """
        builder = _Builder(flow, windows)
        builder.measure(step, frame)
        return cls(tuple(builder.tasks))

    def __str__(self) -> str:
        return "\n".join(f"{index:3} {_in_words(task)}" for index, task in enumerate(self.tasks))


class _Builder:
    def __init__(self, flow: BoundFlow, windows: Mapping[int, Box]) -> None:
        self.tasks: list[Task] = []
        self._steps = flow.steps
        self._windows = windows
        self._known: dict[tuple[object, ...], int] = {}

    def render(self, step: int, frame: int, wanted: Box, *, is_sample: bool) -> int:
        """Return the task that gives a frame after the first ``step`` steps."""
        if step == 0:
            self._window(frame)
            key: tuple[object, ...] = ("plate", frame)
            return self._known[key] if key in self._known else self._add(key, PlateTask(frame))
        key = ("render", step, frame, wanted, is_sample)
        if key in self._known:
            return self._known[key]
        bound = self._steps[step - 1]
        whole = self._whole(step - 1, frame)
        region = _shrunk(wanted, scale=bound.scale, inside=whole)
        needed = _needed(region, card=bound.card, inside=whole)
        frames, center = self._temporal_window(bound.card, frame)
        inputs = tuple(
            self.render(
                step - 1,
                neighbor,
                needed if neighbor == frame else _reached(needed, bound.card, inside=whole),
                is_sample=is_sample,
            )
            for neighbor in frames
        )
        measure = self.measure(step, frame, inputs[center]) if bound.card.measures else None
        readers = self._readers(step)
        sources = self._sources(step, frame) if readers > 1 and not is_sample else ()
        task = RenderTask(
            step,
            frame,
            wanted,
            region,
            whole,
            inputs,
            frames,
            center,
            measure,
            is_sample,
            sources,
            readers,
        )
        return self._add(key, task)

    def measure(self, step: int, frame: int, center: int | None = None) -> int:
        """Return the task that measures a frame for a step.

        Args:
            step: The number of the step.
            frame: The frame's number.
            center: The task of the frame as the step receives it, if it is rendered anyway.
        """
        key = ("measure", step, frame)
        if key in self._known:
            return self._known[key]
        scale, whole = self._scale(step - 1), self._whole(step - 1, frame)
        places = sample_places(whole, align_px=self._steps[step - 1].card.align_px, scale=scale)
        is_whole = step > 1 and self._outweighs(step - 1, len(places), whole)
        samples: tuple[int, ...] = ()
        if step > 1:
            wanted = (whole,) if is_whole else tuple(p.intersection(whole) or whole for p in places)
            samples = tuple(self.render(step - 1, frame, box, is_sample=True) for box in wanted)
            samples *= len(places) if is_whole else 1
        if center is None:
            center = samples[0] if samples else self.render(0, frame, whole, is_sample=True)
        card = self._steps[step - 1].card
        around = self._temporal_window(card, frame)[0] if card.motion_px else ()
        neighbors = tuple(dict.fromkeys(number for number in around if number != frame))
        task = MeasureTask(step, frame, places, scale, center, samples, is_whole, neighbors)
        return self._add(key, task)

    def _add(self, key: tuple[object, ...], task: Task) -> int:
        self.tasks.append(task)
        self._known[key] = len(self.tasks) - 1
        return len(self.tasks) - 1

    def _scale(self, step: int) -> int:
        return math.prod(bound.scale for bound in self._steps[:step])

    def _window(self, frame: int) -> Box:
        if frame not in self._windows:
            raise FrameMissing(
                f"frame {frame}, which the flow reads as a neighbor, is missing",
                hint="bring the frame back, or render ranges on both sides of the gap",
                frame=frame,
            )
        return self._windows[frame]

    def _whole(self, step: int, frame: int) -> Box:
        """Return a frame's data window after the first ``step`` steps."""
        return self._window(frame).scaled(self._scale(step))

    def _temporal_window(self, card: Card, frame: int) -> tuple[tuple[int, ...], int]:
        """Return the frames a step reads, and the index of the frame itself among them."""
        radius = max(card.frames_before, card.frames_after)
        if radius == 0:
            return (frame,), 0
        around = temporal_window(
            frame, radius=radius, first=min(self._windows), last=max(self._windows)
        )
        first = radius - card.frames_before
        return around[first : radius + card.frames_after + 1], card.frames_before

    def _outweighs(self, step: int, places: int, whole: Box) -> bool:
        """Tell whether places, each with the context of ``step`` steps, outweigh the frame."""
        side = SAMPLE_PX + 2 * sum(bound.card.halo_px for bound in self._steps[:step])
        return places * side * side >= whole.area_px

    def _readers(self, step: int) -> int:
        later = [bound.card for bound in self._steps[step:]]
        return 1 + sum(card.frames_before + card.frames_after for card in later)

    def _sources(self, step: int, frame: int) -> tuple[int, ...]:
        """Return the frames whose plates the first steps read for a frame."""
        frames = {frame}
        for bound in reversed(self._steps[:step]):
            frames = {
                each for center in frames for each in self._temporal_window(bound.card, center)[0]
            }
        for each in frames:
            self._window(each)
        return tuple(sorted(frames))


def _shrunk(box: Box, *, scale: int, inside: Box) -> Box:
    """Return the pixels of a step's source that make ``box`` of its result."""
    shrunk = Box(box.x0 // scale, box.y0 // scale, -(-box.x1 // scale), -(-box.y1 // scale))
    return shrunk.intersection(inside) or inside


def _needed(region: Box, *, card: Card, inside: Box) -> Box:
    """Return what a step reads of its source for a region, snapped to its alignment.

    The alignment is counted from the whole window's origin, so that a part of a frame is tiled on
    the same grid as the whole.
    """
    grown, align = region.expanded(card.halo_px), card.align_px
    x0 = inside.x0 + (grown.x0 - inside.x0) // align * align
    y0 = inside.y0 + (grown.y0 - inside.y0) // align * align
    x1 = inside.x0 - (inside.x0 - grown.x1) // align * align
    y1 = inside.y0 - (inside.y0 - grown.y1) // align * align
    return Box(x0, y0, x1, y1).intersection(inside) or inside


def _reached(needed: Box, card: Card, *, inside: Box) -> Box:
    """Return what a step reads of a neighbor whose pixels may have moved."""
    if not card.motion_px:
        return needed
    return needed.expanded(card.motion_px + MARGIN_PX).intersection(inside) or inside


def _in_words(task: Task) -> str:
    match task:
        case PlateTask(frame):
            return f"plate {frame}"
        case MeasureTask():
            return f"measure {task.frame} for step {task.step} at {len(task.places)} places"
        case RenderTask():
            what = "sample" if task.is_sample else "render"
            box = task.wanted
            return (
                f"{what} step {task.step} of {task.frame}, {box.x0},{box.y0} to {box.x1},{box.y1}, "
                f"from {', '.join(map(str, task.inputs))}"
            )
