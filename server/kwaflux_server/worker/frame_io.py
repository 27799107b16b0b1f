"""Between a request and the plates of one frame: fetch the pixels, deliver the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.color.config import SRGB_ENCODED, ColorConfig
from kwaflux_core.errors import RequestError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.images.color_conversion import recolored
from kwaflux_core.images.exr.read import exr_to_bytes
from kwaflux_core.images.image import Image, Layer
from kwaflux_core.images.io import write_image
from kwaflux_core.images.lanczos import scaled_image
from kwaflux_core.protocol.messages import (
    ExrPixels,
    ExrTarget,
    FrameReport,
    InlinePixels,
    PathPixels,
    PathTarget,
    PixelRef,
    Planes,
    RangeReceipt,
    Render,
    Rendered,
    ShmPixels,
    ShmTarget,
    Source,
    Timings,
)
from kwaflux_models.rendering.frame_renderer import RenderedFrame
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_models.rendering.plate import Plate
from kwaflux_server.path_guard import PathGuard
from kwaflux_server.worker.provenance import (
    Provenance,
    header_attributes,
    pixel_digest,
    standing_record,
)
from kwaflux_server.worker.source_cache import SourceFile
from kwaflux_server.worker.source_reader import Parts, RingView, SourceReader, is_exr, is_file

__all__ = ["Delivery", "Fetched", "Frames", "Parts", "RingView"]

Plane: TypeAlias = npt.NDArray[np.float32]

_DISPLAY_SUFFIXES = (".png", ".jpg", ".jpeg")
_EXACT = ("", "none", "rle", "zips", "zip", "piz", "zstd", "htj2k32", "htj2k256")
"""Compressions that give back every bit; what is lossy cannot name its pixels beforehand."""
_NO_RECEIPT = RangeReceipt(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The plates of one task, and the picture that the result is put back into.

    ``image`` is None for raw planes. ``standing`` is the answer where the target need not be
    rendered, because what is there already is what would be made. ``files`` are held for the
    tasks beside this one, which may read the same.
    """

    plates: Mapping[int, Plate]
    image: Image | None = None
    layer: Layer | None = None
    digest: str = ""
    neighbors_digest: str = ""
    read_s: float = 0.0
    standing: Rendered | None = None
    files: tuple[SourceFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer and the parts that travel with it."""

    message: Rendered
    parts: tuple[memoryview, ...] = ()


class Frames:
    """Fetch and deliver frames.

    Args:
        ring: Opens a client's ring.
        pool: Where result planes come from and go back to.
        config: The OCIO config that display codes are led to light with.
        frame_bytes_max: The largest frame that is accepted.
        guard: Confines files to the server's roots.
    """

    def __init__(
        self,
        ring: RingView,
        *,
        pool: PlanePool,
        config: ColorConfig,
        frame_bytes_max: int,
        guard: PathGuard,
    ) -> None:
        self._guard = guard
        self._ring = ring
        self._pool = pool
        self._config = config
        self._reader = SourceReader(ring, config=config, frame_bytes_max=frame_bytes_max)

    def is_immediate(self, request: Render) -> bool:
        """Tell whether a request's pixels lie in memory, so that fetching them costs nothing."""
        return all(isinstance(s.pixels, (ShmPixels, InlinePixels)) for s in request.sources)

    def fetch(
        self, request: Render, flow: BoundFlow, parts: Parts, provenance: Provenance
    ) -> Fetched:
        """Return the plates of a request.

        Raises:
            KwafluxError: Whatever is wrong with a source, typed.
        """
        start = time.perf_counter()
        self._guard.check_files(request)
        target, digest, neighbors = request.target, "", ""
        main = _main_source(request)
        files = self._reader.files(request)
        if isinstance(main.pixels, PathPixels) and isinstance(target, PathTarget):
            is_there = Path(target.path).exists()
            if is_there and request.options.existing == "skip":
                return Fetched({}, standing=_standing(request, target))
            digest = files[request.frame].digest()
            neighbors = provenance.neighbors_digest(lambda frame: files[frame].digest())
            if is_there and request.options.existing == "verify":
                expected = provenance.result_hash(digest, neighbors_digest=neighbors)
                said = standing_record(target.path, expected)
                if said is not None:
                    standing = _standing(request, target, attention=said.get("attention", ""))
                    return Fetched({}, digest=digest, standing=standing)
        image, layer = None, None
        plates: dict[int, Plate] = {}
        for source in request.sources:
            found = self._reader.read(request, source, parts, files)
            plates[source.frame] = found.plate
            if source.frame == request.frame:
                image, layer = found.image, found.layer
        read_s = time.perf_counter() - start
        held = tuple(files.values())
        return Fetched(plates, image, layer, digest, neighbors, read_s, files=held)

    def deliver(
        self,
        request: Render,
        fetched: Fetched,
        frame: RenderedFrame,
        provenance: Provenance,
        *,
        compute_s: float,
    ) -> Delivery:
        """Put a rendered frame where the request wants it, and return the answer.

        Raises:
            KwafluxError: Whatever keeps the result from its target, typed.
        """
        start = time.perf_counter()
        target, options = request.target, request.options
        warnings: tuple[str, ...] = ()
        parts: tuple[memoryview, ...] = ()
        record = provenance.record(frame, fetched.digest, neighbors_digest=fetched.neighbors_digest)
        pixels: PixelRef
        if isinstance(target, (PathTarget, ExrTarget)):
            picture = self._finished(request, fetched, frame, record)
            warnings = picture.notes
            if isinstance(target, PathTarget):
                pixels = PathPixels(target.path)
                warnings += write_image(
                    target.path, picture, compression=options.compression, half=options.half
                )
            else:
                pixels = ExrPixels(0)
                data = exr_to_bytes(picture, compression=options.compression, half=options.half)
                parts = (memoryview(data),)
        elif isinstance(target, ShmTarget):
            pixels = self._into_ring(request, target, frame)
        else:
            pixels = InlinePixels(0, Planes(frame.window.as_tuple(), ("R", "G", "B")))
            parts = (np.stack(frame.color).data.cast("B"),)
        timings = Timings(fetched.read_s, compute_s, time.perf_counter() - start)
        report = FrameReport(
            frame.receipt,
            timings,
            warnings=warnings,
            measured=dict(frame.measured),
            attention=frame.skip_reasons,
            provenance=record,
        )
        return Delivery(Rendered(request.frame, pixels, report), parts)

    def final_planes(self, request: Render, height: int, width: int) -> tuple[Plane, Plane, Plane]:
        """Return the planes that a request's result is rendered into: its slab, where it has one.

        Raises:
            RequestError: The slab is too small.
        """
        target = request.target
        if not isinstance(target, ShmTarget):
            return self._pool.take(height, width)
        length = 3 * height * width * 4
        if length > target.capacity_bytes:
            raise RequestError(
                f"the result needs {length} bytes, the slab given for it holds "
                f"{target.capacity_bytes}",
                hint="reserve 3 planes of float32 at the flow's scale",
            )
        view = self._ring(target.ring, target.offset_bytes, length)
        planes = np.frombuffer(view, np.float32).reshape(3, height, width)
        return planes[0], planes[1], planes[2]

    def give_back(self, request: Render, frame: RenderedFrame) -> None:
        """Return a delivered frame's planes to the pool."""
        if frame.is_touched and not isinstance(request.target, ShmTarget):
            self._pool.give_back(frame.color)

    def _finished(
        self, request: Render, fetched: Fetched, frame: RenderedFrame, record: Mapping[str, str]
    ) -> Image:
        """Return the picture as it will be stored, with what it says of itself."""
        picture = _put_back(request, fetched, frame)
        target, options = request.target, request.options
        main = _main_source(request).pixels
        is_light = not isinstance(main, PathPixels) or is_exr(main.path)
        if is_light and is_file(target, _DISPLAY_SUFFIXES):
            layer = picture.find_layer(request.options.layer)
            picture = recolored(picture, layer, SRGB_ENCODED, config=self._config)
        said = dict(record)
        if isinstance(target, PathTarget) and options.compression.lower() in _EXACT:
            said["pixels"] = pixel_digest(picture, half=options.half)
        attributes = header_attributes(said, frame.receipt)
        first = picture.parts[0]
        first = replace(first, attributes={**first.attributes, **attributes})
        return replace(picture, parts=(first, *picture.parts[1:]))

    def _into_ring(self, request: Render, target: ShmTarget, frame: RenderedFrame) -> PixelRef:
        main = _main_source(request).pixels
        window = frame.window.as_tuple()
        is_whole = isinstance(main, ShmPixels) and main.planes.window == window
        if isinstance(main, ShmPixels) and is_whole and not frame.is_touched:
            return replace(main, planes=replace(main.planes, channels=("R", "G", "B")))
        planes = self.final_planes(request, frame.window.height, frame.window.width)
        for into, plane in zip(planes, frame.color, strict=True):
            # A last effect that touched nothing leaves the result where the one before put it.
            if into.ctypes.data != plane.ctypes.data:
                np.copyto(into, plane)
        return ShmPixels(
            target.ring,
            target.offset_bytes,
            Planes(window, ("R", "G", "B")),
        )


def _main_source(request: Render) -> Source:
    for source in request.sources:
        if source.frame == request.frame:
            return source
    raise RequestError(
        f"frame {request.frame} was asked for, and is not among its sources",
        hint="send the frame itself with its neighbors",
    )


def _put_back(request: Render, fetched: Fetched, frame: RenderedFrame) -> Image:
    if fetched.image is None or fetched.layer is None:
        raise RequestError(
            "raw planes hold no picture that a file could be made of",
            hint="send a path or the bytes of an EXR, or ask for planes back",
        )
    window = fetched.plates[request.frame].window
    scale = frame.window.width // window.width
    if frame.window != window.scaled(scale):
        raise RequestError(
            "a file is written whole, and a region was asked for",
            hint="leave the region out, or ask for planes back",
        )
    if scale == 1:
        return fetched.image.with_color(fetched.layer, frame.color)
    return scaled_image(fetched.image, fetched.layer, frame.color, scale=scale)


def _standing(request: Render, target: PathTarget, *, attention: str = "") -> Rendered:
    return Rendered(
        request.frame,
        PathPixels(target.path),
        FrameReport(_NO_RECEIPT, attention=(attention,) if attention else ()),
        state="skipped",
    )
