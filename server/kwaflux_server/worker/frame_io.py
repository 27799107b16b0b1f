"""Pixels of one frame: fetched from the sources of a request, delivered to its target."""

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
from kwaflux_core.frames.shot_profile import ShotProfile
from kwaflux_core.images.atomic_write import atomic_path
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
    valid_record,
)
from kwaflux_server.worker.source_cache import SourceFile
from kwaflux_server.worker.source_reader import Parts, RingView, SourceReader, is_exr, is_file

__all__ = ["Delivery", "Fetched", "Frames", "Parts", "RingView"]

Plane: TypeAlias = npt.NDArray[np.float32]

_DISPLAY_SUFFIXES = (".png", ".jpg", ".jpeg")
_EXACT = ("", "none", "rle", "zips", "zip", "piz", "zstd", "htj2k32", "htj2k256")
"""Lossless compressions; pixels stored with a lossy one cannot be hashed beforehand."""
_NO_RECEIPT = RangeReceipt(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The plates of one task, and the image that receives the result.

    ``image`` is None for raw planes. ``skipped`` is the answer if the existing target is already
    the result. ``files`` keeps the cached sources alive for other tasks that read them.
    """

    plates: Mapping[int, Plate]
    image: Image | None = None
    layer: Layer | None = None
    digest: str = ""
    neighbors_digest: str = ""
    read_s: float = 0.0
    skipped: Rendered | None = None
    files: tuple[SourceFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer and its raw parts."""

    message: Rendered
    parts: tuple[memoryview, ...] = ()


class Frames:
    """Fetch and deliver frames.

    Args:
        ring: Opens a client's ring.
        pool: Pool of the result planes.
        config: The OCIO config that converts display-referred sources to scene-linear.
        frame_bytes_max: Largest accepted frame, in bytes.
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
        """Return whether a request's pixels are in memory, so that fetching them takes no time."""
        return all(isinstance(s.pixels, (ShmPixels, InlinePixels)) for s in request.sources)

    def fetch(
        self, request: Render, flow: BoundFlow, parts: Parts, provenance: Provenance
    ) -> Fetched:
        """Return the plates of a request.

        Raises:
            KwafluxError: A source cannot be read.
        """
        start = time.perf_counter()
        self._guard.check_files(request)
        target, digest, neighbors = request.target, "", ""
        main = _main_source(request)
        files = self._reader.files(request)
        if isinstance(main.pixels, PathPixels) and isinstance(target, PathTarget):
            is_there = Path(target.path).exists()
            if is_there and request.options.existing == "skip":
                return Fetched({}, skipped=_skipped(request, target))
            digest = files[request.frame].digest()
            neighbors = provenance.neighbors_digest(lambda frame: files[frame].digest())
            if is_there and request.options.existing == "verify":
                expected = provenance.result_hash(digest, neighbors_digest=neighbors)
                record = valid_record(target.path, expected)
                if record is not None:
                    skipped = _skipped(request, target, attention=record.get("attention", ""))
                    return Fetched({}, digest=digest, skipped=skipped)
        image, layer = None, None
        plates: dict[int, Plate] = {}
        for source in request.sources:
            decoded = self._reader.read(request, source, parts, files)
            plates[source.frame] = decoded.plate
            if source.frame == request.frame:
                image, layer = decoded.image, decoded.layer
        read_s = time.perf_counter() - start
        held = tuple(files.values())
        return Fetched(plates, image, layer, digest, neighbors, read_s, files=held)

    def plates(self, request: Render) -> dict[int, Plate]:
        """Return the plates of a request whose sources are files.

        Raises:
            KwafluxError: A source cannot be read.
        """
        self._guard.check_files(request)
        files = self._reader.files(request)
        return {
            source.frame: self._reader.read(request, source, (), files).plate
            for source in request.sources
        }

    def write_profile(self, path: str, profile: ShotProfile) -> None:
        """Write a shot profile; of an earlier one of the same clip and flow other shots are kept.

        Raises:
            KwafluxError: The path is outside the roots, or cannot be written.
        """
        self._guard.check(path)
        try:
            former = ShotProfile.parse(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RequestError):
            former = replace(profile, shots=())
        if (former.source, former.flow) == (profile.source, profile.flow):
            profile = former.with_shots(profile.shots)
        with atomic_path(path) as part:
            part.write_text(profile.to_text(), encoding="utf-8")

    def deliver(
        self,
        request: Render,
        fetched: Fetched,
        frame: RenderedFrame,
        provenance: Provenance,
        *,
        compute_s: float,
    ) -> Delivery:
        """Deliver a rendered frame to the request's target, and return the answer.

        Raises:
            KwafluxError: The target cannot be written.
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
            decisions=frame.decisions,
        )
        return Delivery(Rendered(request.frame, pixels, report), parts)

    def final_planes(self, request: Render, height: int, width: int) -> tuple[Plane, Plane, Plane]:
        """Return the planes for a request's result: its slab, or planes of the pool.

        Raises:
            RequestError: The slab is too small.
        """
        target = request.target
        if not isinstance(target, ShmTarget):
            return self._pool.take(height, width)
        length = 3 * height * width * 4
        if length > target.capacity_bytes:
            raise RequestError(
                f"the result needs {length} bytes, but its slab has {target.capacity_bytes}",
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
        """Return the image as it will be stored, with its provenance attributes."""
        picture = _put_back(request, fetched, frame)
        target, options = request.target, request.options
        main = _main_source(request).pixels
        is_light = not isinstance(main, PathPixels) or is_exr(main.path)
        if is_light and is_file(target, _DISPLAY_SUFFIXES):
            layer = picture.find_layer(request.options.layer)
            picture = recolored(picture, layer, SRGB_ENCODED, config=self._config)
        values = dict(record)
        if isinstance(target, PathTarget) and options.compression.lower() in _EXACT:
            values["pixels"] = pixel_digest(picture, half=options.half)
        attributes = header_attributes(values, frame.receipt)
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
            # After an effect that changed nothing, the result is in the planes of the one before.
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
        f"frame {request.frame} is not among the sources of the request",
        hint="send the frame itself with its neighbors",
    )


def _put_back(request: Render, fetched: Fetched, frame: RenderedFrame) -> Image:
    if fetched.image is None or fetched.layer is None:
        raise RequestError(
            "raw planes cannot be written to a file",
            hint="send a path or the bytes of an EXR, or request planes as the result",
        )
    window = fetched.plates[request.frame].window
    scale = frame.window.width // window.width
    if frame.window != window.scaled(scale):
        raise RequestError(
            "a region cannot be written to a file",
            hint="omit the region, or request planes as the result",
        )
    if scale == 1:
        return fetched.image.with_color(fetched.layer, frame.color)
    return scaled_image(fetched.image, fetched.layer, frame.color, scale=scale)


def _skipped(request: Render, target: PathTarget, *, attention: str = "") -> Rendered:
    return Rendered(
        request.frame,
        PathPixels(target.path),
        FrameReport(_NO_RECEIPT, attention=(attention,) if attention else ()),
        state="skipped",
    )
