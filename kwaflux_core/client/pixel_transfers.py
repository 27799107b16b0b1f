"""Transfers of a client's pixels: by shared memory, as raw parts, or as EXR bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from kwaflux_core.errors import (
    FrameTooLarge,
    ImageError,
    ImageUnsupported,
    ProtocolError,
    ResourceError,
)
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.codec import WirePart
from kwaflux_core.protocol.messages import (
    ExrPixels,
    ExrTarget,
    InlinePixels,
    InlineTarget,
    PixelRef,
    Planes,
    ShmPixels,
    ShmTarget,
    Source,
    Target,
)
from kwaflux_core.transport.ring_pool import RingPool, Slab

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kwaflux_core.images.image import Channel, Image

    Plane: TypeAlias = npt.NDArray[np.float32]

__all__ = [
    "ColorPlanes",
    "ExrTransfer",
    "InlineTransfer",
    "PixelTransfer",
    "Plate",
    "SharedMemoryTransfer",
]

_NAMES = ("R", "G", "B", "A")
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Plate:
    """The planes of one frame that are sent: red, green, blue (and alpha) over one window.

    ``picture`` and ``part`` are their origin.
    """

    frame: int
    planes: tuple[Channel, ...]
    window: Box
    picture: Image
    part: int

    @classmethod
    def of(cls, image: Image, *, frame: int, layer: str) -> Plate:
        """Return a layer's color planes of a picture, not copied.

        Raises:
            ImageUnsupported: There is no such layer, or its color is of integer type.
        """
        color_layer = image.find_layer(layer)
        planes = image.color_planes(color_layer)
        for name, plane in zip((*color_layer.color, color_layer.alpha), planes, strict=False):
            if plane.dtype.kind != "f":
                raise ImageUnsupported(f"channel {name!r} is of integer type and cannot be color")
        return cls(
            frame, planes, image.parts[color_layer.part].data_window, image, color_layer.part
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (len(self.planes), self.window.height, self.window.width)

    @property
    def length_bytes(self) -> int:
        """Size as float32."""
        return len(self.planes) * self.window.area_px * _FLOAT_BYTES

    def described(self) -> Planes:
        """Return the protocol's description of the planes."""
        return Planes(self.window.as_tuple(), _NAMES[: len(self.planes)])

    def alone(self) -> Image:
        """Return a picture of only the planes, named R, G, B and A."""
        channels = dict(zip(_NAMES, self.planes, strict=False))
        part = replace(self.picture.parts[self.part], channels=channels, attributes={})
        return replace(self.picture, parts=(part,))

    def copy_into(self, stack: npt.NDArray[np.floating]) -> None:
        """Copy the planes into an array (C, H, W); half is widened exactly."""
        import numpy as np

        for into, plane in zip(stack, self.planes, strict=True):
            np.copyto(into, plane)


@dataclass(frozen=True, slots=True)
class ColorPlanes:
    """The returned color: red, green, blue, each (H, W) of ``window``, float32."""

    window: Box
    planes: tuple[Plane, Plane, Plane]


class PixelTransfer(Protocol):
    """A transfer of pixels: sends those of one request, receives those of its answer."""

    sources: tuple[Source, ...]
    target: Target
    parts: tuple[WirePart, ...]

    def read_result(self, pixels: PixelRef, parts: Sequence[WirePart]) -> ColorPlanes:
        """Return the color that an answer refers to; this ends the transfer.

        Raises:
            ProtocolError: The answer refers to other pixels than expected.
        """
        ...

    def release(self) -> None:
        """Release reserved memory. Never waits. Idempotent."""
        ...


class SharedMemoryTransfer:
    """Pixels in slabs of the session's rings."""

    parts: tuple[WirePart, ...] = ()

    def __init__(self, pool: RingPool, plates: Sequence[Plate], *, result_bytes: int) -> None:
        """Reserve slabs and copy the planes in.

        Args:
            pool: The session's rings.
            plates: The frame itself first.
            result_bytes: Bytes to reserve for the result.

        Raises:
            ResourceError: The rings have no room.
        """
        lengths = (*(plate.length_bytes for plate in plates), result_bytes)
        self._slabs = pool.allocate(lengths, likely_bytes=result_bytes)
        self._result = self._slabs[-1]
        sources = []
        for plate, slab in zip(plates, self._slabs, strict=False):
            plate.copy_into(slab.planes(shape=plate.shape))
            pixels = ShmPixels(slab.ring.name, slab.offset_bytes, plate.described())
            sources.append(Source(plate.frame, pixels))
        self.sources = tuple(sources)
        self.target: Target = ShmTarget(
            self._result.ring.name, self._result.offset_bytes, self._result.length_bytes
        )

    def read_result(self, pixels: PixelRef, parts: Sequence[WirePart]) -> ColorPlanes:
        """Return views of the answer's slab, which is freed with the last view."""
        try:
            slab, described = self._answered(pixels)
            color = _color(slab.give_planes(shape=_shape(described)), described)
        except (ProtocolError, ResourceError) as error:
            self.release()
            raise ProtocolError(f"the result is not in its slab: {error.message}") from error
        for other in self._slabs:
            if other is not slab:
                other.release()
        return color

    def release(self) -> None:
        """Release the slabs."""
        for slab in self._slabs:
            slab.release()

    def _answered(self, pixels: PixelRef) -> tuple[Slab, Planes]:
        """Return the answer's slab: the result's, or a source's if no pixel was changed."""
        if not isinstance(pixels, ShmPixels):
            raise ProtocolError(f"the result was sent by {pixels.by!r}, not in its slab")
        for slab in self._slabs:
            if (slab.ring.name, slab.offset_bytes) == (pixels.ring, pixels.offset_bytes):
                return slab, pixels.planes
        raise ProtocolError(f"the result is in {pixels.ring!r}, where no slab was reserved for it")


class InlineTransfer:
    """Pixels as raw parts of the messages, for a server without shared memory.

    The planes are copied into one part, which libzmq sends without another copy; the caller may
    change the planes once the request is sent.
    """

    target: Target = InlineTarget()

    def __init__(self, plates: Sequence[Plate], *, message_bytes: int) -> None:
        """Describe the planes.

        Args:
            plates: The frame itself first.
            message_bytes: Largest message that the server accepts.

        Raises:
            FrameTooLarge: The planes exceed ``message_bytes``.
        """
        self.sources = tuple(
            Source(plate.frame, InlinePixels(part, plate.described()))
            for part, plate in enumerate(plates)
        )
        _check_message(sum(plate.length_bytes for plate in plates), message_bytes)
        self.parts = tuple(_stacked(plate) for plate in plates)

    def read_result(self, pixels: PixelRef, parts: Sequence[WirePart]) -> ColorPlanes:
        """Return views of the answer's part."""
        return _from_part(pixels, parts)

    def release(self) -> None:
        """Do nothing, since nothing is reserved."""


class ExrTransfer:
    """Pixels as the bytes of compressed EXR files, for a slow network."""

    def __init__(self, plates: Sequence[Plate], *, message_bytes: int, is_whole: bool) -> None:
        """Compress the planes; half stays half.

        Args:
            plates: The frame itself first.
            message_bytes: Largest message that the server accepts.
            is_whole: Whether the whole data window is requested; a region is returned as raw
                planes.

        Raises:
            FrameTooLarge: The files exceed ``message_bytes``.
        """
        from kwaflux_core.images.exr.read import exr_to_bytes

        self.sources = tuple(
            Source(plate.frame, ExrPixels(part)) for part, plate in enumerate(plates)
        )
        self.target: Target = ExrTarget() if is_whole else InlineTarget()
        self.parts: tuple[WirePart, ...] = tuple(
            exr_to_bytes(plate.alone(), compression="zip") for plate in plates
        )
        _check_message(sum(len(part) for part in self.parts), message_bytes)

    def read_result(self, pixels: PixelRef, parts: Sequence[WirePart]) -> ColorPlanes:
        """Return the color of the answer's file or raw planes."""
        if not isinstance(pixels, ExrPixels):
            return _from_part(pixels, parts)
        import numpy as np

        from kwaflux_core.images.exr.read import read_exr

        image = read_exr(bytes(_part(parts, pixels.part)))
        layer = image.find_layer()
        red, green, blue = (
            plane.astype(np.float32, copy=False) for plane in image.color_planes(layer)[:3]
        )
        return ColorPlanes(image.parts[layer.part].data_window, (red, green, blue))

    def release(self) -> None:
        """Do nothing, since nothing is reserved."""


def _check_message(length_bytes: int, limit_bytes: int) -> None:
    if length_bytes > limit_bytes:
        raise FrameTooLarge(
            f"the frame takes {length_bytes} bytes, the server accepts {limit_bytes} in a message",
            hint="render from file to file, or raise message_bytes_max in the server's settings",
            needed_bytes=length_bytes,
        )


def _stacked(plate: Plate) -> WirePart:
    """Return a copy of the planes, one after another."""
    import numpy as np

    stack = np.empty(plate.shape, "<f4")
    plate.copy_into(stack)
    return stack.data.cast("B")


def _from_part(pixels: PixelRef, parts: Sequence[WirePart]) -> ColorPlanes:
    import numpy as np

    if not isinstance(pixels, InlinePixels):
        raise ProtocolError(f"the result was sent by {pixels.by!r}, not in a part")
    part, shape = _part(parts, pixels.part), _shape(pixels.planes)
    count = shape[0] * shape[1] * shape[2]
    if len(part) != count * _FLOAT_BYTES:
        raise ProtocolError(
            f"the result's part has {len(part)} bytes, expected {count * _FLOAT_BYTES}"
        )
    return _color(np.frombuffer(part, "<f4").reshape(shape), pixels.planes)


def _part(parts: Sequence[WirePart], index: int) -> WirePart:
    if not 0 <= index < len(parts):
        raise ProtocolError(f"the answer names part {index}, but has {len(parts)} parts")
    return parts[index]


def _shape(planes: Planes) -> tuple[int, int, int]:
    if planes.dtype != "f4":
        raise ProtocolError(f"the result is {planes.dtype!r}, expected float32")
    window = _window(planes)
    return (len(planes.channels), window.height, window.width)


def _window(planes: Planes) -> Box:
    try:
        return Box(*planes.window)
    except ImageError as error:
        raise ProtocolError(f"the result has no pixels: {error}") from error


def _color(stack: npt.NDArray[np.floating], planes: Planes) -> ColorPlanes:
    try:
        red, green, blue = (stack[planes.channels.index(name)] for name in _NAMES[:3])
    except ValueError as error:
        raise ProtocolError(
            f"the result has the channels {', '.join(planes.channels)}, expected R, G and B"
        ) from error
    return ColorPlanes(_window(planes), (red, green, blue))
