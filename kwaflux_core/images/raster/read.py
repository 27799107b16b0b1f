"""PNG, TIFF, DPX and JPEG in and out, through OpenImageIO."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import OpenEXR
import OpenImageIO

from kwaflux_core.errors import (
    FrameMissing,
    ImageUnreadable,
    ImageUnsupported,
    UnknownColorspace,
)
from kwaflux_core.frames.timecode import Timecode
from kwaflux_core.geometry import Box
from kwaflux_core.images.coding import Coding, jpeg_coding
from kwaflux_core.images.exr.attributes import to_exr_timecode
from kwaflux_core.images.image import Channel, Image, Part
from kwaflux_core.images.raster.color_tags import interop_id_of_tags
from kwaflux_core.images.raster.write import write_raster

__all__ = ["raster_bytes", "read_raster", "write_raster"]

Attributes: TypeAlias = "dict[str, object]"
_Pixels: TypeAlias = npt.NDArray[np.generic]

_AGAIN: Final = "copy or render the file again"
_HEADER_BYTES: Final = 1 << 20
_DROPPED: Final = ("oiio:", "tiff:", "ICCProfile", "png:", "jpeg:")
_DROPPED_NAMES: Final = frozenset(
    {"CICP", "Exif:ColorSpace", "Orientation", "PixelAspectRatio", "compression", "dpx:TimeCode",
     "dpx:UserBits", "planarconfig", "smpte:KeyCode", "smpte:TimeCode"}
)  # fmt: skip
"""Of the encoding, not of the picture; or held under OpenEXR's name for it."""


def read_raster(path: str | os.PathLike[str], *, colorspace: str = "") -> Image:
    """Read a PNG, TIFF, DPX or JPEG.

    Args:
        path: The file.
        colorspace: What the user says the numbers mean; empty to go by the file's own tags.

    Returns:
        Red, green, blue and, if there is one, alpha: float32 (H, W) in the file's own encoding,
        integers scaled to 0..1, floats as they are. Gray is read as three equal channels.
        ``Image.colorspace`` is ``colorspace``, or the interop id the tags name.

    Raises:
        FrameMissing: No such file.
        ImageUnreadable: Truncated or damaged.
        ImageUnsupported: CMYK, video levels of luma and chroma, or 32- or 64-bit code values.
        UnknownColorspace: Neither the caller nor the file says what the numbers mean.
    """
    label = os.fspath(path)
    if not os.path.exists(path):
        raise FrameMissing(f"there is no file {label}", path=label)
    pixels, spec, notes = _read(label)
    raw = {attribute.name: attribute.value for attribute in spec.extra_attribs}
    _refuse_converted(raw, label)
    suffix = Path(label).suffix.lower()
    colorspace = colorspace or _tagged(label, raw, suffix)
    if raw.get("Orientation", 1) != 1:
        notes += ("the picture is stored turned; it is processed as it is stored",)
    part = Part(
        channels=_channels(pixels, spec, raw, label),
        data_window=Box.from_size(spec.width, spec.height, x0=spec.x, y0=spec.y),
        display_window=Box.from_size(
            spec.full_width, spec.full_height, x0=spec.full_x, y0=spec.full_y
        ),
        attributes=_attributes(raw),
        pixel_aspect=float(cast("float", raw.get("PixelAspectRatio", 1.0))) or 1.0,
    )
    is_straight = spec.get_int_attribute("oiio:UnassociatedAlpha") == 1 or suffix == ".png"
    return Image(
        (part,),
        colorspace=colorspace,
        is_premultiplied=not is_straight,
        notes=notes,
        coding=_coding(label),
    )


def raster_bytes(path: str | os.PathLike[str]) -> int:
    """Return the bytes that a file's channels take as float32, by its header alone.

    Raises:
        FrameMissing: No such file.
        ImageUnreadable: No picture, or its header is damaged.
    """
    label = os.fspath(path)
    if not os.path.exists(path):
        raise FrameMissing(f"there is no file {label}", path=label)
    source = OpenImageIO.ImageInput.open(label)
    if source is None:
        raise ImageUnreadable(f"{label} cannot be read: {OpenImageIO.geterror()}", hint=_AGAIN)
    try:
        spec = source.spec()
        # Gray becomes three equal channels.
        return int(spec.width) * int(spec.height) * max(3, int(spec.nchannels)) * 4
    finally:
        source.close()


def _tagged(label: str, raw: Mapping[str, object], suffix: str) -> str:
    with open(label, "rb") as stream:
        interop_id = interop_id_of_tags(stream, raw, suffix=suffix)
    if not interop_id:
        raise UnknownColorspace(
            f"{label} does not say what its colors mean",
            hint="say it, for example with --colorspace 'sRGB - Display'",
            path=label,
        )
    return interop_id


def _coding(label: str) -> Coding | None:
    with open(label, "rb") as stream:
        start = stream.read(_HEADER_BYTES)
    return jpeg_coding(start) if start[:2] == b"\xff\xd8" else None


def _read(label: str) -> tuple[_Pixels, OpenImageIO.ImageSpec, tuple[str, ...]]:
    wish = OpenImageIO.ImageSpec()
    # Otherwise OpenImageIO multiplies color with alpha, in 16 bits, and rounds.
    wish.attribute("oiio:UnassociatedAlpha", 1)
    source = OpenImageIO.ImageInput.open(label, wish)
    if source is None:
        raise ImageUnreadable(f"{label} cannot be read: {OpenImageIO.geterror()}", hint=_AGAIN)
    try:
        pixels = source.read_image(OpenImageIO.UNKNOWN)
        # A JPEG that is cut off is returned, gray from there on; only the error tells.
        error = source.geterror()
        if pixels is None or error:
            raise ImageUnreadable(f"{label} cannot be read: {error}", hint=_AGAIN)
        spec = OpenImageIO.ImageSpec(source.spec())
        has_more = source.seek_subimage(1, 0)
        source.geterror()
    finally:
        source.close()
    notes = ("the file holds several pictures; the first is read",) if has_more else ()
    return pixels, spec, notes


def _refuse_converted(raw: Mapping[str, object], label: str) -> None:
    space = raw.get("tiff:ColorSpace", raw.get("jpeg:ColorSpace", "RGB"))
    descriptor = str(raw.get("dpx:ImageDescriptor", "RGB"))
    if space in ("CMYK", "YCbCrK", "YCCK") or descriptor.startswith("Cb"):
        raise ImageUnsupported(
            f"{label} holds {space if space != 'RGB' else descriptor}, not red, green and blue",
            hint="convert it to RGB first",
        )


def _channels(
    pixels: _Pixels, spec: OpenImageIO.ImageSpec, raw: Mapping[str, object], label: str
) -> dict[str, Channel]:
    names = list(spec.channelnames)
    if spec.nchannels <= 2:
        sources = {"R": 0, "G": 0, "B": 0, **({"A": 1} if spec.nchannels == 2 else {})}
    elif {"R", "G", "B"} <= set(names):
        sources = {name: index for index, name in enumerate(names)}
    else:
        raise ImageUnsupported(
            f"{label} holds {', '.join(names)}, not red, green and blue",
            hint="convert it to RGB first",
        )
    code_bits = int(cast("int", raw.get("oiio:BitsPerSample", 0)))
    return {name: _plane(pixels[..., i], code_bits, label) for name, i in sources.items()}


def _plane(codes: _Pixels, code_bits: int, label: str) -> Channel:
    if codes.dtype in (np.float16, np.float32):
        return codes.astype(np.float32, order="C")
    if codes.dtype not in (np.uint8, np.uint16):
        raise ImageUnsupported(
            f"{label} holds {codes.dtype} code values",
            hint="write it with 8 or 16 bits, or with 32-bit floats",
        )
    stored_bits = codes.dtype.itemsize * 8
    whole, top = codes, np.float32(2**stored_bits - 1)
    if stored_bits == 16 and code_bits in (10, 12, 14):
        # OpenImageIO spreads these over 16 bits by repeating the top ones below: nearly exact.
        whole, top = np.right_shift(codes, 16 - code_bits), np.float32(2**code_bits - 1)
    plane = np.empty(codes.shape, np.float32)
    np.divide(whole, top, out=plane, dtype=np.float32, casting="unsafe")
    return plane


def _attributes(raw: Mapping[str, object]) -> Attributes:
    attributes: Attributes = {
        name: value
        for name, value in raw.items()
        if isinstance(value, (str, int, float))
        and name not in _DROPPED_NAMES
        and not name.startswith(_DROPPED)
        and not (isinstance(value, int) and abs(value) >= 2**31)
    }
    time_code, key_code = raw.get("smpte:TimeCode"), raw.get("smpte:KeyCode")
    # A scanner's garbage in these fields is no time: OpenEXR refuses it, and it stays behind.
    with contextlib.suppress(RuntimeError, ValueError, TypeError):
        if isinstance(time_code, tuple):
            attributes["timeCode"] = to_exr_timecode(Timecode.from_bits(*time_code))
    with contextlib.suppress(RuntimeError, ValueError, TypeError):
        if isinstance(key_code, tuple):
            attributes["keyCode"] = OpenEXR.KeyCode(*key_code)
    rate = raw.get("dpx:FrameRate")
    if isinstance(rate, float) and 0 < rate < 1000:
        attributes["framesPerSecond"] = _exact_rate(rate)
    return attributes


def _exact_rate(rate: float) -> Fraction:
    """Return the rate that was meant: 24000/1001 of 23.976, 24 of 24.0."""
    whole = round(rate)
    ntsc = Fraction(whole * 1000, 1001)
    return ntsc if abs(rate - ntsc) < abs(rate - whole) else Fraction(rate).limit_denominator(1001)
