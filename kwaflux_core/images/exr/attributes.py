"""Header attributes on their way into and out of OpenEXR's Python, none lost or changed.

An attribute that OpenEXR's Python cannot carry (a rational that is not in lowest terms, text that
is no UTF-8, an empty list) is disguised: the first letter of its type's name is made a capital in
the file's bytes, so that the library sees a type it does not know and carries the bytes. Such an
attribute stands in ``Part.attributes`` as an ``OpenEXR.OpaqueAttribute`` of its true type.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import BinaryIO, Final, TypeAlias, TypeGuard

import numpy as np
import OpenEXR

from kwaflux_core.errors import ImageUnsupported
from kwaflux_core.frames.timecode import Timecode
from kwaflux_core.images.exr.header import ExrLayout, RawAttribute

__all__ = [
    "STRUCTURAL",
    "Place",
    "disguise",
    "from_exr_timecode",
    "header_entry",
    "is_raw",
    "odd_places",
    "revealed",
    "to_exr_timecode",
    "unmask",
]

Place: TypeAlias = "tuple[int, str]"
"""An attribute: the index of its part, and its name."""

STRUCTURAL: Final = frozenset(
    {"channels", "chunkCount", "dataWindow", "displayWindow", "name", "pixelAspectRatio"}
)
"""Attributes that ``Part`` holds in fields of its own, or that follow from the pixels."""

_INT32: Final = range(-(2**31), 2**31)
_UINT32: Final = range(2**32)
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
_KNOWN_TYPES: Final = frozenset(
    {
        "box2f",
        "box2i",
        "bytes",
        "chlist",
        "chromaticities",
        "compression",
        "deepImageState",
        "double",
        "envmap",
        "float",
        "floatvector",
        "idmanifest",
        "int",
        "keycode",
        "lineOrder",
        "m33d",
        "m33f",
        "m44d",
        "m44f",
        "preview",
        "rational",
        "string",
        "stringvector",
        "tiledesc",
        "timecode",
        "v2d",
        "v2f",
        "v2i",
        "v3d",
        "v3f",
        "v3i",
    }
)
_TYPE_OF_NAME: Final = {
    "adoptedNeutral": "v2f",
    "cameraColorBalance": "v2f",
    "chromaticities": "chromaticities",
    "originalDataWindow": "box2i",
    "screenWindowCenter": "v2f",
    "sensorAcquisitionRectangle": "box2i",
    "sensorCenterOffset": "v2f",
    "sensorOverallDimensions": "v2f",
}
"""Names under which OpenEXR's Python writes one type only, whatever the file had."""
_KEYCODE_LIMITS: Final = (
    (0, 99), (0, 99), (0, 999_999), (0, 9999), (0, 119), (1, 15), (20, 120),
)  # fmt: skip
_LIBRARY_TYPES: Final = (
    OpenEXR.Bytes, OpenEXR.Compression, OpenEXR.Envmap, OpenEXR.IDManifest, OpenEXR.KeyCode,
    OpenEXR.LineOrder, OpenEXR.OpaqueAttribute, OpenEXR.PreviewImage, OpenEXR.Storage,
    OpenEXR.TileDescription, OpenEXR.TimeCode,
)  # fmt: skip
_ARRAY_SHAPES: Final[Mapping[str, frozenset[tuple[int, ...]]]] = {
    "int32": frozenset({(2,), (3,)}),
    "float32": frozenset({(2,), (3,), (3, 3), (4, 4)}),
    "float64": frozenset({(1,), (2,), (3,), (3, 3), (4, 4)}),
}


def odd_places(layout: ExrLayout) -> list[Place]:
    """Return the attributes of a file that OpenEXR's Python would refuse, drop or change."""
    return [
        (index, name)
        for index, part in enumerate(layout.parts)
        for name, raw in part.attributes.items()
        if name not in STRUCTURAL and not _survives(name, raw)
    ]


def disguise(data: bytearray, layout: ExrLayout, places: list[Place]) -> None:
    """Capitalize the type names of some attributes within a file's bytes, in place."""
    for index, name in places:
        start = layout.parts[index].attributes[name].type_offset_bytes
        data[start : start + 1] = data[start : start + 1].upper()


def unmask(stream: BinaryIO, layout: ExrLayout, places: list[Place]) -> None:
    """Give disguised attributes of a written file their true names and types back, in place."""
    for index, name in places:
        masked = _masked_name(name)
        raw = layout.parts[index].attributes[masked]
        stream.seek(raw.type_offset_bytes)
        stream.write(raw.type_name[0].lower().encode("ascii"))
        if masked != name:
            stream.seek(raw.type_offset_bytes - len(name) - 1)
            stream.write(name[0].encode("ascii"))


def _masked_name(name: str) -> str:
    return _capitalized(name) if name in _TYPE_OF_NAME else name


def _capitalized(word: str) -> str:
    return word[0].upper() + word[1:]


def revealed(value: object) -> object:
    """Return a disguised attribute, as the library read it, under its true type."""
    if not isinstance(value, OpenEXR.OpaqueAttribute):
        return value
    return OpenEXR.OpaqueAttribute(value.data, value.typeName[0].lower() + value.typeName[1:])


def is_raw(value: object) -> TypeGuard[OpenEXR.OpaqueAttribute]:
    """Tell whether an attribute is raw bytes of a known type, and so is written disguised."""
    return isinstance(value, OpenEXR.OpaqueAttribute) and value.typeName in _KNOWN_TYPES


def header_entry(name: str, value: object) -> tuple[str, object]:
    """Return an attribute's name and value in a form that OpenEXR's Python writes without loss.

    A Python float is stored in 32 bits, a float64 array of one value in 64.

    Raises:
        ImageUnsupported: OpenEXR's Python would refuse the value, or change it without a word.
    """
    if is_raw(value):
        opaque = OpenEXR.OpaqueAttribute(value.data, _capitalized(value.typeName))
        return _masked_name(name), opaque
    return name, _writable(name, value)


def to_exr_timecode(timecode: Timecode) -> OpenEXR.TimeCode:
    """Return a timecode as an attribute.

    Raises:
        RuntimeError: A number is out of OpenEXR's range.
    """
    numbers = (timecode.hours, timecode.minutes, timecode.seconds, timecode.frames)
    groups = (timecode.user_bits >> shift & 0xF for shift in range(0, 32, 4))
    return OpenEXR.TimeCode(*numbers, timecode.is_drop, *timecode.flags, *groups)


def from_exr_timecode(attribute: OpenEXR.TimeCode) -> Timecode:
    """Return the timecode of an attribute."""
    return Timecode(
        attribute.hours,
        attribute.minutes,
        attribute.seconds,
        attribute.frame,
        bool(attribute.dropFrame),
        (
            bool(attribute.colorFrame),
            bool(attribute.fieldPhase),
            bool(attribute.bgf0),
            bool(attribute.bgf1),
            bool(attribute.bgf2),
        ),
        attribute.userData,
    )


def _writable(name: str, value: object) -> object:
    if isinstance(value, _LIBRARY_TYPES):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, np.ndarray):
        return _array(name, value)
    if not _is_writable(value):
        raise _refused(name, value)
    return value


def _array(name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> object:
    is_float_vector = value.dtype == np.float32 and value.ndim == 1 and value.size > 0
    if value.shape not in _ARRAY_SHAPES.get(value.dtype.name, frozenset()) and not is_float_vector:
        raise _refused(name, value)
    # OpenEXR's Python ignores strides: a transposed matrix would be written as other numbers.
    return np.ascontiguousarray(value)


def _is_writable(value: object) -> bool:
    if isinstance(value, int):
        return value in _INT32
    if isinstance(value, float):
        return not math.isfinite(value) or abs(value) <= _FLOAT32_MAX
    if isinstance(value, str):
        return not any(0xD800 <= ord(letter) < 0xE000 for letter in value)
    if isinstance(value, Fraction):
        return value.numerator in _INT32 and value.denominator in _UINT32
    if isinstance(value, list):
        kind = float if value and isinstance(value[0], float) else str
        return bool(value) and all(isinstance(v, kind) and _is_writable(v) for v in value)
    return isinstance(value, tuple) and _is_writable_tuple(value)


def _is_writable_tuple(value: tuple[object, ...]) -> bool:
    if all(type(v) is int for v in value):
        return len(value) in (2, 3) and all(_is_writable(v) for v in value)
    if all(isinstance(v, float) for v in value):
        return len(value) in (2, 3, 8) and all(_is_writable(v) for v in value)
    return len(value) == 2 and all(
        (isinstance(v, tuple) and len(v) == 2 and _is_writable_tuple(v))
        or (isinstance(v, np.ndarray) and v.shape == (2,) and v.dtype.name in ("int32", "float32"))
        for v in value
    )


def _survives(name: str, raw: RawAttribute) -> bool:
    if raw.type_name != _TYPE_OF_NAME.get(name, raw.type_name):
        return False
    try:
        return _SURVIVES.get(raw.type_name, _always)(raw.value)
    except struct.error:
        return True  # Its size is wrong: the library refuses the file, and says why.


def _always(_: bytes) -> bool:
    return True


def _never(_: bytes) -> bool:
    return False


def _is_reduced(value: bytes) -> bool:
    numerator, denominator = struct.unpack("<iI", value)
    return math.gcd(numerator, denominator) == 1 and denominator > 0


def _is_key_code(value: bytes) -> bool:
    codes = struct.unpack("<7i", value)
    return all(
        low <= code <= high for code, (low, high) in zip(codes, _KEYCODE_LIMITS, strict=True)
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _are_utf8(value: bytes) -> bool:
    position = 0
    while position < len(value):
        (length,) = struct.unpack_from("<i", value, position)
        position += 4 + length
        if length < 0 or not _is_utf8(value[position - length : position]):
            return False
    return bool(value)


_SURVIVES: Final[dict[str, Callable[[bytes], bool]]] = {
    "chlist": _never,
    "deepImageState": _never,
    "floatvector": bool,
    "keycode": _is_key_code,
    "rational": _is_reduced,
    "string": _is_utf8,
    "stringvector": _are_utf8,
}


def _refused(name: str, value: object) -> ImageUnsupported:
    return ImageUnsupported(
        f"an EXR cannot hold the attribute {name!r}: {value!r}"[:300],
        hint="give text, a whole number of 32 bits, a float, a Fraction, or a list of text",
        attribute=name,
    )
