"""Between a request and the plates of one frame: fetch the pixels, deliver the result.

Owns where pixels lie (files, slabs, parts) and what a delivered file says of itself. Must not
know sockets, schedules or networks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.color import SRGB_ENCODED, ColorConfig
from kwaflux_core.errors import FrameTooLarge, ProtocolError, RequestError
from kwaflux_core.exr import exr_to_bytes, read_exr, read_exr_header
from kwaflux_core.files import read_image, write_image
from kwaflux_core.flow import BoundFlow
from kwaflux_core.geometry import Box
from kwaflux_core.image import SCENE_LINEAR, Image, Layer
from kwaflux_core.protocol.codec import WirePart
from kwaflux_core.protocol.messages import (
    ExrPixels,
    ExrTarget,
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
    Target,
    Timings,
)
from kwaflux_core.recolor import recolored
from kwaflux_core.resample import scaled_image
from kwaflux_models.plate import Plate
from kwaflux_models.runtime import RenderedFrame
from kwaflux_server.worker.buffers import PlanePool
from kwaflux_server.worker.provenance import (
    Provenance,
    file_digest,
    header_attributes,
    pixel_digest,
    stands_good,
)

__all__ = ["Delivery", "Fetched", "Frames", "Parts", "RingView"]

Plane: TypeAlias = npt.NDArray[np.float32]
Parts: TypeAlias = Sequence[WirePart]

_DISPLAY_SUFFIXES = (".png", ".jpg", ".jpeg")
_EXACT = ("", "none", "rle", "zips", "zip", "piz", "zstd", "htj2k32", "htj2k256")
"""Compressions that give back every bit; what is lossy cannot name its pixels beforehand."""
_NO_RECEIPT = RangeReceipt(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)


class RingView(Protocol):
    """Open a stretch of a client's ring."""

    def __call__(self, ring: str, offset_bytes: int, length_bytes: int) -> memoryview:
        """Return the bytes; raises ``ProtocolError`` outside the ring."""
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """The plates of one task, and the picture that the result is put back into.

    ``image`` is None for raw planes. ``standing`` is the answer where the target need not be
    rendered, because what is there already is what would be made.
    """

    plates: Mapping[int, Plate]
    image: Image | None = None
    layer: Layer | None = None
    digest: str = ""
    neighbors_digest: str = ""
    read_s: float = 0.0
    standing: Rendered | None = None


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
    """

    def __init__(
        self, ring: RingView, *, pool: PlanePool, config: ColorConfig, frame_bytes_max: int
    ) -> None:
        self._ring = ring
        self._pool = pool
        self._config = config
        self._frame_bytes_max = frame_bytes_max

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
        target, digest, neighbors = request.target, "", ""
        main = _main_source(request)
        if isinstance(main.pixels, PathPixels) and isinstance(target, PathTarget):
            is_there = Path(target.path).exists()
            if is_there and target.existing == "skip":
                return Fetched({}, standing=_standing(request, target))
            digest, neighbors = file_digest(main.pixels.path), provenance.neighbors_digest()
            if is_there and target.existing == "verify":
                expected = provenance.result_hash(digest, neighbors_digest=neighbors)
                if stands_good(target.path, expected):
                    return Fetched({}, digest=digest, standing=_standing(request, target))
        image, layer = None, None
        plates: dict[int, Plate] = {}
        for source in request.sources:
            if isinstance(source.pixels, (PathPixels, ExrPixels)):
                picture = self._picture(request, source, parts)
                chosen = picture.find_layer(request.layer)
                plates[source.frame] = Plate.from_image(picture, chosen)
                if source.frame == request.frame:
                    image, layer = picture, chosen
            else:
                plates[source.frame] = self._raw(request, source.pixels, parts)
            self._check_size(plates[source.frame].nbytes, frame=source.frame)
        read_s = time.perf_counter() - start
        return Fetched(plates, image, layer, digest, neighbors, read_s)

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
        target = request.target
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
                    target.path, picture, compression=target.compression, half=target.half
                )
            else:
                pixels = ExrPixels(0)
                parts = (memoryview(exr_to_bytes(picture, half=target.half)),)
        elif isinstance(target, ShmTarget):
            pixels = self._into_ring(request, target, frame)
        else:
            pixels = InlinePixels(0, Planes(frame.window.as_tuple(), ("R", "G", "B")))
            parts = (np.stack(frame.color).data.cast("B"),)
        timings = Timings(fetched.read_s, compute_s, time.perf_counter() - start)
        message = Rendered(request.frame, pixels, frame.receipt, record, timings, warnings=warnings)
        return Delivery(message, parts)

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
        target = request.target
        main = _main_source(request).pixels
        is_light = not isinstance(main, PathPixels) or _is_exr(main.path)
        if is_light and _is_file(target, _DISPLAY_SUFFIXES):
            layer = picture.find_layer(request.layer)
            picture = recolored(picture, layer, SRGB_ENCODED, config=self._config)
        said = dict(record)
        if isinstance(target, PathTarget) and target.compression.lower() in _EXACT:
            said["pixels"] = pixel_digest(picture, half=target.half)
        attributes = header_attributes(said, frame.receipt)
        first = picture.parts[0]
        first = replace(first, attributes={**first.attributes, **attributes})
        return replace(picture, parts=(first, *picture.parts[1:]))

    def _picture(self, request: Render, source: Source, parts: Parts) -> Image:
        if isinstance(source.pixels, PathPixels):
            path = source.pixels.path
            if _is_exr(path):
                self._check_size(_exr_bytes(path), frame=source.frame)
            image = read_image(path, colorspace=request.colorspace)
        elif isinstance(source.pixels, ExrPixels):
            data = bytes(_part(parts, source.pixels.part))
            self._check_size(_exr_bytes(data), frame=source.frame)
            image = read_exr(data)
            if request.colorspace:
                image = replace(image, colorspace=request.colorspace)
        else:
            raise ProtocolError("raw planes are no picture")
        if request.alpha == "straight":
            image = replace(image, is_premultiplied=False)
        is_display = isinstance(source.pixels, PathPixels) and not _is_exr(source.pixels.path)
        if is_display and (isinstance(request.target, ExrTarget) or _is_file(request.target)):
            # An EXR holds light: display codes would stand in it under a false name.
            layer = image.find_layer(request.layer)
            image = recolored(image, layer, SCENE_LINEAR, config=self._config)
        return image

    def _raw(self, request: Render, pixels: ShmPixels | InlinePixels, parts: Parts) -> Plate:
        planes = pixels.planes
        if planes.channels[:3] != ("R", "G", "B") or planes.channels[3:] not in ((), ("A",)):
            raise RequestError(
                f"raw planes are R, G, B and perhaps A, not {', '.join(planes.channels)}",
                hint="send the color of one layer",
            )
        if not request.colorspace:
            raise RequestError(
                "raw planes came without a colorspace", hint="name the OCIO colorspace or role"
            )
        window = Box(*planes.window)
        dtype = np.dtype(f"<{planes.dtype}")
        shape = (len(planes.channels), window.height, window.width)
        length = len(planes.channels) * window.area_px * dtype.itemsize
        if isinstance(pixels, ShmPixels):
            data = self._ring(pixels.ring, pixels.offset_bytes, length)
        else:
            data = _part(parts, pixels.part)
            if data.nbytes != length:
                raise ProtocolError(
                    f"a part holds {data.nbytes} bytes, its planes need {length}",
                    hint="send every channel of the window once",
                )
        stack = np.frombuffer(data, dtype).reshape(shape).astype(np.float32, copy=False)
        return Plate(
            (stack[0], stack[1], stack[2]),
            stack[3] if len(stack) == 4 else None,
            window,
            request.colorspace,
            is_premultiplied=request.alpha == "premultiplied",
        )

    def _check_size(self, size_bytes: int, *, frame: int) -> None:
        if size_bytes > self._frame_bytes_max:
            raise FrameTooLarge(
                f"frame {frame} holds {size_bytes} bytes of pixels, the server accepts "
                f"{self._frame_bytes_max}",
                hint="raise frame_bytes_max in the server's settings, or send a part of the frame",
                frame=frame,
            )

    def _into_ring(self, request: Render, target: ShmTarget, frame: RenderedFrame) -> PixelRef:
        main = _main_source(request).pixels
        window = frame.window.as_tuple()
        is_whole = isinstance(main, ShmPixels) and main.planes.window == window
        if isinstance(main, ShmPixels) and is_whole and not frame.is_touched:
            return replace(main, planes=replace(main.planes, channels=("R", "G", "B")))
        if not frame.is_touched:
            planes = self.final_planes(request, frame.window.height, frame.window.width)
            for into, plane in zip(planes, frame.color, strict=True):
                np.copyto(into, plane)
        return ShmPixels(
            target.ring,
            target.offset_bytes,
            Planes(window, ("R", "G", "B")),
        )


def _exr_bytes(source: str | bytes) -> int:
    """Return the bytes of pixels that an EXR unpacks to, as its header says."""
    return sum(header.pixels_bytes for header in read_exr_header(source))


def _main_source(request: Render) -> Source:
    for source in request.sources:
        if source.frame == request.frame:
            return source
    raise RequestError(
        f"frame {request.frame} was asked for, and is not among its sources",
        hint="send the frame itself with its neighbors",
    )


def _part(parts: Parts, index: int) -> memoryview:
    if not 0 <= index < len(parts):
        raise ProtocolError(f"part {index} was named, and {len(parts)} came")
    return memoryview(parts[index])


def _is_exr(path: str) -> bool:
    return path.lower().endswith(".exr")


def _is_file(target: Target, suffixes: tuple[str, ...] = (".exr",)) -> bool:
    return isinstance(target, PathTarget) and target.path.lower().endswith(suffixes)


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


def _standing(request: Render, target: PathTarget) -> Rendered:
    return Rendered(
        request.frame, PathPixels(target.path), _NO_RECEIPT, {}, Timings(), state="skipped"
    )
