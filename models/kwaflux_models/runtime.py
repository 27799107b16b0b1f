"""Render one frame through a flow.

Owns the order of things: windows of frames, effects one after another, what each of them needs
of the one before, and smaller tiles when memory runs out. A single step is ``painting``'s. Must
not know files, sockets or jobs.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch

from kwaflux_core.card import Card
from kwaflux_core.color import ColorConfig
from kwaflux_core.errors import FrameMissing, OutOfMemory, RequestError
from kwaflux_core.flow import BoundFlow, BoundStep
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.messages import RangeReceipt
from kwaflux_core.sequence import temporal_window
from kwaflux_models.device import Device, Precision
from kwaflux_models.painting import Allocate, LoadedEffect, Painted, Painter, Plane, cut
from kwaflux_models.plate import Plate
from kwaflux_models.receipt import range_receipt

__all__ = ["FrameRenderer", "LoadEffect", "RenderedFrame"]

_SMALLEST_TILE_PX = 128


class LoadEffect(Protocol):
    """Lend a warm effect; it is not unloaded inside the context."""

    def __call__(self, card: Card) -> AbstractContextManager[LoadedEffect]:
        """Return the context of a card's effect."""
        ...


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """Hold a rendered frame.

    Args:
        color: Red, green, blue of ``window``; views of the plate's own where nothing was touched.
        window: The data window of the result, at the result's scale.
        receipt: What happened to the range.
        tile_px: The tile size that was used.
        precisions: What each effect ran in, in the flow's order.
        fallbacks: What had to be done otherwise than planned, in words.
        is_touched: Whether any pixel may differ from the plate.
    """

    color: tuple[Plane, Plane, Plane]
    window: Box
    receipt: RangeReceipt
    tile_px: int
    precisions: tuple[Precision, ...]
    fallbacks: tuple[str, ...]
    is_touched: bool


class FrameRenderer:
    """Render frames on one device.

    Args:
        load: Lends warm effects.
        device: Where the networks run.
        config: The OCIO config that colorspaces are looked up in.
        tile_px: Side of a tile without its halo.

    Thread: one.
    """

    def __init__(
        self, load: LoadEffect, *, device: Device, config: ColorConfig, tile_px: int = 512
    ) -> None:
        self.load = load
        self.device = device
        self.config = config
        self.tile_px = tile_px

    def render(
        self,
        flow: BoundFlow,
        plates: Mapping[int, Plate],
        *,
        frame: int,
        scratch: Allocate,
        final: Allocate,
        region: Box | None = None,
    ) -> Generator[None, None, RenderedFrame]:
        """Render one frame; yield between tiles, so that the caller may do something else.

        Args:
            flow: The bound flow; steps that are identities are skipped.
            plates: The frame under its number, and the neighbors that the flow may read.
            frame: The frame to render.
            scratch: Gives the planes for what lies between two effects.
            final: Gives the planes for the last effect's result; called once, or again when
                memory ran out and the frame is begun anew.
            region: Part of the data window that is wanted; None for all of it.

        Raises:
            FrameMissing: ``plates`` lacks the frame, or a neighbor between two that are there.
            ModelError: A network gave NaN or Inf.
            OutOfMemory: Not even the smallest tile fits.
            RequestError: The region lies outside the data window.
            UnknownColorspace: The plate's colorspace is not in the config.
        """
        if frame not in plates:
            raise FrameMissing(f"frame {frame} is not among the frames given", frame=frame)
        plate = plates[frame]
        self.config.resolve(plate.colorspace)
        wanted = plate.window if region is None else region.intersection(plate.window)
        if wanted is None:
            raise RequestError(
                f"the region {region} holds no pixel of the data window {plate.window}",
                hint="ask for a region inside the data window",
            )
        run = _Run(self, flow.without_identities(), plates, scratch=scratch, final=final)
        window = wanted.scaled(run.scale_after(len(run.steps)))
        painted = yield from run.after(len(run.steps), frame, window)
        color = _cut_color(painted.plate, window)
        receipt = range_receipt(
            _cut_color(plate, wanted),
            color if painted.is_touched else None,
            beyond_trained=run.beyond_trained,
        )
        return RenderedFrame(
            color,
            window,
            receipt,
            run.tile_px,
            tuple(run.precisions),
            tuple(run.fallbacks),
            painted.is_touched,
        )


class _Run:
    """One frame's way through a flow."""

    def __init__(
        self,
        renderer: FrameRenderer,
        flow: BoundFlow,
        plates: Mapping[int, Plate],
        *,
        scratch: Allocate,
        final: Allocate,
    ) -> None:
        self.steps = flow.steps
        self.tile_px = renderer.tile_px
        self.precisions: list[Precision] = []
        self.fallbacks: list[str] = []
        self.beyond_trained = 0.0
        self._renderer = renderer
        self._plates = plates
        self._scratch = scratch
        self._final = final

    def scale_after(self, count: int) -> int:
        """Return the scale of the picture after the first ``count`` steps."""
        scale = 1
        for step in self.steps[:count]:
            scale *= step.card.scale_of(step.values)
        return scale

    def after(self, count: int, frame: int, wanted: Box) -> Generator[None, None, Painted]:
        """Return a frame after the first ``count`` steps, at least where ``wanted`` lies."""
        if count == 0:
            if frame not in self._plates:
                raise FrameMissing(
                    f"frame {frame}, which the flow reads as a neighbor, is missing",
                    hint="bring the frame back, or render ranges on both sides of the gap",
                    frame=frame,
                )
            return Painted(self._plates[frame], is_touched=False)
        step = self.steps[count - 1]
        whole = self._plates[frame].window.scaled(self.scale_after(count - 1))
        region = _shrunk(wanted, scale=step.card.scale_of(step.values), inside=whole)
        needed = _needed(region, card=step.card, inside=whole)
        around, center = self._window(step.card, frame)
        inputs: list[Painted] = []
        for neighbor in around:
            before = yield from self.after(count - 1, neighbor, needed)
            inputs.append(before)
        allocate = self._final if count == len(self.steps) else self._scratch
        painted = yield from self._paint(step, inputs, center, region, allocate)
        if not painted.is_touched and inputs[center].is_touched:
            return inputs[center]
        return painted

    def _window(self, card: Card, frame: int) -> tuple[tuple[int, ...], int]:
        """Return the frames a step reads, and the index of the frame itself among them."""
        radius = max(card.frames_before, card.frames_after)
        if radius == 0:
            return (frame,), 0
        around = temporal_window(
            frame, radius=radius, first=min(self._plates), last=max(self._plates)
        )
        return around[radius - card.frames_before : radius + card.frames_after + 1], (
            card.frames_before
        )

    def _paint(
        self,
        step: BoundStep,
        inputs: list[Painted],
        center: int,
        region: Box,
        allocate: Allocate,
    ) -> Generator[None, None, Painted]:
        renderer = self._renderer
        with renderer.load(step.card) as loaded:
            self.precisions.append(loaded.precision)
            while True:
                painter = Painter(
                    step,
                    loaded=loaded,
                    plates=tuple(painted.plate for painted in inputs),
                    center=center,
                    device=renderer.device,
                    config=renderer.config,
                )
                try:
                    painted = yield from painter.paint(
                        region, tile_px=self.tile_px, allocate=allocate
                    )
                except (torch.OutOfMemoryError, MemoryError) as error:
                    self._shrink_tiles(inputs[center].plate, error)
                else:
                    self.beyond_trained = max(self.beyond_trained, painted.beyond_trained)
                    return painted

    def _shrink_tiles(self, plate: Plate, error: Exception) -> None:
        device = self._renderer.device
        device.release_memory()
        if self.tile_px <= _SMALLEST_TILE_PX:
            raise OutOfMemory(
                f"a tile of {self.tile_px} pixels of a {plate.window.width} x "
                f"{plate.window.height} frame does not fit on {device.label}",
                hint="close other programs that use the device, or set devices to 'cpu'",
                needed_bytes=plate.nbytes,
            ) from error
        self.tile_px = max(self.tile_px // 2, _SMALLEST_TILE_PX)
        self.fallbacks.append(f"tile {self.tile_px}")


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


def _cut_color(plate: Plate, window: Box) -> tuple[Plane, Plane, Plane]:
    if plate.window == window:
        return plate.color
    red, green, blue = (cut(plane, window, plate.window) for plane in plate.color)
    return red, green, blue
