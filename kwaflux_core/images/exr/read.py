"""EXR in and out through OpenEXR's own library: every part, channel and attribute, bit for bit.

Thread: all functions may be called from several threads at once.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeAlias

import OpenEXR

from kwaflux_core.errors import FrameMissing, ImageUnreadable, ImageUnsupported
from kwaflux_core.geometry import Box, box_from_exr_inclusive
from kwaflux_core.images.exr.attributes import STRUCTURAL, Place, disguise, odd_places, revealed
from kwaflux_core.images.exr.captured_stdout import printed_text
from kwaflux_core.images.exr.chunks import check_chunks
from kwaflux_core.images.exr.header import ExrLayout, PartLayout, read_layout
from kwaflux_core.images.exr.write import (
    COMPRESSIONS,
    exr_to_bytes,
    one_level,
    stored_pixels,
    write_exr,
)
from kwaflux_core.images.image import Image, Part

__all__ = [
    "COMPRESSIONS",
    "ChannelHeader",
    "ExrSource",
    "PartHeader",
    "exr_to_bytes",
    "read_exr",
    "read_exr_header",
    "set_exr_threads",
    "stored_pixels",
    "write_exr",
]

ExrSource: TypeAlias = "str | os.PathLike[str] | bytes"
"""The name of a file, or the bytes of one."""

_ITEM_BYTES: Final = {"half": 2, "float": 4, "uint": 4}
_AGAIN: Final = "copy or render the file again"


@dataclass(frozen=True, slots=True)
class ChannelHeader:
    """Name a channel and its ``pixel_type``: ``half``, ``float`` or ``uint``."""

    name: str
    pixel_type: str


@dataclass(frozen=True, slots=True)
class PartHeader:
    """Hold what the header of one part says; see ``Part`` for the fields of the same name.

    Args:
        channels: In the file's order.
        storage: ``scanlineimage``, ``tiledimage``, ``deepscanline`` or ``deeptile``.
    """

    channels: tuple[ChannelHeader, ...]
    data_window: Box
    display_window: Box
    attributes: Mapping[str, object]
    name: str
    pixel_aspect: float
    storage: str

    @property
    def pixels_bytes(self) -> int:
        """Bytes the channels take in memory, of a flat part."""
        return self.data_window.area_px * sum(_ITEM_BYTES[c.pixel_type] for c in self.channels)


def set_exr_threads(count: int) -> None:
    """Set how many threads OpenEXR compresses and decompresses with, in this whole process.

    Args:
        count: 0 does it on the calling thread alone.
    """
    OpenEXR.set_global_thread_count(count)


def read_exr(source: ExrSource) -> Image:
    """Read every part and channel of an EXR.

    Of a mip- or rip-mapped part the full size is read; ``Image.notes`` says so.

    Raises:
        FrameMissing: No such file.
        ImageUnreadable: Truncated, damaged, half-written, or no EXR.
        ImageUnsupported: Deep or subsampled, or of a kind nobody knows yet.
    """
    label = _label(source)
    with _opened(source, label) as stream:
        layout = read_layout(stream, label=label)
        _refuse_deep_and_subsampled(layout, label)
        check_chunks(stream, layout, label=label)
        file, odd = _open_file(source, stream, layout, header_only=False, label=label)
    parts = tuple(_part(file.parts[i], part, i, odd) for i, part in enumerate(layout.parts))
    notes = tuple(
        f"part {index} is a {levels} map: its full size is read, and one level is written"
        for index, part in enumerate(layout.parts)
        if (levels := _levels(part))
    )
    return Image(parts, notes=notes)


def read_exr_header(source: ExrSource) -> tuple[PartHeader, ...]:
    """Read the header of every part, and no pixels: in well under a millisecond.

    Deep and subsampled parts are described too; ``read_exr`` refuses them.

    Raises:
        FrameMissing: No such file.
        ImageUnreadable: Truncated within its headers, damaged there, or no EXR.
        ImageUnsupported: Of a kind nobody knows yet.
    """
    label = _label(source)
    with _opened(source, label) as stream:
        layout = read_layout(stream, label=label)
        file, odd = _open_file(source, stream, layout, header_only=True, label=label)
    return tuple(
        PartHeader(
            channels=tuple(ChannelHeader(c.name, c.pixel_type) for c in part.channels),
            data_window=box_from_exr_inclusive(*part.data_window),
            display_window=box_from_exr_inclusive(*part.display_window),
            attributes=_attributes(file.parts[index].header, index, odd),
            name=str(file.parts[index].header.get("name", "")),
            pixel_aspect=float(file.parts[index].header.get("pixelAspectRatio", 1.0)),
            storage=part.storage,
        )
        for index, part in enumerate(layout.parts)
    )


def _label(source: ExrSource) -> str:
    return "the EXR" if isinstance(source, bytes) else os.fspath(source)


@contextmanager
def _opened(source: ExrSource, label: str) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        with open(source, "rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise FrameMissing(f"there is no file {label}", path=label) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageUnreadable(f"{label} cannot be read: {reason}", path=label) from error


def _refuse_deep_and_subsampled(layout: ExrLayout, label: str) -> None:
    for index, part in enumerate(layout.parts):
        if part.is_deep:
            raise ImageUnsupported(
                f"{label} is deep (part {index})",
                hint="flatten it, in Nuke with DeepToImage",
            )
        for channel in part.channels:
            if channel.x_sampling != 1 or channel.y_sampling != 1:
                raise ImageUnsupported(
                    f"{label} has the subsampled channel {channel.name!r} (part {index})",
                    hint="write it again as RGB, with every pixel in every channel",
                )


def _open_file(
    source: ExrSource, stream: BinaryIO, layout: ExrLayout, *, header_only: bool, label: str
) -> tuple[OpenEXR.File, list[Place]]:
    odd = odd_places(layout)
    if odd:
        stream.seek(0)
        data = bytearray(stream.read())
        disguise(data, layout, odd)
        source = bytes(data)
    name = io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source)
    try:
        with printed_text() as printed:
            file = OpenEXR.File(name, separate_channels=True, header_only=header_only)
    except (RuntimeError, ValueError, MemoryError) as error:
        # UnicodeDecodeError, of names that are no UTF-8, is a ValueError too.
        raise ImageUnreadable(f"{label} cannot be read: {error}", hint=_AGAIN) from error
    # A part that fails is left out of the list, and a warning printed.
    if len(file.parts) != len(layout.parts):
        why = "".join(printed).rpartition(" - ")[2].strip() or "its pixels are damaged"
        raise ImageUnreadable(f"{label} cannot be read: {why}", hint=_AGAIN)
    return file, odd


def _part(part: OpenEXR.Part, layout: PartLayout, index: int, odd: list[Place]) -> Part:
    header = part.header
    attributes = _attributes(header, index, odd)
    if _levels(layout):
        # The description is the library's own object, mutable: a fresh one is held.
        attributes["tiles"] = one_level(header["tiles"])
    return Part(
        channels={name: channel.pixels for name, channel in part.channels.items()},
        data_window=box_from_exr_inclusive(*layout.data_window),
        display_window=box_from_exr_inclusive(*layout.display_window),
        attributes=attributes,
        name=str(header.get("name", "")),
        pixel_aspect=float(header.get("pixelAspectRatio", 1.0)),
        plinear=frozenset(c.name for c in layout.channels if c.is_plinear),
    )


def _attributes(header: Mapping[str, object], index: int, odd: list[Place]) -> dict[str, object]:
    return {
        name: revealed(value) if (index, name) in odd else value
        for name, value in header.items()
        if name not in STRUCTURAL
    }


def _levels(part: PartLayout) -> str:
    if part.storage != "tiledimage":
        return ""
    return ("", "mip", "rip")[part.attributes["tiles"].value[8] & 0xF]
