"""Apply one step of a flow to one frame, tile by tile, and blend it by the image contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.flows.flow import BoundStep
from kwaflux_core.geometry import Box
from kwaflux_core.images.lanczos import lanczos_upscale
from kwaflux_core.tiling import Tile, mirrored_indices, plan_tiles
from kwaflux_models.rendering.device import Device, Precision, Upload
from kwaflux_models.rendering.effect_api import Effect, Measured, TileInput
from kwaflux_models.rendering.image_contract import Domain, Prepared
from kwaflux_models.rendering.lanczos_tensor import lanczos_upscale_tensor
from kwaflux_models.rendering.motion_compensation import (
    CompensatedTile,
    compensate,
    compensated_tile,
)
from kwaflux_models.rendering.motion_field import MotionField
from kwaflux_models.rendering.plate import Plate

__all__ = [
    "Allocate",
    "LoadedEffect",
    "Plane",
    "StepRenderer",
    "StepResult",
    "TemporalInput",
    "cut",
    "gather",
]

Plane: TypeAlias = npt.NDArray[np.float32]
Allocate: TypeAlias = Callable[[int, int], tuple[Plane, Plane, Plane]]
"""Give three writable planes of a height and a width; what they hold is overwritten."""


@dataclass(frozen=True, slots=True)
class LoadedEffect:
    """Hold an effect that is warm on a device."""

    effect: Effect
    network: nn.Module
    precision: Precision

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype


@dataclass(frozen=True, slots=True)
class StepResult:
    """A plate after a step.

    Args:
        plate: The result; the source plate itself where no pixel was touched.
        is_touched: Whether any pixel may differ.
        beyond_trained: Share (0..1) of values beyond the trained range.
    """

    plate: Plate
    is_touched: bool
    beyond_trained: float = 0.0


@dataclass(frozen=True, slots=True)
class TemporalInput:
    """Hold what a step reads for one frame: the plates of its temporal window.

    Args:
        plates: Oldest first; each holds at least what is read of it.
        frames: The absolute number of each.
        center: Index of the frame that is rendered.
        whole: The data window of that frame as the step receives it; its plate may hold a part.
        scale: How many times larger that is than the plate that came.
        motions: Gives the motion from that frame to each, on the plates that came; None for the
            frame itself. Asked once, when pixels are. None: neighbors are taken as they are.
    """

    plates: tuple[Plate, ...]
    frames: tuple[int, ...]
    center: int
    whole: Box
    scale: int = 1
    motions: Callable[[], tuple[MotionField | None, ...]] | None = None


class StepRenderer:
    """Apply one bound step to one plate.

    Args:
        step: The effect's card and its param values.
        loaded: The warm effect.
        source: What it reads.
        measured: What the effect found out about the frame. Where it refuses to do its work, no
            tile is given to it.
        device: Where the network runs.
        config: The OCIO config that colorspaces are looked up in.
    """

    def __init__(
        self,
        step: BoundStep,
        *,
        loaded: LoadedEffect,
        source: TemporalInput,
        measured: Measured | None,
        device: Device,
        config: ColorConfig,
    ) -> None:
        self._step = step
        self._loaded = loaded
        # A frame that stands in for another is gathered and prepared once.
        distinct = {id(plate): plate for plate in source.plates}
        self._plates = tuple(distinct.values())
        self._places = tuple(list(distinct).index(id(plate)) for plate in source.plates)
        self._motions: list[MotionField | None] = []
        self._around = source
        self._source = source.plates[source.center]
        self._measured = measured
        self._device = device
        self._scale = step.card.scale_of(step.values)
        self._domain = Domain(
            step.card.working,
            colorspace=self._source.colorspace,
            config=config,
            is_premultiplied=self._source.is_premultiplied,
        )
        self._result: tuple[Plane, Plane, Plane] | None = None
        self._staged: dict[int, Plane] = {}
        self._compensated: dict[Tile, tuple[CompensatedTile | None, ...]] = {}
        self._beyond = 0

    def render(
        self, region: Box, *, tile_px: int, allocate: Allocate, checkpoint: Callable[[], None]
    ) -> StepResult:
        """Render every tile of a region of the source.

        Args:
            region: Part of the source's data window.
            tile_px: Side of a tile without its halo.
            allocate: Gives the result's planes, at the result's scale.
            checkpoint: Called before each tile.
        """
        card = self._step.card
        tiles = plan_tiles(
            region,
            frame=self._source.window,
            tile_px=tile_px,
            halo_px=card.halo_px,
            align_px=card.align_px,
        )
        window = region.scaled(self._scale)
        untouched: list[Tile] = []
        finish_last: Callable[[], None] = _nothing
        uploads = self._device.uploaded(partial(self._gathered, tile) for tile in tiles)
        for tile, upload in zip(tiles, uploads, strict=True):
            checkpoint()
            out = self._compute(tile, upload)
            self._compensated.pop(tile, None)
            if out is None and self._result is None:
                untouched.append(tile)
                continue
            result = self._result or self._begin(window, untouched, allocate)
            finish = self._store(tile, out, result, window)
            finish_last()
            finish_last = finish
        finish_last()
        return self._finished(region, window)

    def _finished(self, region: Box, window: Box) -> StepResult:
        if self._result is None:
            return StepResult(self._source, is_touched=False)
        alpha = self._source.alpha
        if alpha is not None:
            alpha = _enlarged_plane(cut(alpha, region, self._source.window), self._scale)
        plate = replace(self._source, color=self._result, alpha=alpha, window=window)
        share = self._beyond / (3 * window.area_px)
        return StepResult(plate, is_touched=True, beyond_trained=share)

    def _gathered(self, tile: Tile) -> tuple[Plane, ...]:
        """Return a tile's color of every plate once, then the alpha of those with one. Copies."""
        boxes = [
            tile.read if compensated is None else compensated.source
            for compensated in self._compensation(tile)
        ]
        planes: list[tuple[Plate, Box, tuple[Plane, ...]]]
        planes = [(plate, box, plate.color) for plate, box in zip(self._plates, boxes, strict=True)]
        planes += [
            (plate, box, (plate.alpha,))
            for plate, box in zip(self._plates, boxes, strict=True)
            if plate.alpha is not None
        ]
        return tuple(
            gather(each, box, plate.window, into=self._staging(index, len(each), box))
            for index, (plate, box, each) in enumerate(planes)
        )

    def _compensation(self, tile: Tile) -> tuple[CompensatedTile | None, ...]:
        """Return where a tile is found in each plate; None: in its own place."""
        if tile not in self._compensated:
            around = self._around
            if not self._motions:
                self._motions = [None] * len(self._plates)
                for place, motion in zip(
                    self._places, around.motions() if around.motions else (), strict=False
                ):
                    self._motions[place] = motion
            self._compensated[tile] = tuple(
                None
                if motion is None
                else compensated_tile(
                    motion,
                    tile.read,
                    whole=around.whole,
                    scale=around.scale,
                    reach_px=self._step.card.motion_px,
                )
                for motion in self._motions
            )
        return self._compensated[tile]

    def _staging(self, index: int, count: int, box: Box) -> Plane:
        """Return (1, count, h, w) to gather a tile into.

        On the CPU it is the one of the tile before, which is done by then; the first touch of
        fresh memory costs more than the copy. On CUDA tiles are under way beside each other.
        """
        shape = (1, count, box.height, box.width)
        former = None if self._device.is_cuda else self._staged.get(index)
        if former is None or former.shape != shape:
            former = self._staged[index] = np.empty(shape, np.float32)
        return former

    def _compute(self, tile: Tile, upload: Upload) -> Tensor | None:
        """Return the tile's core at the result's scale, (1, 3, h, w); None if left untouched."""
        ready: list[Prepared] = []

        def prepared() -> list[Prepared]:
            if not ready:
                ready.extend(self._prepared(upload()))
            return ready

        def pictures() -> tuple[Tensor, ...]:
            dtype = self._loaded.dtype
            made = []
            for each, compensated in zip(prepared(), self._compensation(tile), strict=True):
                picture = self._domain.for_network(each, dtype=dtype)
                if compensated is not None:
                    picture = compensate(picture, compensated)
                made.append(picture.contiguous(memory_format=torch.channels_last))
            return tuple(made[place] for place in self._places)

        with torch.inference_mode():
            residual = self._residual(tile, pictures)
            if residual is None and self._scale == 1:
                return None
            source = prepared()[self._places[self._around.center]]
            return self._applied(tile, source, residual)

    def _residual(self, tile: Tile, pictures: Callable[[], tuple[Tensor, ...]]) -> Tensor | None:
        if self._measured is not None and self._measured.refusal:
            return None
        around = self._around
        given = TileInput(
            pictures,
            center=around.center,
            frames=around.frames,
            origin=(tile.read.x0 - around.whole.x0, tile.read.y0 - around.whole.y0),
            measured=self._measured,
        )
        return self._loaded.effect.residual(self._loaded.network, given, self._step.values)

    def _prepared(self, tensors: tuple[Tensor, ...]) -> list[Prepared]:
        color, alphas = tensors[: len(self._plates)], iter(tensors[len(self._plates) :])
        return [
            self._domain.prepare(x, None if plate.alpha is None else next(alphas))
            for x, plate in zip(color, self._plates, strict=True)
        ]

    def _applied(self, tile: Tile, prepared: Prepared, residual: Tensor | None) -> Tensor:
        scale = self._scale
        if scale != 1:
            prepared = self._enlarged(prepared)
        left, top = (tile.core.x0 - tile.read.x0) * scale, (tile.core.y0 - tile.read.y0) * scale
        width, height = tile.core.width * scale, tile.core.height * scale
        inner = prepared.cropped(left, top, width, height)
        if residual is None:
            return inner.x
        self._beyond += self._domain.beyond_trained(inner)
        return self._domain.apply(inner, residual[..., top : top + height, left : left + width])

    def _enlarged(self, prepared: Prepared) -> Prepared:
        """Return the Lanczos enlargement that a residual of a scaling effect is added to."""
        color = lanczos_upscale_tensor(prepared.x[0], self._scale)[None]
        alpha = prepared.alpha
        if alpha is not None:
            alpha = lanczos_upscale_tensor(alpha[0], self._scale)[None]
        return self._domain.prepare(color, alpha)

    def _begin(
        self, window: Box, untouched: list[Tile], allocate: Allocate
    ) -> tuple[Plane, Plane, Plane]:
        """Take planes for the result and fill in the tiles that were left untouched so far."""
        result = allocate(window.height, window.width)
        for tile in untouched:
            self._keep(tile, result, window)
        self._result = result
        return result

    def _keep(self, tile: Tile, result: tuple[Plane, Plane, Plane], window: Box) -> None:
        for target, source in zip(result, self._source.color, strict=True):
            np.copyto(cut(target, tile.core, window), cut(source, tile.core, self._source.window))

    def _store(
        self, tile: Tile, out: Tensor | None, result: tuple[Plane, Plane, Plane], window: Box
    ) -> Callable[[], None]:
        """Put a tile down; return the call that completes it."""
        if out is None:
            self._keep(tile, result, window)
            return _nothing
        core = tile.core.scaled(self._scale)
        calls = [
            self._device.download(out[0, channel], cut(plane, core, window))
            for channel, plane in enumerate(result)
        ]

        def finish() -> None:
            for call in calls:
                call()

        return finish


def cut(plane: Plane, box: Box, window: Box) -> Plane:
    """Return the view that ``box`` covers of a plane that fills ``window``."""
    return plane[box.y0 - window.y0 : box.y1 - window.y0, box.x0 - window.x0 : box.x1 - window.x0]


def gather(
    planes: tuple[Plane, ...], read: Box, window: Box, *, into: Plane | None = None
) -> Plane:
    """Return (1, C, h, w): a tile with its halo, mirrored where it leaves the frame. A copy."""
    shape = (1, len(planes), read.height, read.width)
    gathered = np.empty(shape, np.float32) if into is None else into
    if window.contains(read):
        for index, plane in enumerate(planes):
            np.copyto(gathered[0, index], cut(plane, read, window))
        return gathered
    rows = mirrored_indices(read.y0 - window.y0, read.y1 - window.y0, window.height)
    columns = mirrored_indices(read.x0 - window.x0, read.x1 - window.x0, window.width)
    mesh = np.ix_(rows, columns)
    for index, plane in enumerate(planes):
        gathered[0, index] = plane[mesh]
    return gathered


def _enlarged_plane(plane: Plane, scale: int) -> Plane:
    if scale == 1:
        return plane
    enlarged: Plane = lanczos_upscale(np.ascontiguousarray(plane)[None], scale)[0]
    return enlarged


def _nothing() -> None:
    return None
