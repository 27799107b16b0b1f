"""Small EXRs in pure Python: what a check needs in a host that has no OpenEXR.

Meant for charts of some thousand pixels; everything else reads with
``kwaflux_core.images.exr.read``. Headers are parsed by ``kwaflux_core.images.exr.header``.

Source: "OpenEXR File Layout" and "Technical Introduction to OpenEXR", openexr.com.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kwaflux_core.errors import ImageUnsupported
from kwaflux_core.geometry import Box, box_from_exr_inclusive, box_to_exr_inclusive
from kwaflux_core.images.exr.header import (
    MAGIC,
    PartLayout,
    compression_of,
    damaged,
    read_layout,
)

__all__ = ["PlainPicture", "encode_plain", "read_plain"]

_CODES: Final = {"uint": "I", "half": "e", "float": "f"}
"""Pixel types as ``struct`` calls them."""

_PIXELS_MAX: Final = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainPicture:
    """Hold a small picture.

    Args:
        planes: Under each channel's name its values, row by row from the top left.
        data_window: Where they lie.
        display_window: What the viewer shows.
        layout: The header.
    """

    planes: Mapping[str, tuple[float, ...]]
    data_window: Box
    display_window: Box
    layout: PartLayout

    @property
    def pixel_types(self) -> dict[str, str]:
        """``half``, ``float`` or ``uint`` under each channel's name."""
        return {channel.name: channel.pixel_type for channel in self.layout.channels}

    def value(self, channel: str, x: int, y: int) -> float:
        """Return a pixel's value, by its place in the picture's own coordinates."""
        window = self.data_window
        return self.planes[channel][(y - window.y0) * window.width + x - window.x0]


def encode_plain(
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
    header = struct.pack("<ii", MAGIC, 2) + b"".join(
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


def read_plain(data: bytes, *, label: str = "the file") -> PlainPicture:
    """Return a small flat EXR of one part.

    Args:
        data: The whole file.
        label: What errors call it.

    Raises:
        ImageUnreadable: No EXR, or damaged.
        ImageUnsupported: Of a kind this does not read, or too large for it.
    """
    headers = read_layout(io.BytesIO(data), label=label)
    part = headers.parts[0]
    _refuse_other_kinds(part, is_multi_part=headers.is_multi_part, label=label)
    compression = compression_of(part, label=label)
    if compression.name not in ("none", "ZIPS", "ZIP"):
        raise ImageUnsupported(
            f"{label} is compressed with {compression.name}", hint="write it with ZIP or none"
        )
    window = box_from_exr_inclusive(*part.data_window)
    if window.area_px > _PIXELS_MAX:
        raise ImageUnsupported(f"{label} is too large for a check", hint="use the chart")
    rows: dict[str, list[tuple[float, ...]]] = {
        channel.name: [()] * window.height for channel in part.channels
    }
    try:
        count = math.ceil(window.height / compression.lines_of_chunk)
        for offset in struct.unpack_from(f"<{count}Q", data, headers.headers_end_bytes):
            for name, y, line in _lines(data, offset, part, compression.lines_of_chunk):
                rows[name][y - window.y0] = line
    except (struct.error, zlib.error, IndexError, ValueError) as error:
        raise damaged(label, f"its pixels make no sense ({error})") from None
    if not all(line for lines in rows.values() for line in lines):
        raise damaged(label, "it does not have all lines")
    planes = {
        name: tuple(value for line in lines for value in line) for name, lines in rows.items()
    }
    return PlainPicture(
        planes=planes,
        data_window=window,
        display_window=box_from_exr_inclusive(*part.display_window),
        layout=part,
    )


def _refuse_other_kinds(part: PartLayout, *, is_multi_part: bool, label: str) -> None:
    if is_multi_part or part.storage != "scanlineimage":
        raise ImageUnsupported(
            f"{label} is tiled, deep or of several parts", hint="write one part of scanlines"
        )
    if any((channel.x_sampling, channel.y_sampling) != (1, 1) for channel in part.channels):
        raise ImageUnsupported(
            f"{label} has subsampled channels", hint="write every pixel in every channel"
        )


def _lines(
    data: bytes, offset: int, part: PartLayout, lines_of_chunk: int
) -> Iterator[tuple[str, int, tuple[float, ...]]]:
    """Give channel, y and values of each line in a chunk.

    Raises:
        ValueError: The chunk lies outside the data window, or is damaged; also ``struct.error``
            and ``zlib.error``.
    """
    left, top, right, bottom = part.data_window
    layouts = {c.name: f"<{right - left + 1}{_CODES[c.pixel_type]}" for c in part.channels}
    first, size_bytes = struct.unpack_from("<ii", data, offset)
    if not top <= first <= bottom or size_bytes < 0:
        raise ValueError("a block outside the data window")
    lines = range(first, min(first + lines_of_chunk, bottom + 1))
    unpacked_bytes = len(lines) * sum(map(struct.calcsize, layouts.values()))
    block = _unpacked(data[offset + 8 : offset + 8 + size_bytes], unpacked_bytes)
    at = 0
    for y in lines:
        for name, layout in layouts.items():
            yield name, y, struct.unpack_from(layout, block, at)
            at += struct.calcsize(layout)


def _unpacked(block: bytes, wanted_bytes: int) -> bytes:
    """Undo ZIP: inflate, add up the differences, put the two halves together again."""
    if len(block) >= wanted_bytes:
        return block
    deltas = bytearray(zlib.decompressobj().decompress(block, wanted_bytes))
    for at in range(1, len(deltas)):
        deltas[at] = (deltas[at - 1] + deltas[at] - 128) & 0xFF
    half = (len(deltas) + 1) // 2
    whole = bytearray(len(deltas))
    whole[0::2], whole[1::2] = deltas[:half], deltas[half:]
    return bytes(whole)


def _box(box: Box) -> bytes:
    return struct.pack("<4i", *box_to_exr_inclusive(box))
