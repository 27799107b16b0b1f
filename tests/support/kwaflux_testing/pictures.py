"""Builders of pictures, plain and odd, as arrays and as the bytes of files.

``raw_exr`` writes an EXR byte by byte, so that a test can make headers no library would write and
compare what comes back with what stood in the file. It stores pixels uncompressed.

Source: "OpenEXR File Layout", openexr.com.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import OpenEXR

from kwaflux_core.images.image import Channel, Image

__all__ = [
    "EVERY_ATTRIBUTE",
    "ODD_ATTRIBUTES",
    "RawAttribute",
    "deep_exr",
    "hard_floats",
    "noise",
    "plate",
    "raw_attributes",
    "raw_exr",
    "same_bits",
    "subsampled_exr",
]

Levels: TypeAlias = Literal["one", "mip", "rip"]
_TYPE_NUMBERS = {"uint32": 0, "float16": 1, "float32": 2}


@dataclass(frozen=True, slots=True)
class RawAttribute:
    """Hold a header attribute: its name, OpenEXR's name of its type, and its bytes."""

    name: str
    type_name: str
    value: bytes


def _attribute(name: str, type_name: str, layout: str, *values: object) -> RawAttribute:
    return RawAttribute(name, type_name, struct.pack("<" + layout, *values))


def _texts(*texts: str) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<i", len(text)) + text for text in encoded)


EVERY_ATTRIBUTE: tuple[RawAttribute, ...] = (
    _attribute("a/box2f", "box2f", "4f", -1.5, 2.5, 3.25, 1e30),
    _attribute("a/box2i", "box2i", "4i", -5, -6, 7, 2**31 - 1),
    RawAttribute("a/bytes", "bytes", struct.pack("<I", 4) + b"hint" + bytes(range(256))),
    _attribute("chromaticities", "chromaticities", "8f", 0.713, 0.293, 0.165, 0.83, 0.128, 0.044,
               0.32168, 0.33767),
    RawAttribute("colorInteropID", "string", b"lin_ap1_scene"),
    RawAttribute("a/compression", "compression", b"\4"),
    _attribute("a/double", "double", "d", 0.1),
    RawAttribute("envmap", "envmap", b"\1"),
    _attribute("a/float", "float", "f", 0.1),
    _attribute("a/inf", "float", "f", float("-inf")),
    _attribute("dwaCompressionLevel", "float", "f", 45.0),
    _attribute("a/floats", "floatvector", "5f", 1.0, -2.0, 0.1, float("inf"), 1e-40),
    _attribute("a/two floats", "floatvector", "2f", 1.0, 2.0),
    _attribute("a/int", "int", "i", -(2**31)),
    _attribute("imageCounter", "int", "i", 2**31 - 1),
    _attribute("keyCode", "keycode", "7i", 99, 12, 123456, 4321, 119, 15, 120),
    RawAttribute("a/lineOrder", "lineOrder", b"\1"),
    _attribute("a/m33d", "m33d", "9d", *(n / 7 for n in range(9))),
    _attribute("a/m33f", "m33f", "9f", *(n / 7 for n in range(9))),
    _attribute("a/m44d", "m44d", "16d", *(n / 7 for n in range(16))),
    _attribute("worldToCamera", "m44f", "16f", *(n / 7 for n in range(16))),
    RawAttribute("preview", "preview", struct.pack("<II", 3, 2) + bytes(range(24))),
    _attribute("framesPerSecond", "rational", "iI", 24000, 1001),
    _attribute("a/negative", "rational", "iI", -7, 4_000_000_000),
    RawAttribute("a/text", "string", "Grüße, プレート\n\0\t".encode()),
    RawAttribute("a/no text", "string", b""),
    RawAttribute("cryptomatte/ab12/manifest", "string", b'{"' + b"x" * 70_000 + b'":"01"}'),
    RawAttribute("a/texts", "stringvector", _texts("left", "", "rechts ü", "x" * 200)),
    RawAttribute("a/tiles", "tiledesc", struct.pack("<IIB", 32, 16, 0x11)),
    _attribute("timeCode", "timecode", "II", 0x23595823, 0x87654321),
    _attribute("a/v2d", "v2d", "2d", 0.1, -0.2),
    _attribute("adoptedNeutral", "v2f", "2f", 0.32168, 0.33767),
    _attribute("a/v2i", "v2i", "2i", -1, 2**31 - 1),
    _attribute("a/v3d", "v3d", "3d", 0.1, -0.2, 1e300),
    _attribute("a/v3f", "v3f", "3f", 0.1, -0.2, float("inf")),
    _attribute("a/v3i", "v3i", "3i", -1, 0, 1),
    RawAttribute("view", "string", b"left"),
    RawAttribute("multiView", "stringvector", _texts("left", "right")),
    RawAttribute("studio/own", "studioType", b"\0\1\2\3 anything"),
    RawAttribute("имя", "string", b"a name in another alphabet"),
    RawAttribute("a/" + "long" * 50, "string", b"a name of 202 letters"),
)  # fmt: skip
"""At least one attribute of each type OpenEXR has, with values at the edges of their ranges."""

ODD_ATTRIBUTES: tuple[RawAttribute, ...] = (
    _attribute("a/unreduced", "rational", "iI", 48000, 2002),
    _attribute("a/undefined", "rational", "iI", 0, 0),
    _attribute("a/infinite", "rational", "iI", 1, 0),
    RawAttribute("owner", "string", "José".encode("latin-1")),
    RawAttribute("a/latin texts", "stringvector", struct.pack("<i", 4) + "José".encode("latin-1")),
    RawAttribute("a/no texts", "stringvector", b""),
    RawAttribute("a/no floats", "floatvector", b""),
    _attribute("keyCode", "keycode", "7i", 0, 0, 0, 0, 0, 0, 0),
    RawAttribute("a/channels", "chlist", b"Z\0" + struct.pack("<iB3xii", 1, 0, 1, 1) + b"\0"),
    RawAttribute("deepImageState", "deepImageState", b"\1"),
    RawAttribute("chromaticities", "string", b"Rec. 709"),
    _attribute("adoptedNeutral", "v2d", "2d", 0.3, 0.3),
    RawAttribute("studio/Capital", "Rational", b"a type of the studio's own"),
)
"""Attributes found in files that OpenEXR's Python refuses, drops or changes."""


def noise(height: int, width: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return (H, W) float32 in 0..1."""
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)


def hard_floats(dtype: type[np.float32] | type[np.float16], *, shape: tuple[int, int]) -> Channel:
    """Return Inf, NaNs with payloads, both zeros, denormals and the largest values, repeated."""
    if dtype is np.float16:
        bits = np.array(
            [0x7C00, 0xFC00, 0x7E00, 0x7E55, 0xFE01, 0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF,
             0xFBFF],
            np.uint16,
        )  # fmt: skip
        return np.resize(bits, shape).view(np.float16)
    wide = np.array(
        [0x7F800000, 0xFF800000, 0x7FC00000, 0x7FC12345, 0xFFC00001, 0x00000000, 0x80000000,
         0x00000001, 0x807FFFFF, 0x7F7FFFFF, 0xFF7FFFFF, 0x477FE001],
        np.uint32,
    )  # fmt: skip
    return np.resize(wide, shape).view(np.float32)


def plate(height: int = 24, width: int = 32, *, seed: int = 0) -> Image:
    """Return a small RGBA picture of noise with a depth channel, a timecode and a comment."""
    names = ("R", "G", "B", "A", "depth.Z")
    channels: dict[str, Channel] = {
        name: noise(height, width, seed=seed + index) for index, name in enumerate(names)
    }
    time_code = OpenEXR.TimeCode(1, 2, 3, 4, *([0] * 14))
    return Image.from_channels(channels, attributes={"timeCode": time_code, "comments": "plate"})


def same_bits(first: Channel, second: Channel) -> bool:
    """Tell whether two channels have the same type, size and bits; NaN payloads count."""
    return (
        first.dtype == second.dtype
        and first.shape == second.shape
        and np.ascontiguousarray(first).tobytes() == np.ascontiguousarray(second).tobytes()
    )


def raw_exr(
    channels: Mapping[str, Channel],
    *,
    attributes: Sequence[RawAttribute] = (),
    origin: tuple[int, int] = (0, 0),
    display: tuple[int, int, int, int] | None = None,
    line_order: int = 0,
    plinear: frozenset[str] = frozenset(),
    tiles: tuple[int, int] | None = None,
    levels: Levels = "one",
    rounds_up: bool = False,
) -> bytes:
    """Return a single-part, uncompressed EXR.

    Args:
        channels: (H, W) arrays under their names.
        attributes: Beside the required ones.
        origin: x and y of the data window's first pixel.
        display: The display window, inclusive; the data window's when None.
        line_order: 0 increasing, 1 decreasing.
        plinear: Names of the channels whose pLinear flag is set.
        tiles: Width and height of tiles; None for lines.
        levels: Of a tiled file: lower levels hold zeros, so that a reader of them is caught.
        rounds_up: Whether the sizes of levels are rounded up.
    """
    names = sorted(channels, key=lambda name: name.encode())
    height, width = channels[names[0]].shape
    x, y = origin
    window = (x, y, x + width - 1, y + height - 1)
    mode = {"one": 0, "mip": 1, "rip": 2}[levels] | (0x10 if rounds_up else 0)
    header = [
        RawAttribute("channels", "chlist", _channel_list(channels, names, plinear)),
        RawAttribute("compression", "compression", b"\0"),
        _attribute("dataWindow", "box2i", "4i", *window),
        _attribute("displayWindow", "box2i", "4i", *(display or window)),
        RawAttribute("lineOrder", "lineOrder", bytes([line_order])),
        _attribute("pixelAspectRatio", "float", "f", 1.0),
        _attribute("screenWindowCenter", "v2f", "2f", 0.0, 0.0),
        _attribute("screenWindowWidth", "float", "f", 1.0),
    ]
    if tiles:
        header.append(_attribute("tiles", "tiledesc", "IIB", *tiles, mode))
    header = [a for a in header if a.name not in {b.name for b in attributes}] + list(attributes)
    names_are_long = any(len(a.name.encode()) > 31 for a in header) or any(
        len(name.encode()) > 31 for name in names
    )
    version = 2 | (0x200 if tiles else 0) | (0x400 if names_are_long else 0)
    head = struct.pack("<II", 20000630, version) + b"".join(map(_packed, header)) + b"\0"
    planes = [channels[name] for name in names]
    if tiles:
        chunks = list(_tiles(planes, tiles, levels, rounds_up=rounds_up))
    else:
        chunks = [
            _sized(struct.pack("<i", y + row), b"".join(plane[row].tobytes() for plane in planes))
            for row in range(height)
        ]
    return head + _table(chunks, start_bytes=len(head)) + b"".join(chunks)


def raw_attributes(data: bytes) -> dict[str, RawAttribute]:
    """Return the attributes of the first part of an EXR, as their bytes."""
    found: dict[str, RawAttribute] = {}
    position = 8
    while data[position]:
        name_end = data.index(b"\0", position)
        type_end = data.index(b"\0", name_end + 1)
        name, type_name = data[position:name_end].decode(), data[name_end + 1 : type_end].decode()
        (length,) = struct.unpack_from("<i", data, type_end + 1)
        position = type_end + 5 + length
        found[name] = RawAttribute(name, type_name, data[position - length : position])
    return found


def subsampled_exr(*, height: int = 8, width: int = 8) -> bytes:
    """Return a luminance-chroma EXR: Y in every pixel, RY and BY in every fourth."""
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", 2, 0, step, step)
        for name, step in (("BY", 2), ("RY", 2), ("Y", 1))
    )
    channel_list = RawAttribute("channels", "chlist", listed + b"\0")
    full = raw_exr({"Y": np.zeros((height, width), np.float32)}, attributes=[channel_list])
    start = full.index(struct.pack("<ii", 0, 4 * width), len(full) - height * (8 + 4 * width))
    head = full[: start - 8 * height]
    chunks = [
        _sized(struct.pack("<i", row), bytes(4 * width * (2 if row % 2 == 0 else 1)))
        for row in range(height)
    ]
    return head + _table(chunks, start_bytes=len(head)) + b"".join(chunks)


def deep_exr(*, height: int = 4, width: int = 5) -> bytes:
    """Return a deep EXR with one sample in every pixel."""
    samples = np.empty((height, width), object)
    for index in np.ndindex(samples.shape):
        samples[index] = np.ones(1, np.float32)
    stream = io.BytesIO()
    header = {"type": OpenEXR.deepscanline, "compression": OpenEXR.ZIPS_COMPRESSION}
    OpenEXR.File(header, {"Z": samples}).write(stream)
    return stream.getvalue()


def _channel_list(
    channels: Mapping[str, Channel], names: Sequence[str], plinear: frozenset[str]
) -> bytes:
    listed = b""
    for name in names:
        kind = _TYPE_NUMBERS[channels[name].dtype.name]
        listed += name.encode() + b"\0" + struct.pack("<iB3xii", kind, name in plinear, 1, 1)
    return listed + b"\0"


def _packed(attribute: RawAttribute) -> bytes:
    names = attribute.name.encode() + b"\0" + attribute.type_name.encode() + b"\0"
    return names + struct.pack("<i", len(attribute.value)) + attribute.value


def _sized(leader: bytes, pixels: bytes) -> bytes:
    return leader + struct.pack("<i", len(pixels)) + pixels


def _table(chunks: Sequence[bytes], *, start_bytes: int) -> bytes:
    offsets = []
    position = start_bytes + 8 * len(chunks)
    for chunk in chunks:
        offsets.append(position)
        position += len(chunk)
    return struct.pack(f"<{len(offsets)}Q", *offsets)


def _tiles(
    planes: Sequence[Channel], size: tuple[int, int], levels: Levels, *, rounds_up: bool
) -> Iterator[bytes]:
    height, width = planes[0].shape
    widths, heights = _sizes(width, rounds_up=rounds_up), _sizes(height, rounds_up=rounds_up)
    if levels == "one":
        pairs = [(0, 0)]
    elif levels == "mip":
        pairs = [(level, level) for level in range(max(len(widths), len(heights)))]
    else:
        pairs = [(across, down) for down in range(len(heights)) for across in range(len(widths))]
    for across, down in pairs:
        level_width = widths[min(across, len(widths) - 1)]
        level_height = heights[min(down, len(heights) - 1)]
        shown = [
            plane
            if (across, down) == (0, 0)
            else np.zeros((level_height, level_width), plane.dtype)
            for plane in planes
        ]
        for row in range(-(-level_height // size[1])):
            for column in range(-(-level_width // size[0])):
                leader = struct.pack("<4i", column, row, across, down)
                yield _sized(leader, _tile_pixels(shown, size, column, row))


def _tile_pixels(planes: Sequence[Channel], size: tuple[int, int], column: int, row: int) -> bytes:
    rows = slice(row * size[1], (row + 1) * size[1])
    columns = slice(column * size[0], (column + 1) * size[0])
    cut = [plane[rows, columns] for plane in planes]
    return b"".join(plane[line].tobytes() for line in range(cut[0].shape[0]) for plane in cut)


def _sizes(size: int, *, rounds_up: bool) -> list[int]:
    sizes = [size]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + int(rounds_up)) // 2)
    return sizes
