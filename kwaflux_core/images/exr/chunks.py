"""The blocks of pixels of an EXR file: how many there must be, and whether all are there.

Source: "OpenEXR File Layout", openexr.com, sections Offset Tables and Chunk Layout.
"""

from __future__ import annotations

import math
import struct
from typing import BinaryIO

import numpy as np

from kwaflux_core.images.exr.header import ExrLayout, PartLayout, compression_of, damaged

__all__ = ["check_chunks"]


def check_chunks(stream: BinaryIO, layout: ExrLayout, *, label: str) -> None:
    """Check that every chunk of a flat file was written and lies within it.

    Raises:
        ImageUnreadable: The file was cut off, or whoever wrote it did not finish.
    """
    stream.seek(layout.headers_end_bytes)
    counts = [_chunk_count(part, label=label) for part in layout.parts]
    count = sum(counts)
    table_bytes = 8 * count
    first_chunk = layout.headers_end_bytes + table_bytes
    if first_chunk > layout.size_bytes:
        raise damaged(label, "it ends before its pixels")
    offsets = np.frombuffer(stream.read(table_bytes), "<u8")
    if offsets.size != count or not offsets.all():
        missing = count - int(np.count_nonzero(offsets))
        raise damaged(label, f"{missing} of {count} blocks of pixels were never written")
    if int(offsets.min()) < first_chunk or np.unique(offsets).size != count:
        raise damaged(label, "its table of blocks is damaged")
    beyond = int(np.count_nonzero(offsets >= np.uint64(layout.size_bytes)))
    if beyond:
        raise damaged(label, f"{beyond} of {count} blocks of pixels are cut off")
    index = int(offsets.argmax())
    part_index = int(np.searchsorted(np.cumsum(counts), index, side="right"))
    _check_last_chunk(
        stream, layout, layout.parts[part_index], offset=int(offsets[index]), label=label
    )


def _check_last_chunk(
    stream: BinaryIO, layout: ExrLayout, part: PartLayout, *, offset: int, label: str
) -> None:
    leader = "<i" if layout.is_multi_part else "<"
    leader += "iiiii" if part.storage == "tiledimage" else "ii"
    leader_bytes = struct.calcsize(leader)
    stream.seek(offset)
    data = stream.read(leader_bytes)
    if len(data) < leader_bytes:
        raise damaged(label, "its last block of pixels is cut off")
    packed_bytes = struct.unpack(leader, data)[-1]
    if packed_bytes < 0 or offset + leader_bytes + packed_bytes > layout.size_bytes:
        raise damaged(label, "its last block of pixels is cut off")


def _chunk_count(part: PartLayout, *, label: str) -> int:
    x_min, y_min, x_max, y_max = part.data_window
    width, height = x_max - x_min + 1, y_max - y_min + 1
    compression = compression_of(part, label=label)
    if part.storage != "tiledimage":
        return math.ceil(height / compression.lines_of_chunk)
    if "tiles" not in part.attributes or len(part.attributes["tiles"].value) != 9:
        raise damaged(label, "its header has no tiles")
    tile_width, tile_height, mode = struct.unpack("<IIB", part.attributes["tiles"].value)
    levels, rounding = mode & 0xF, mode >> 4
    if not (0 < tile_width < 1 << 31 and 0 < tile_height < 1 << 31) or levels > 2 or rounding > 1:
        raise damaged(label, "its tiles have no size")
    widths, heights = _level_sizes(width, rounding), _level_sizes(height, rounding)
    columns: list[int] = [math.ceil(size / tile_width) for size in widths]
    rows: list[int] = [math.ceil(size / tile_height) for size in heights]
    if levels == 0:
        return columns[0] * rows[0]
    if levels == 2:
        return sum(columns) * sum(rows)
    count = max(len(columns), len(rows))
    columns += [1] * (count - len(columns))
    rows += [1] * (count - len(rows))
    return sum(across * down for across, down in zip(columns, rows, strict=True))


def _level_sizes(size: int, rounding: int) -> list[int]:
    sizes = [size]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + rounding) // 2)
    return sizes
