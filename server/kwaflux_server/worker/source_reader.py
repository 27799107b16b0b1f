"""Reading the sources of a request: files, rings and raw parts become plates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import FrameTooLarge, ProtocolError, RequestError
from kwaflux_core.geometry import Box
from kwaflux_core.images.color_conversion import recolored
from kwaflux_core.images.exr.read import read_exr, read_exr_header
from kwaflux_core.images.image import SCENE_LINEAR, Image
from kwaflux_core.images.io import is_movie, picture_bytes, read_image
from kwaflux_core.protocol.codec import WirePart
from kwaflux_core.protocol.messages import (
    ExrPixels,
    ExrTarget,
    InlinePixels,
    PathPixels,
    PathTarget,
    Render,
    ShmPixels,
    Source,
    Target,
)
from kwaflux_models.rendering.plate import Plate
from kwaflux_server.movie.reader_pool import MovieShelf
from kwaflux_server.worker.source_cache import Decoded, SourceFile, SourceFiles

__all__ = ["Parts", "RingView", "SourceReader", "is_exr", "is_file"]

Parts: TypeAlias = Sequence[WirePart]


class RingView(Protocol):
    """Map a byte range of a client's ring."""

    def __call__(self, ring: str, offset_bytes: int, length_bytes: int) -> memoryview:
        """Return the bytes; raises ``ProtocolError`` outside the ring."""
        ...


class SourceReader:
    """Read the sources of requests.

    Args:
        ring: Opens a client's ring.
        config: The OCIO config that converts display-referred sources to scene-linear.
        frame_bytes_max: Largest accepted frame, in bytes.

    Thread: any.
    """

    def __init__(self, ring: RingView, *, config: ColorConfig, frame_bytes_max: int) -> None:
        self._ring = ring
        self._config = config
        self._frame_bytes_max = frame_bytes_max
        self._files = SourceFiles()
        self._movies = MovieShelf(config, frame_bytes_max=frame_bytes_max)

    def files(self, request: Render) -> dict[int, SourceFile]:
        """Return the files of a request by frame; keep them while their plates are used."""
        self._movies.close_idle()
        return {
            source.frame: self._file(source.pixels.path, frame=source.frame)
            for source in request.sources
            if isinstance(source.pixels, PathPixels)
        }

    def _file(self, path: str, *, frame: int) -> SourceFile:
        if not is_movie(path):
            return self._files.file(path)
        digest = partial(self._movies.digest, path, frame)
        return self._files.file(path, frame=frame, digest=digest)

    def read(
        self, request: Render, source: Source, parts: Parts, files: Mapping[int, SourceFile]
    ) -> Decoded:
        """Return a source's plate, decoded once for all tasks that read it in the same way.

        For the frame itself the image of a file is returned too.

        Raises:
            KwafluxError: The source cannot be read.
        """
        pixels = source.pixels
        if isinstance(pixels, (ShmPixels, InlinePixels)):
            decoded = Decoded(self._raw(request, pixels, parts))
        elif isinstance(pixels, PathPixels):
            reading = (
                request.options.colorspace,
                request.options.alpha,
                request.options.layer,
                _wants_light(request),
            )
            decoded = files[source.frame].decoded(
                reading,
                lambda: self._decoded(request, source, parts),
                needs_picture=source.frame == request.frame,
            )
        else:
            decoded = self._decoded(request, source, parts)
        self._check_size(decoded.plate.nbytes, frame=source.frame)
        return decoded

    def _decoded(self, request: Render, source: Source, parts: Parts) -> Decoded:
        picture = self._picture(request, source, parts)
        layer = picture.find_layer(request.options.layer)
        return Decoded(Plate.from_image(picture, layer), picture, layer)

    def _picture(self, request: Render, source: Source, parts: Parts) -> Image:
        if isinstance(source.pixels, PathPixels):
            path, colorspace = source.pixels.path, request.options.colorspace
            if is_movie(path):
                image = self._movies.picture(path, source.frame, colorspace=colorspace)
            else:
                self._check_size(picture_bytes(path), frame=source.frame)
                image = read_image(path, colorspace=colorspace)
        elif isinstance(source.pixels, ExrPixels):
            data = bytes(_part(parts, source.pixels.part))
            size_bytes = sum(header.pixels_bytes for header in read_exr_header(data))
            self._check_size(size_bytes, frame=source.frame)
            image = read_exr(data)
            if request.options.colorspace:
                image = replace(image, colorspace=request.options.colorspace)
        else:
            raise ProtocolError("raw planes are not an image")
        if request.options.alpha == "straight":
            image = replace(image, is_premultiplied=False)
        is_display = isinstance(source.pixels, PathPixels) and not is_exr(source.pixels.path)
        if is_display and _wants_light(request):
            # An EXR stores scene-linear values, so a display-referred source is converted.
            layer = image.find_layer(request.options.layer)
            image = recolored(image, layer, SCENE_LINEAR, config=self._config)
        return image

    def _raw(self, request: Render, pixels: ShmPixels | InlinePixels, parts: Parts) -> Plate:
        planes = pixels.planes
        if planes.channels[:3] != ("R", "G", "B") or planes.channels[3:] not in ((), ("A",)):
            raise RequestError(
                f"raw planes must be R, G, B and optionally A, not {', '.join(planes.channels)}",
                hint="send the color of one layer",
            )
        if not request.options.colorspace:
            raise RequestError(
                "raw planes have no colorspace", hint="name the OCIO colorspace or role"
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
                    f"a part has {data.nbytes} bytes, its planes need {length}",
                    hint="send every channel of the window once",
                )
        stack = np.frombuffer(data, dtype).reshape(shape).astype(np.float32, copy=False)
        return Plate(
            (stack[0], stack[1], stack[2]),
            stack[3] if len(stack) == 4 else None,
            window,
            request.options.colorspace,
            is_premultiplied=request.options.alpha == "premultiplied",
        )

    def _check_size(self, size_bytes: int, *, frame: int) -> None:
        if size_bytes > self._frame_bytes_max:
            raise FrameTooLarge(
                f"frame {frame} has {size_bytes} bytes of pixels, the server accepts "
                f"{self._frame_bytes_max}",
                hint="raise frame_bytes_max in the server's settings, or send a part of the frame",
                frame=frame,
            )


def _part(parts: Parts, index: int) -> memoryview:
    if not 0 <= index < len(parts):
        raise ProtocolError(f"the request names part {index}, but has {len(parts)} parts")
    return memoryview(parts[index])


def is_exr(path: str) -> bool:
    """Return whether a path names an EXR."""
    return path.lower().endswith(".exr")


def _wants_light(request: Render) -> bool:
    """Return whether the result is stored as an EXR."""
    return isinstance(request.target, ExrTarget) or is_file(request.target)


def is_file(target: Target, suffixes: tuple[str, ...] = (".exr",)) -> bool:
    """Return whether a target is a file of one of these kinds."""
    return isinstance(target, PathTarget) and target.path.lower().endswith(suffixes)
