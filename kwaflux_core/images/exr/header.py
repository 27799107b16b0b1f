"""The headers of an EXR file as they stand in its bytes.

Source: "OpenEXR File Layout", openexr.com, sections Version Field, Header and Predefined Types.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from kwaflux_core.errors import ImageUnreadable, ImageUnsupported

__all__ = [
    "MAGIC",
    "ChannelLayout",
    "Compression",
    "ExrLayout",
    "PartLayout",
    "RawAttribute",
    "compression_of",
    "damaged",
    "read_layout",
]

MAGIC: Final = 20000630
_TILED, _LONG_NAMES, _DEEP, _MULTI_PART = 0x200, 0x400, 0x800, 0x1000
_KNOWN_FLAGS = _TILED | _LONG_NAMES | _DEEP | _MULTI_PART
_FIRST_READ_BYTES = 1 << 16
_PIXEL_TYPES = ("uint", "half", "float")
_REQUIRED = ("channels", "compression", "dataWindow", "displayWindow")


@dataclass(frozen=True, slots=True)
class RawAttribute:
    """Hold one attribute as it stands in the file.

    Args:
        type_name: OpenEXR's name of the type (``rational``, ``box2i``).
        value: The bytes of the value.
        type_offset_bytes: Where the type's name begins in the file.
    """

    type_name: str
    value: bytes
    type_offset_bytes: int


@dataclass(frozen=True, slots=True)
class ChannelLayout:
    """Hold one channel of a header.

    Args:
        name: The full name; bytes that are no UTF-8 are kept as surrogates.
        pixel_type: ``half``, ``float`` or ``uint``.
        x_sampling: Every how many pixels there is a sample in a line; 1 is all.
        y_sampling: The same from line to line.
        is_plinear: The flag by which lossy codecs tell data from color.
    """

    name: str
    pixel_type: str
    x_sampling: int
    y_sampling: int
    is_plinear: bool


@dataclass(frozen=True, slots=True)
class PartLayout:
    """Hold the header of one part.

    Args:
        attributes: Under their names.
        channels: In the file's order.
        storage: ``scanlineimage``, ``tiledimage``, ``deepscanline`` or ``deeptile``.
        data_window: OpenEXR's inclusive ``(x_min, y_min, x_max, y_max)``.
        display_window: The same.
    """

    attributes: Mapping[str, RawAttribute]
    channels: tuple[ChannelLayout, ...]
    storage: str
    data_window: tuple[int, int, int, int]
    display_window: tuple[int, int, int, int]

    @property
    def is_deep(self) -> bool:
        """Whether a pixel holds any number of samples."""
        return self.storage.startswith("deep")


@dataclass(frozen=True, slots=True)
class ExrLayout:
    """Hold the headers of a file, and where they end.

    Args:
        parts: One or more.
        is_multi_part: Whether chunks carry the number of their part.
        headers_end_bytes: Where the first chunk table begins.
        size_bytes: Size of the file.
    """

    parts: tuple[PartLayout, ...]
    is_multi_part: bool
    headers_end_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Compression:
    """Describe a way of compression: its name, and the scanlines that one chunk holds."""

    name: str
    lines_of_chunk: int


_COMPRESSIONS: Final = tuple(
    Compression(*known)
    for known in (
        ("none", 1),
        ("RLE", 1),
        ("ZIPS", 1),
        ("ZIP", 16),
        ("PIZ", 32),
        ("PXR24", 16),
        ("B44", 32),
        ("B44A", 32),
        ("DWAA", 32),
        ("DWAB", 256),
        ("HTJ2K256", 256),
        ("HTJ2K32", 32),
        ("LJ2K", 256),
        ("ZSTD", 1),
    )
)
"""By the number in the header.

Source: ``exr_compression_lines_per_chunk`` of OpenEXR's core.
"""


class _ShortError(Exception):
    """More bytes of the file are needed to go on."""


def read_layout(stream: BinaryIO, *, label: str) -> ExrLayout:
    """Read the headers of an EXR; no pixel is touched.

    Args:
        stream: The file, readable and seekable.
        label: What the file is called in an error.

    Raises:
        ImageUnreadable: Not an EXR, truncated within its headers, or damaged there.
        ImageUnsupported: A newer kind of EXR than is known here.
    """
    size_bytes = stream.seek(0, os.SEEK_END)
    wanted_bytes = _FIRST_READ_BYTES
    while True:
        stream.seek(0)
        data = stream.read(min(wanted_bytes, size_bytes))
        try:
            return _parse(data, size_bytes=size_bytes, label=label)
        except _ShortError:
            if len(data) >= size_bytes:
                raise damaged(label, "it ends within its header") from None
            wanted_bytes *= 4
        except (struct.error, IndexError, ValueError, OverflowError) as error:
            raise damaged(label, f"its header makes no sense ({error})") from None


def _parse(data: bytes, *, size_bytes: int, label: str) -> ExrLayout:
    if size_bytes < 8:
        raise damaged(label, f"it holds {size_bytes} bytes")
    magic, version = struct.unpack_from("<II", data)
    if magic != MAGIC:
        raise ImageUnreadable(f"{label} is not an EXR", hint="check the file and its suffix")
    if version & 0xFF != 2 or version & ~(0xFF | _KNOWN_FLAGS):
        raise ImageUnsupported(f"{label} is an EXR of an unknown version ({version:#x})")
    is_multi_part = bool(version & _MULTI_PART)
    parts: list[PartLayout] = []
    position = 8
    while not parts or is_multi_part:
        attributes: dict[str, RawAttribute] = {}
        for name, attribute, end in _attributes(data, position, size_bytes):
            attributes[name] = attribute
            position = end
        position += 1
        if not attributes:
            break
        parts.append(_part(attributes, version, label=label))
    if not parts:
        raise damaged(label, "it has no parts")
    return ExrLayout(tuple(parts), is_multi_part, position, size_bytes)


def _attributes(
    data: bytes, position: int, size_bytes: int
) -> Iterator[tuple[str, RawAttribute, int]]:
    while True:
        if position >= len(data):
            raise _ShortError
        if data[position] == 0:
            return
        name, type_offset = _text(data, position)
        type_name, position = _text(data, type_offset)
        if position + 4 > len(data):
            raise _ShortError
        (length,) = struct.unpack_from("<i", data, position)
        position += 4
        if length < 0 or position + length > size_bytes:
            raise ValueError(f"attribute {name!r} claims {length} bytes")
        if position + length > len(data):
            raise _ShortError
        value = data[position : position + length]
        position += length
        yield name, RawAttribute(type_name, value, type_offset), position


def _text(data: bytes, position: int) -> tuple[str, int]:
    end = data.find(b"\0", position, position + 257)
    if end < 0:
        if position + 257 > len(data):
            raise _ShortError
        raise ValueError("a name has no end")
    return data[position:end].decode("utf-8", "surrogateescape"), end + 1


def _part(attributes: Mapping[str, RawAttribute], version: int, *, label: str) -> PartLayout:
    missing = [name for name in _REQUIRED if name not in attributes]
    if missing:
        raise damaged(label, f"its header has no {missing[0]}")
    storage = "tiledimage" if version & _TILED else "scanlineimage"
    if "type" in attributes and version & (_MULTI_PART | _DEEP):
        storage = attributes["type"].value.rstrip(b"\0").decode("ascii")
    if storage not in ("scanlineimage", "tiledimage", "deepscanline", "deeptile"):
        raise ImageUnsupported(f"{label} has a part of the unknown type {storage!r}")
    data_window = _window(attributes["dataWindow"].value)
    display_window = _window(attributes["displayWindow"].value)
    return PartLayout(
        attributes=attributes,
        channels=tuple(_channels(attributes["channels"].value)),
        storage=storage,
        data_window=data_window,
        display_window=display_window,
    )


def _window(value: bytes) -> tuple[int, int, int, int]:
    x_min, y_min, x_max, y_max = struct.unpack("<4i", value)
    if x_max < x_min or y_max < y_min:
        raise ValueError("a window is empty")
    return x_min, y_min, x_max, y_max


def _channels(value: bytes) -> Iterator[ChannelLayout]:
    position = 0
    while value[position] != 0:
        name, position = _text(value + b"\0" * 257, position)
        kind, plinear, x_sampling, y_sampling = struct.unpack_from("<iB3xii", value, position)
        position += 16
        if kind not in (0, 1, 2) or x_sampling < 1 or y_sampling < 1:
            raise ValueError(f"channel {name!r} is of no known type")
        yield ChannelLayout(name, _PIXEL_TYPES[kind], x_sampling, y_sampling, bool(plinear))


def compression_of(part: PartLayout, *, label: str) -> Compression:
    """Return how the pixels of a part are compressed.

    Raises:
        ImageUnreadable: The attribute is damaged.
        ImageUnsupported: In a way that is newer than this version of Kwaflux.
    """
    value = part.attributes["compression"].value
    if len(value) != 1:
        raise damaged(label, "its compression is not one byte")
    if value[0] >= len(_COMPRESSIONS):
        raise ImageUnsupported(
            f"{label} is compressed in a way this version of Kwaflux does not know ({value[0]})",
            hint="write it again with ZIP compression",
        )
    return _COMPRESSIONS[value[0]]


def damaged(label: str, why: str) -> ImageUnreadable:
    """Return the error for a file whose bytes are not what an EXR's are."""
    return ImageUnreadable(f"{label} cannot be read: {why}", hint="copy or render the file again")
