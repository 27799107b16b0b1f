"""Small EXRs in pure Python: what a check needs in a host that has no OpenEXR.

Meant for charts of some thousand pixels; everything else reads with
``kwaflux_core.images.exr.read``.

Source: "OpenEXR File Layout" and "Technical Introduction to OpenEXR", openexr.com.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from kwaflux_core.errors import ImageUnreadable, ImageUnsupported
from kwaflux_core.geometry import Box, box_from_exr_inclusive

__all__ = ["PlainHeader", "PlainPicture", "read_header", "read_plain", "written_plain"]

_MAGIC: Final = 20000630
_TYPES: Final = ((0, "uint", "I"), (1, "half", "e"), (2, "float", "f"))
_LINES: Final = {0: 1, 2: 1, 3: 16}
"""Scanlines of a chunk: uncompressed, ZIPS and ZIP."""

_NAMES: Final = ("none", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
_FLAGS_UNSUPPORTED: Final = 0x200 | 0x800 | 0x1000
_PIXELS_MAX: Final = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainHeader:
    """Hold what the header of a flat EXR says.

    Args:
        channels: Names with their kinds (``half``, ``float``, ``uint``), in the file's order.
        data_window: Where the pixels lie.
        display_window: What the viewer shows.
        compression: By name (``none``, ``ZIPS``, ``ZIP`` and so on).
        attributes: All others: their type's name and their bytes.
        length_bytes: Of the header, up to the table of chunks.
    """

    channels: Mapping[str, str]
    data_window: Box
    display_window: Box
    compression: str
    attributes: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    length_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainPicture:
    """Hold a small picture.

    Args:
        planes: Under each channel's name its values, row by row from the top left.
        header: What it said.
    """

    planes: Mapping[str, tuple[float, ...]]
    header: PlainHeader

    def value(self, channel: str, x: int, y: int) -> float:
        """Return a pixel's value, by its place in the picture's own coordinates."""
        window = self.header.data_window
        return self.planes[channel][(y - window.y0) * window.width + x - window.x0]


def written_plain(
    planes: Mapping[str, tuple[float, ...]],
    *,
    data_window: Box,
    display_window: Box,
    attributes: Mapping[str, tuple[str, bytes]] | None = None,
) -> bytes:
    """Return the bytes of an uncompressed float EXR.

    Args:
        planes: Values of each channel, row by row; as many as the data window has pixels.
        data_window: Where they lie.
        display_window: What the viewer shows.
        attributes: More of the header: type's name and bytes under each name.
    """
    names = sorted(planes)
    channels = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) for name in names
    )
    every = {
        "channels": ("chlist", channels + b"\0"),
        "compression": ("compression", b"\0"),
        "dataWindow": ("box2i", _box(data_window)),
        "displayWindow": ("box2i", _box(display_window)),
        "lineOrder": ("lineOrder", b"\0"),
        "pixelAspectRatio": ("float", struct.pack("<f", 1.0)),
        "screenWindowCenter": ("v2f", struct.pack("<2f", 0.0, 0.0)),
        "screenWindowWidth": ("float", struct.pack("<f", 1.0)),
        **(attributes or {}),
    }
    header = struct.pack("<ii", _MAGIC, 2) + b"".join(
        b"%s\0%s\0%s%s" % (name.encode(), kind.encode(), struct.pack("<i", len(value)), value)
        for name, (kind, value) in every.items()
    )
    header += b"\0"
    width, height = data_window.width, data_window.height
    line_bytes = 4 * width * len(names)
    first = len(header) + 8 * height
    table = struct.pack(f"<{height}Q", *(first + row * (8 + line_bytes) for row in range(height)))
    lines = []
    for row in range(height):
        lines.append(struct.pack("<ii", data_window.y0 + row, line_bytes))
        lines += [
            struct.pack(f"<{width}f", *planes[name][row * width : (row + 1) * width])
            for name in names
        ]
    return header + table + b"".join(lines)


def read_header(data: bytes, *, label: str = "the file") -> PlainHeader:
    """Return what the header of a flat EXR of one part says; reads no pixel.

    Args:
        data: The file, or its beginning as far as its header goes.
        label: What errors call it.

    Raises:
        ImageUnreadable: No EXR, or cut off.
        ImageUnsupported: Tiled, deep or of several parts.
    """
    try:
        magic, version = struct.unpack_from("<ii", data)
        if magic != _MAGIC:
            _refuse(label, "is no EXR")
        if version & _FLAGS_UNSUPPORTED:
            raise ImageUnsupported(
                f"{label} is tiled, deep or of several parts", hint="write one part of scanlines"
            )
        found, at = _attributes(data)
        data_window, display_window = (
            box_from_exr_inclusive(*struct.unpack("<4i", found.pop(name)[1]))
            for name in ("dataWindow", "displayWindow")
        )
        return PlainHeader(
            channels=_channels(found.pop("channels")[1]),
            data_window=data_window,
            display_window=display_window,
            compression=_NAMES[found.pop("compression")[1][0]],
            attributes=found,
            length_bytes=at,
        )
    except (struct.error, KeyError, IndexError, ValueError) as error:
        _refuse(label, f"is damaged ({type(error).__name__})")


def read_plain(data: bytes, *, label: str = "the file") -> PlainPicture:
    """Return a small flat EXR.

    Raises:
        ImageUnreadable: No EXR, or damaged.
        ImageUnsupported: Of a kind this does not read, or too large for it.
    """
    header = read_header(data, label=label)
    if header.compression not in ("none", "ZIPS", "ZIP"):
        raise ImageUnsupported(
            f"{label} is compressed with {header.compression}", hint="write it with ZIP or none"
        )
    window = header.data_window
    if window.area_px > _PIXELS_MAX:
        raise ImageUnsupported(f"{label} is too large for a check", hint="use the chart")
    codes = {kind: code for _, kind, code in _TYPES}
    rows: dict[str, list[tuple[float, ...]]] = {
        name: [()] * window.height for name in header.channels
    }
    step = _LINES[_NAMES.index(header.compression)]
    try:
        count = -(-window.height // step)
        offsets = struct.unpack_from(f"<{count}Q", data, header.length_bytes)
        for offset in offsets:
            first, size = struct.unpack_from("<ii", data, offset)
            lines = min(step, window.y0 + window.height - first)
            wanted = (
                lines
                * window.width
                * sum(4 if k != "half" else 2 for k in header.channels.values())
            )
            block = _unpacked(data[offset + 8 : offset + 8 + size], wanted)
            at = 0
            for row in range(first - window.y0, first - window.y0 + lines):
                for name, kind in header.channels.items():
                    layout = f"<{window.width}{codes[kind]}"
                    rows[name][row] = struct.unpack_from(layout, block, at)
                    at += struct.calcsize(layout)
    except (struct.error, zlib.error, IndexError, ValueError) as error:
        _refuse(label, f"is damaged ({type(error).__name__})")
    planes = {
        name: tuple(value for line in lines for value in line) for name, lines in rows.items()
    }
    return PlainPicture(planes=planes, header=header)


def _unpacked(block: bytes, wanted: int) -> bytes:
    """Undo ZIP: inflate, add up the differences, put the two halves together again."""
    if len(block) >= wanted:
        return block
    deltas = bytearray(zlib.decompress(block))
    for at in range(1, len(deltas)):
        deltas[at] = (deltas[at - 1] + deltas[at] - 128) & 0xFF
    half = (len(deltas) + 1) // 2
    whole = bytearray(len(deltas))
    whole[0::2], whole[1::2] = deltas[:half], deltas[half:]
    return bytes(whole)


def _attributes(data: bytes) -> tuple[dict[str, tuple[str, bytes]], int]:
    """Return every attribute, and where the header ends."""
    found: dict[str, tuple[str, bytes]] = {}
    at = 8
    while data[at] != 0:
        name_end = data.index(b"\0", at)
        kind_end = data.index(b"\0", name_end + 1)
        (size,) = struct.unpack_from("<i", data, kind_end + 1)
        begin = kind_end + 5
        if size < 0 or begin + size > len(data):
            raise ValueError("an attribute is longer than the file")
        name, kind = data[at:name_end].decode(), data[name_end + 1 : kind_end].decode()
        found[name] = (kind, data[begin : begin + size])
        at = begin + size
    return found, at + 1


def _channels(raw: bytes) -> dict[str, str]:
    kinds = {number: kind for number, kind, _ in _TYPES}
    found, at = {}, 0
    while raw[at] != 0:
        end = raw.index(b"\0", at)
        (number,) = struct.unpack_from("<i", raw, end + 1)
        found[raw[at:end].decode()] = kinds[number]
        at = end + 17
    return found


def _box(box: Box) -> bytes:
    return struct.pack("<4i", box.x0, box.y0, box.x1 - 1, box.y1 - 1)


def _refuse(label: str, why: str) -> NoReturn:
    raise ImageUnreadable(f"{label} {why}", hint="write it again")
