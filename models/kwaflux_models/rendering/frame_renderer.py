"""Render one frame through a flow; the request and the result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import FrameMissing, ModelError, RequestError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.messages import RangeReceipt
from kwaflux_core.tiling import TILE_PX
from kwaflux_models.rendering.device import Device, Precision
from kwaflux_models.rendering.flow_plan import FlowPlan
from kwaflux_models.rendering.flow_renderer import Checkpoint, FlowRenderer
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.motion_field import MotionCache
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.range_receipt import range_receipt
from kwaflux_models.rendering.render_context import LendEffect, RenderContext
from kwaflux_models.rendering.shot_decisions import NO_DECISIONS, Decisions
from kwaflux_models.rendering.shot_estimates import ShotEstimates
from kwaflux_models.rendering.step_cache import StepCache
from kwaflux_models.rendering.step_renderer import Allocate, Plane, cut

__all__ = ["FrameRenderer", "RenderedFrame", "new_planes"]


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
        skip_reasons: Why effects left the frame alone, a sentence each.
        decisions: What effects found and what they did about it, a sentence each.
    """

    color: tuple[Plane, Plane, Plane]
    window: Box
    receipt: RangeReceipt
    tile_px: int
    precisions: tuple[Precision, ...]
    fallbacks: tuple[str, ...]
    is_touched: bool
    measured: Mapping[str, float] = field(default_factory=dict)
    skip_reasons: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()


def new_planes(height: int, width: int) -> tuple[Plane, Plane, Plane]:
    """Return three new planes; what they hold is undefined."""
    red, green, blue = (np.empty((height, width), np.float32) for _ in range(3))
    return red, green, blue


def _nothing() -> None:
    return None


class FrameRenderer:
    """Render frames on one device.

    Args:
        lend: Lends warm effects.
        device: Where the networks run.
        config: The OCIO config that colorspaces are looked up in.
        tile_px: Side of a tile without its halo.

    Thread: one.
    """

    def __init__(
        self, lend: LendEffect, *, device: Device, config: ColorConfig, tile_px: int = TILE_PX
    ) -> None:
        self.context = RenderContext(
            lend, device, config, tile_px, StepCache(), MotionCache(config)
        )

    def render(
        self,
        flow: BoundFlow,
        plates: Mapping[int, Plate],
        *,
        frame: int,
        scratch: Allocate = new_planes,
        final: Allocate = new_planes,
        region: Box | None = None,
        loras: Sequence[LoraStack | None] = (),
        decided: Decisions = NO_DECISIONS,
        checkpoint: Checkpoint = _nothing,
    ) -> RenderedFrame:
        """Render one frame.

        Args:
            flow: The bound flow; steps that are identities are skipped.
            plates: The frame under its number, and the neighbors that the flow may read.
            frame: The frame to render.
            scratch: Gives the planes for what lies between two effects.
            final: Gives the planes for the last effect's result; called once, or again when
                memory ran out and a step is begun anew.
            region: Part of the data window that is wanted; None for all of it.
            loras: The flow's LoRAs, as ``resolve_loras`` returns them.
            decided: Estimates that hold for the frame's shot; what it lacks is measured.
            checkpoint: Called between tiles: more urgent work may be done inside it, and what it
                raises ends the frame.

        Raises:
            FrameMissing: ``plates`` lacks the frame, or a neighbor between two that are there.
            ModelError: A network gave NaN or Inf, or LoRAs are named and not given.
            OutOfMemory: Not even the smallest tile fits.
            RequestError: The region lies outside the data window.
            UnknownColorspace: The plate's colorspace is not in the config.
        """
        if frame not in plates:
            raise FrameMissing(f"frame {frame} is not among the frames given", frame=frame)
        plate = plates[frame]
        self.context.config.resolve(plate.colorspace)
        wanted = plate.window if region is None else region.intersection(plate.window)
        if wanted is None:
            raise RequestError(
                f"the region {region} holds no pixel of the data window {plate.window}",
                hint="ask for a region inside the data window",
            )
        flow = flow.without_identities()
        window = wanted.scaled(math.prod(step.scale for step in flow.steps))
        plan = FlowPlan.of(
            flow,
            frame=frame,
            wanted=window,
            windows={number: each.window for number, each in plates.items()},
        )
        run = FlowRenderer(
            self.context,
            flow,
            plates,
            frame=frame,
            loras=_checked(loras, flow),
            decided=decided,
            scratch=scratch,
            final=final,
            checkpoint=checkpoint,
        )
        result = run.run(plan)
        color = _cut_color(result.plate, window)
        receipt = range_receipt(
            _cut_color(plate, wanted),
            color if result.is_touched else None,
            beyond_trained=result.beyond_trained,
        )
        reasons = run.skip_reasons()
        return RenderedFrame(
            color,
            window,
            receipt,
            run.tile_px,
            run.precisions(),
            (*run.fallbacks, *reasons),
            result.is_touched,
            run.measured_values(),
            reasons,
            run.decisions(),
        )

    def estimates(
        self,
        flow: BoundFlow,
        loras: Sequence[LoraStack | None] = (),
        *,
        scratch: Allocate = new_planes,
        checkpoint: Checkpoint = _nothing,
    ) -> ShotEstimates:
        """Return what estimates the shots that are rendered through a flow; args as ``render``."""
        flow = flow.without_identities()
        return ShotEstimates(self.context, flow, _checked(loras, flow), scratch, checkpoint)


def _checked(loras: Sequence[LoraStack | None], flow: BoundFlow) -> Sequence[LoraStack | None]:
    if loras:
        return loras
    if any(step.card.loras_of(step.values) for step in flow.steps):
        raise ModelError("the flow names LoRAs, and none were given to the renderer")
    return (None,) * len(flow.steps)


def _cut_color(plate: Plate, window: Box) -> tuple[Plane, Plane, Plane]:
    if plate.window == window:
        return plate.color
    red, green, blue = (cut(plane, window, plate.window) for plane in plate.color)
    return red, green, blue
