"""One frame's way through a flow: what each step reads of the one before, and what is kept of it.

Owns windows of frames, the pixels that a step needs, what an effect looks at before it paints, and
smaller tiles when memory runs out. Must not know which pixels a caller wants, or what a result
says of itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import FrameMissing, OutOfMemory
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import BoundFlow, BoundStep
from kwaflux_core.frames.sequence import temporal_window
from kwaflux_core.geometry import Box
from kwaflux_models.rendering.device import Device, Precision
from kwaflux_models.rendering.effect_api import (
    NO_VALUES,
    SAMPLE_PX,
    Measured,
    MeasuringEffect,
    Samples,
    Value,
)
from kwaflux_models.rendering.image_contract import Domain
from kwaflux_models.rendering.measure_samples import sample_places, sampled, source_place
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.step_cache import Kept, KeptSteps, Sources
from kwaflux_models.rendering.step_renderer import (
    Allocate,
    Around,
    LoadedEffect,
    Painted,
    Painter,
    Plane,
    cut,
)

__all__ = ["LoadEffect", "Passage", "Workshop"]

_SMALLEST_TILE_PX = 128


class LoadEffect(Protocol):
    """Lend a warm effect; it is not unloaded inside the context."""

    def __call__(
        self, card: Card, values: Mapping[str, Value] = NO_VALUES
    ) -> AbstractContextManager[LoadedEffect]:
        """Return the context of a card's effect, with the LoRAs that its params name."""
        ...


class Workshop(Protocol):
    """What frames are led through flows with; a renderer is one."""

    load: LoadEffect
    device: Device
    config: ColorConfig
    tile_px: int
    kept: KeptSteps


class Passage:
    """Lead one frame through a flow. Steps are counted from 1; 0 is the plate as it came.

    Args:
        renderer: Lends effects; keeps what other frames may want.
        flow: The flow without its identities.
        plates: The frame under its number, and the neighbors that the flow may read.
        scratch: Gives the planes for what lies between two effects.
        final: Gives the planes for the last effect's result.
    """

    def __init__(
        self,
        renderer: Workshop,
        flow: BoundFlow,
        plates: Mapping[int, Plate],
        *,
        scratch: Allocate,
        final: Allocate,
    ) -> None:
        self.steps = flow.steps
        self.tile_px = renderer.tile_px
        self.fallbacks: list[str] = []
        self._precisions: dict[int, Precision] = {}
        self._measured: dict[tuple[int, int], Measured] = {}
        self._renderer = renderer
        self._plates = plates
        self._scratch = scratch
        self._final = final

    # --- what is told of the frame ----------------------------------------------------------

    def scale_after(self, count: int) -> int:
        """Return the scale of the picture after the first ``count`` steps."""
        return math.prod(step.scale for step in self.steps[:count])

    def precisions(self) -> tuple[Precision, ...]:
        """Return what each step ran in, in the flow's order."""
        return tuple(self._precisions[count] for count in sorted(self._precisions))

    def shown(self, frame: int) -> dict[str, float]:
        """Return the numbers that the effects want to be shown, under their full names."""
        return {
            f"{self._name(count)}.{name}": float(value)
            for count in range(1, len(self.steps) + 1)
            for name, value in self._found(count, frame).shown.items()
            if math.isfinite(value)
        }

    def refusals(self, frame: int) -> tuple[str, ...]:
        """Return why effects left the frame alone, a sentence each."""
        texts = []
        for count, step in enumerate(self.steps, start=1):
            refusal = self._found(count, frame).refusal
            did = "left the frame as it came" if step.scale == 1 else "did no more than enlarge it"
            if refusal:
                texts.append(f"{self._name(count)} {did}: {refusal}")
        return tuple(texts)

    def _found(self, count: int, frame: int) -> Measured:
        return self._measured.get((count, frame), Measured())

    def _name(self, count: int) -> str:
        """Return the id of a step's effect, numbered where the flow has it more than once."""
        ids = [step.card.id for step in self.steps]
        own = ids[count - 1]
        return own if Counter(ids)[own] == 1 else f"{own}#{ids[:count].count(own)}"

    # --- the way ----------------------------------------------------------------------------

    def after(
        self, count: int, frame: int, wanted: Box, *, is_sample: bool = False
    ) -> Generator[None, None, Painted]:
        """Return a frame after the first ``count`` steps, at least where ``wanted`` lies.

        Args:
            count: How many steps.
            frame: The frame's number.
            wanted: Pixels of the result.
            is_sample: Whether the result is only looked at, to measure a later step.
        """
        if count == 0:
            return Painted(self._plate(frame), is_touched=False)
        sources = () if is_sample else self._sources_to_keep(count, frame)
        if not sources:
            return (yield from self._painted(count, frame, wanted, is_sample=is_sample))
        shelf, steps = self._renderer.kept, BoundFlow(self.steps[:count]).to_text()
        kept = shelf.find(steps, wanted, sources)
        if kept is not None:
            self._precisions.update(kept.precisions)
            self._measured.update({(at, frame): found for at, found in kept.measured.items()})
            return kept.painted
        painted = yield from self._painted(count, frame, wanted, is_sample=False)
        if self.tile_px == self._renderer.tile_px:
            kept = Kept(painted, *self._told_of(count, frame))
            shelf.keep(steps, wanted, sources, kept, limit=2 * self._readers(count))
        return painted

    def _painted(
        self, count: int, frame: int, wanted: Box, *, is_sample: bool
    ) -> Generator[None, None, Painted]:
        step = self.steps[count - 1]
        whole = self._whole(count - 1, frame)
        region = _shrunk(wanted, scale=step.scale, inside=whole)
        needed = _needed(region, card=step.card, inside=whole)
        frames, center = self._window(step.card, frame)
        inputs: list[Painted] = []
        for neighbor in frames:
            before = yield from self.after(count - 1, neighbor, needed, is_sample=is_sample)
            inputs.append(before)
        yield from self._measure(count, frame, inputs[center].plate)
        around = Around(tuple(each.plate for each in inputs), frames, center, whole)
        allocate = self._final if count == len(self.steps) else self._scratch
        allocate = _fresh if is_sample else allocate
        painted = yield from self._paint(count, around, region, allocate)
        if not painted.is_touched:
            painted = inputs[center]
            if count == len(self.steps) and painted.is_touched:
                painted = _moved(painted, region, allocate)
        beyond = max(painted.beyond_trained, *(each.beyond_trained for each in inputs))
        return replace(painted, beyond_trained=beyond)

    def _paint(
        self, count: int, around: Around, region: Box, allocate: Allocate
    ) -> Generator[None, None, Painted]:
        renderer, step = self._renderer, self.steps[count - 1]
        with renderer.load(step.card, step.values) as loaded:
            self._precisions[count] = loaded.precision
            while True:
                painter = Painter(
                    step,
                    loaded=loaded,
                    around=around,
                    measured=self._measured.get((count, around.frames[around.center])),
                    device=renderer.device,
                    config=renderer.config,
                )
                try:
                    return (
                        yield from painter.paint(region, tile_px=self.tile_px, allocate=allocate)
                    )
                except (torch.OutOfMemoryError, MemoryError) as error:
                    self._shrink_tiles(around.plates[around.center], error)

    def _plate(self, frame: int) -> Plate:
        if frame not in self._plates:
            raise FrameMissing(
                f"frame {frame}, which the flow reads as a neighbor, is missing",
                hint="bring the frame back, or render ranges on both sides of the gap",
                frame=frame,
            )
        return self._plates[frame]

    def _whole(self, count: int, frame: int) -> Box:
        """Return a frame's data window after the first ``count`` steps."""
        return self._plate(frame).window.scaled(self.scale_after(count))

    def _window(self, card: Card, frame: int) -> tuple[tuple[int, ...], int]:
        """Return the frames a step reads, and the index of the frame itself among them."""
        radius = max(card.frames_before, card.frames_after)
        if radius == 0:
            return (frame,), 0
        around = temporal_window(
            frame, radius=radius, first=min(self._plates), last=max(self._plates)
        )
        first = radius - card.frames_before
        return around[first : radius + card.frames_after + 1], card.frames_before

    def _shrink_tiles(self, plate: Plate, error: Exception) -> None:
        device = self._renderer.device
        device.release_memory()
        self._renderer.kept.clear()
        if self.tile_px <= _SMALLEST_TILE_PX:
            raise OutOfMemory(
                f"a tile of {self.tile_px} pixels of a {plate.window.width} x "
                f"{plate.window.height} frame does not fit on {device.label}",
                hint="close other programs that use the device, or set devices to 'cpu'",
                needed_bytes=plate.nbytes,
            ) from error
        self.tile_px = max(self.tile_px // 2, _SMALLEST_TILE_PX)
        self.fallbacks.append(f"tile {self.tile_px}")

    # --- looking before painting ------------------------------------------------------------

    def _measure(self, count: int, frame: int, before: Plate) -> Generator[None, None, None]:
        """Let an effect that measures look at a frame, once, whatever part of it is rendered."""
        renderer, step = self._renderer, self.steps[count - 1]
        if (count, frame) in self._measured:
            return
        with renderer.load(step.card, step.values) as loaded:
            if not isinstance(loaded.effect, MeasuringEffect):
                return
        # The effect is not held meanwhile: those before it may need its room.
        samples = yield from self._samples(count, frame, before)
        yield
        with renderer.load(step.card, step.values) as loaded, torch.inference_mode():
            self._measured[count, frame] = self._looked_at(loaded, samples, step)

    def _looked_at(self, loaded: LoadedEffect, samples: Samples, step: BoundStep) -> Measured:
        if not isinstance(loaded.effect, MeasuringEffect):
            return Measured()
        try:
            return loaded.effect.measure(loaded.network, samples, step.values)
        except (torch.OutOfMemoryError, MemoryError):
            self._renderer.device.release_memory()
        try:
            return loaded.effect.measure(loaded.network, samples, step.values)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(
                f"{len(samples.pictures)} samples of {SAMPLE_PX} pixels do not fit on "
                f"{self._renderer.device.label}",
                hint="close other programs that use the device, or set devices to 'cpu'",
                needed_bytes=samples.pictures.nbytes,
            ) from error

    def _samples(self, count: int, frame: int, before: Plate) -> Generator[None, None, Samples]:
        renderer, card, source = self._renderer, self.steps[count - 1].card, self._plate(frame)
        scale, whole = self.scale_after(count - 1), self._whole(count - 1, frame)
        places = sample_places(whole, align_px=card.align_px, scale=scale)
        held: list[tuple[Plate, Box]] = []
        for place in places:
            inside = place.intersection(whole) or whole
            plate = before
            if not plate.window.contains(inside):
                is_much = self._is_much(count - 1, len(places), whole)
                wanted = whole if is_much else inside
                plate = (yield from self.after(count - 1, frame, wanted, is_sample=True)).plate
                before = plate if is_much else before
            held.append((plate, place))
        domain = Domain(
            card.working,
            colorspace=source.colorspace,
            config=renderer.config,
            is_premultiplied=source.is_premultiplied,
        )
        pictures = sampled(held, domain=domain, device=renderer.device)
        if count == 1:
            return Samples(pictures, pictures, scale)
        own = [(source, source_place(place, scale=scale)) for place in places]
        return Samples(pictures, sampled(own, domain=domain, device=renderer.device), scale)

    def _is_much(self, count: int, places: int, whole: Box) -> bool:
        """Tell whether places, each with the context of ``count`` steps, outweigh the frame."""
        side = SAMPLE_PX + 2 * sum(step.card.halo_px for step in self.steps[:count])
        return places * side * side >= whole.area_px

    # --- what is kept for other frames ------------------------------------------------------

    def _readers(self, count: int) -> int:
        """Return for how many frames one frame's rendering wants the first ``count`` steps."""
        later = [step.card for step in self.steps[count:]]
        return 1 + sum(card.frames_before + card.frames_after for card in later)

    def _sources_to_keep(self, count: int, frame: int) -> Sources:
        """Return what the first steps read for a frame; nothing where no other frame wants them."""
        if self._readers(count) == 1:
            return ()
        frames = {frame}
        for step in reversed(self.steps[:count]):
            frames = {each for center in frames for each in self._window(step.card, center)[0]}
        return tuple((each, self._plate(each)) for each in sorted(frames))

    def _told_of(self, count: int, frame: int) -> tuple[dict[int, Measured], dict[int, Precision]]:
        """Return what the first steps found out about a frame, and what they ran in."""
        measured = {at: found for (at, of), found in self._measured.items() if of == frame}
        precisions = {at: used for at, used in self._precisions.items() if at <= count}
        return {at: found for at, found in measured.items() if at <= count}, precisions


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


def _moved(painted: Painted, region: Box, allocate: Allocate) -> Painted:
    """Return a region of a result in planes of its own: the result may be kept for other frames."""
    plate, window = painted.plate, painted.plate.window
    color = allocate(region.height, region.width)
    for into, plane in zip(color, plate.color, strict=True):
        np.copyto(into, cut(plane, region, window))
    alpha = None if plate.alpha is None else cut(plate.alpha, region, window)
    return replace(painted, plate=replace(plate, color=color, alpha=alpha, window=region))


def _fresh(height: int, width: int) -> tuple[Plane, Plane, Plane]:
    """Return planes for pixels that are only looked at; a pool has no use for their size."""
    stack = np.empty((3, height, width), np.float32)
    return stack[0], stack[1], stack[2]
