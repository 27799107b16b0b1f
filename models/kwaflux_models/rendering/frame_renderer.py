"""Render one frame through a flow.

Owns what a caller asks for and gets: a frame, a part of it, and what the result says of itself. A
frame's way through a flow is ``passage``'s, a single step ``painting``'s. Must not know files,
sockets or jobs.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import FrameMissing, RequestError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.messages import RangeReceipt
from kwaflux_models.rendering.device import Device, Precision
from kwaflux_models.rendering.flow_renderer import LoadEffect, Passage
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.range_receipt import range_receipt
from kwaflux_models.rendering.step_cache import KeptSteps
from kwaflux_models.rendering.step_renderer import Allocate, Plane, cut

__all__ = ["FrameRenderer", "LoadEffect", "RenderedFrame"]


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
        measured: What the effects found out about the frame, under ``<effect>.<name>``, or
            ``<effect>#2.<name>`` where the flow has an effect twice.
        refusals: Why effects left the frame alone, a sentence each.
    """

    color: tuple[Plane, Plane, Plane]
    window: Box
    receipt: RangeReceipt
    tile_px: int
    precisions: tuple[Precision, ...]
    fallbacks: tuple[str, ...]
    is_touched: bool
    measured: Mapping[str, float] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()


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
        self.kept = KeptSteps()

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
        run = Passage(self, flow.without_identities(), plates, scratch=scratch, final=final)
        count = len(run.steps)
        window = wanted.scaled(run.scale_after(count))
        painted = yield from run.after(count, frame, window)
        color = _cut_color(painted.plate, window)
        receipt = range_receipt(
            _cut_color(plate, wanted),
            color if painted.is_touched else None,
            beyond_trained=painted.beyond_trained,
        )
        refusals = run.refusals(frame)
        return RenderedFrame(
            color,
            window,
            receipt,
            run.tile_px,
            run.precisions(),
            (*run.fallbacks, *refusals),
            painted.is_touched,
            run.shown(frame),
            refusals,
        )


def _cut_color(plate: Plate, window: Box) -> tuple[Plane, Plane, Plane]:
    if plate.window == window:
        return plate.color
    red, green, blue = (cut(plane, window, plate.window) for plane in plate.color)
    return red, green, blue
