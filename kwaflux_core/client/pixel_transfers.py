"""How a client's pixels travel: in shared memory, as raw parts, or as an EXR file's bytes."""

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
    """Hold what is sent of one frame: red, green, blue (and alpha) over one window.

    ``picture`` and ``part`` say what they are from.
    """

    frame: int
    planes: tuple[Channel, ...]
    window: Box
    picture: Image
    part: int

    @classmethod
    def of(cls, image: Image, *, frame: int, layer: str) -> Plate:
        """Take a layer's color out of a picture, not copied.

        Raises:
            ImageUnsupported: There is no such layer, or its color is whole numbers.
        """
        found = image.find_layer(layer)
        planes = image.color_planes(found)
        for name, plane in zip((*found.color, found.alpha), planes, strict=False):
            if plane.dtype.kind != "f":
                raise ImageUnsupported(f"channel {name!r} holds whole numbers, no color")
        return cls(frame, planes, image.parts[found.part].data_window, image, found.part)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (len(self.planes), self.window.height, self.window.width)

    @property
    def length_bytes(self) -> int:
        """Size as float32."""
        return len(self.planes) * self.window.area_px * _FLOAT_BYTES

    def described(self) -> Planes:
        """Return how the wire describes the planes."""
        return Planes(self.window.as_tuple(), _NAMES[: len(self.planes)])

    def alone(self) -> Image:
        """Return a picture of nothing but the planes, named R, G, B and A."""
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
    """Hold the color that came back: red, green, blue, each (H, W) of ``window``, float32."""

    window: Box
    planes: tuple[Plane, Plane, Plane]


class PixelTransfer(Protocol):
    """Pixels on their way: loaded for one request, unloaded from its answer."""

    sources: tuple[Source, ...]
    target: Target
    parts: tuple[WirePart, ...]

    def read_result(self, pixels: PixelRef, parts: Sequence[WirePart]) -> ColorPlanes:
        """Return the color that an answer names; the transfer is then at its end.

        Raises:
            ProtocolError: The answer names pixels that are not where they should be.
        """
        ...

    def release(self) -> None:
        """Give back what was reserved. Never waits; once or more often."""
        ...


class SharedMemoryTransfer:
    """Pixels in slabs of the session's rings."""

    parts: tuple[WirePart, ...] = ()

    def __init__(self, pool: RingPool, plates: Sequence[Plate], *, result_bytes: int) -> None:
        """Reserve slabs and copy the planes in.

        Args:
            pool: The session's rings.
            plates: The frame itself first.
            result_bytes: What is reserved for the result.

        Raises:
            ResourceError: No room.
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
        """Return views of the slab that the answer names; it is freed with the last of them."""
        try:
            slab, described = self._answered(pixels)
            color = _color(slab.give_planes(shape=_shape(described)), described)
        except (ProtocolError, ResourceError) as error:
            self.release()
            raise ProtocolError(f"the result is not where it should be: {error.message}") from error
        for other in self._slabs:
            if other is not slab:
                other.release()
        return color

    def release(self) -> None:
        """Give the slabs back."""
        for slab in self._slabs:
            slab.release()

    def _answered(self, pixels: PixelRef) -> tuple[Slab, Planes]:
        """Return the slab an answer names: the result's, or a source's if no pixel was touched."""
        if not isinstance(pixels, ShmPixels):
            raise ProtocolError(f"the result came by {pixels.by!r} and not in its slab")
        for slab in self._slabs:
            if (slab.ring.name, slab.offset_bytes) == (pixels.ring, pixels.offset_bytes):
                return slab, pixels.planes
        raise ProtocolError(f"the result lies in {pixels.ring!r}, where none was reserved for it")


class InlineTransfer:
    """Pixels as raw parts of the messages, for a server that shares no memory with us.

    The planes are copied into one part, which libzmq sends from where it lies; the caller may
    change the planes as soon as the call has begun to wait.
    """

    target: Target = InlineTarget()

    def __init__(self, plates: Sequence[Plate], *, message_bytes: int) -> None:
        """Describe the planes.

        Args:
            plates: The frame itself first.
            message_bytes: What the server accepts in one message.

        Raises:
            FrameTooLarge: The planes are more than that.
        """
        self.sources = tuple(
            Source(plate.frame, InlinePixels(part, plate.described()))
            for part, plate in enumerate(plates)
        )
        _check_message(sum(plate.length_bytes for plate in plates), message_bytes)
        self.parts = tuple(_stacked(plate) for plate in plates)

    def read_result(self, pixels: PixelRef, parts: Sequence[WirePart]) -> ColorPlanes:
        """Return views of the part that the answer names."""
        return _from_part(pixels, parts)

    def release(self) -> None:
        """Do nothing: nothing is reserved."""


class ExrTransfer:
    """Pixels as the bytes of compressed EXR files, for a slow network."""

    def __init__(self, plates: Sequence[Plate], *, message_bytes: int, is_whole: bool) -> None:
        """Compress the planes; half stays half.

        Args:
            plates: The frame itself first.
            message_bytes: What the server accepts in one message.
            is_whole: Whether the whole data window is asked for; a region comes back as raw
                planes, because a file is written whole.

        Raises:
            FrameTooLarge: The files are more than that.
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
        """Return the color of the file, or of the raw planes, that the answer names."""
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
        """Do nothing: nothing is reserved."""


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
        raise ProtocolError(f"the result came by {pixels.by!r} and not in a part")
    part, shape = _part(parts, pixels.part), _shape(pixels.planes)
    count = shape[0] * shape[1] * shape[2]
    if len(part) != count * _FLOAT_BYTES:
        raise ProtocolError(
            f"the result's part holds {len(part)} bytes, {count * _FLOAT_BYTES} were due"
        )
    return _color(np.frombuffer(part, "<f4").reshape(shape), pixels.planes)


def _part(parts: Sequence[WirePart], index: int) -> WirePart:
    if not 0 <= index < len(parts):
        raise ProtocolError(f"the answer names part {index}, and {len(parts)} came")
    return parts[index]


def _shape(planes: Planes) -> tuple[int, int, int]:
    if planes.dtype != "f4":
        raise ProtocolError(f"the result came as {planes.dtype!r}, float32 was due")
    window = _window(planes)
    return (len(planes.channels), window.height, window.width)


def _window(planes: Planes) -> Box:
    try:
        return Box(*planes.window)
    except ImageError as error:
        raise ProtocolError(f"the result has no pixel: {error}") from error


def _color(stack: npt.NDArray[np.floating], planes: Planes) -> ColorPlanes:
    try:
        red, green, blue = (stack[planes.channels.index(name)] for name in _NAMES[:3])
    except ValueError as error:
        raise ProtocolError(
            f"the result has the channels {', '.join(planes.channels)}, R, G and B were due"
        ) from error
    return ColorPlanes(_window(planes), (red, green, blue))
