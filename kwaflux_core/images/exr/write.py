"""EXR out through OpenEXR's own library: what the picture holds, whole or not at all."""

from __future__ import annotations

import io
import os
from types import MappingProxyType
from typing import BinaryIO, Final, cast

import numpy as np
import OpenEXR

from kwaflux_core.errors import ImageError, ImageUnsupported, ImageWriteFailed, RequestError
from kwaflux_core.geometry import Box, box_to_exr_inclusive
from kwaflux_core.images.atomic_write import atomic_path
from kwaflux_core.images.exr.attributes import STRUCTURAL, Place, header_entry, is_raw, unmask
from kwaflux_core.images.exr.chunks import check_chunks
from kwaflux_core.images.exr.header import read_layout
from kwaflux_core.images.image import Channel, Image, Part
from kwaflux_core.suggestions import suggestion

__all__ = ["COMPRESSIONS", "exr_to_bytes", "one_level", "stored_pixels", "write_exr"]

COMPRESSIONS: Final = MappingProxyType(
    {
        "none": OpenEXR.NO_COMPRESSION,
        "rle": OpenEXR.RLE_COMPRESSION,
        "zips": OpenEXR.ZIPS_COMPRESSION,
        "zip": OpenEXR.ZIP_COMPRESSION,
        "piz": OpenEXR.PIZ_COMPRESSION,
        "pxr24": OpenEXR.PXR24_COMPRESSION,
        "b44": OpenEXR.B44_COMPRESSION,
        "b44a": OpenEXR.B44A_COMPRESSION,
        "dwaa": OpenEXR.DWAA_COMPRESSION,
        "dwab": OpenEXR.DWAB_COMPRESSION,
        "htj2k32": OpenEXR.HTJ2K32_COMPRESSION,
        "htj2k256": OpenEXR.HTJ2K256_COMPRESSION,
        "lj2k": OpenEXR.LJ2K_COMPRESSION,
        "zstd": OpenEXR.ZSTD_COMPRESSION,
    }
)
"""Every compression by the name a user types; the first five are lossless and read anywhere."""

_KEPT: Final = tuple(COMPRESSIONS.values())[:5]
_TYPES: Final = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.uint32))
_COLOR: Final = frozenset("RGBArgba")
_RANGE_LIMITED: Final = (
    OpenEXR.DWAA_COMPRESSION,
    OpenEXR.DWAB_COMPRESSION,
    OpenEXR.LJ2K_COMPRESSION,
)
_LOSSY_NAMES: Final = frozenset({"R", "G", "B", "Y", "RY", "BY"})
_HALF_MAX: Final = 65504.0


def write_exr(
    path: str | os.PathLike[str], image: Image, *, compression: str = "", half: bool = False
) -> None:
    """Write an EXR, whole or not at all.

    Args:
        path: Where; what stands there is replaced when the new file is complete on the disk.
        image: Every part, channel and attribute of it is written.
        compression: A name of ``COMPRESSIONS``. Empty keeps what each part's ``compression``
            attribute says if it is lossless and every host reads it (none, RLE, ZIPS, ZIP, PIZ),
            else ZIP. The lossy ones change pixels; DWAA, DWAB and LJ2K are refused
            for color beyond 65504, Inf or NaN, which they would clamp or turn into numbers.
        half: Whether float32 channels named R, G, B or A, of any layer, are rounded to float16.
            Depth, IDs and all other channels keep their type.

    Raises:
        ImageUnsupported: A channel or attribute that an EXR cannot hold.
        ImageWriteFailed: Disk full, no permission, no such folder; the target is what it was.
        RequestError: An unknown compression; ``half`` with a value beyond half's 65504; a lossy
            compression with one it cannot hold.
    """
    file, raw = _file_of(image, compression=compression, half=half)
    with atomic_path(path) as temporary:
        try:
            file.write(str(temporary))
        except (RuntimeError, ValueError) as error:
            _raise_os_error_behind(temporary)
            reason = str(error).replace(str(temporary), os.fspath(path)).rstrip(".")
            raise ImageWriteFailed(
                f"{os.fspath(path)} cannot be written: {reason}",
                hint="check the disk's free space, and the picture's parts and attributes",
                path=os.fspath(path),
            ) from error
        with open(temporary, "rb+") as stream:
            _finish(stream, raw, label=os.fspath(path))


def exr_to_bytes(image: Image, *, compression: str = "none", half: bool = False) -> bytes:
    """Return the bytes of an EXR; the arguments are those of ``write_exr``.

    Raises:
        ImageUnsupported: A channel or attribute that an EXR cannot hold.
        RequestError: An unknown compression; ``half`` with a value beyond half's 65504; a lossy
            compression with one it cannot hold.
    """
    file, raw = _file_of(image, compression=compression, half=half)
    stream = io.BytesIO()
    try:
        file.write(stream)
    except (RuntimeError, ValueError) as error:
        raise ImageUnsupported(f"the picture cannot be an EXR: {error}") from error
    _finish(stream, raw, label="the EXR")
    return stream.getvalue()


def _finish(stream: BinaryIO, raw: list[Place], *, label: str) -> None:
    """Check that a written file is whole, and give disguised attributes their types back."""
    try:
        layout = read_layout(stream, label=label)
        check_chunks(stream, layout, label=label)
    except ImageError as error:
        raise ImageWriteFailed(
            f"{label} was not written whole: {error.message}",
            hint="check the disk's free space",
        ) from error
    unmask(stream, layout, raw)


def _file_of(image: Image, *, compression: str, half: bool) -> tuple[OpenEXR.File, list[Place]]:
    raw = [
        (index, name)
        for index, part in enumerate(image.parts)
        for name, value in part.attributes.items()
        if name not in STRUCTURAL and is_raw(value)
    ]
    parts = [_library_part(part, compression=compression, half=half) for part in image.parts]
    return OpenEXR.File(parts), raw


def _library_part(part: Part, *, compression: str, half: bool) -> OpenEXR.Part:
    # The library changes the maps it is given: these are made for it.
    header = dict(
        header_entry(name, value)
        for name, value in part.attributes.items()
        if name not in STRUCTURAL
    )
    chosen = _compression(compression, header.get("compression"))
    header["compression"] = chosen
    header["dataWindow"] = _window(part.data_window)
    header["displayWindow"] = _window(part.display_window)
    header["pixelAspectRatio"] = float(part.pixel_aspect)
    header.setdefault("type", OpenEXR.scanlineimage)
    if header["type"] == OpenEXR.tiledimage and "tiles" in header:
        header["tiles"] = one_level(header["tiles"])
    if chosen in _RANGE_LIMITED:
        _refuse_beyond_range(part, chosen)
    channels = {
        name: OpenEXR.Channel(stored_pixels(name, pixels, half=half), 1, 1, name in part.plinear)
        for name, pixels in part.channels.items()
    }
    return OpenEXR.Part(header, channels, part.name)


def stored_pixels(name: str, pixels: Channel, *, half: bool) -> Channel:
    """Return a channel as it is stored: in C order, color rounded to half where ``half`` is set.

    Raises:
        ImageUnsupported: A type that an EXR does not hold.
        RequestError: A value that half cannot hold.
    """
    if pixels.dtype not in _TYPES:
        raise ImageUnsupported(
            f"channel {name!r} is {pixels.dtype}; an EXR holds float32, float16 and uint32",
            hint="convert it with .astype(numpy.float32)",
        )
    if half and pixels.dtype == np.float32 and name.rpartition(".")[2] in _COLOR:
        return _as_half(name, pixels)
    # OpenEXR's Python ignores strides: a transposed array would be written as other pixels.
    return cast("Channel", np.ascontiguousarray(pixels))


def _refuse_beyond_range(part: Part, chosen: OpenEXR.Compression) -> None:
    """Refuse values that DWA would clamp, and the Inf and NaN it would turn into numbers."""
    for name, pixels in part.channels.items():
        if name.rpartition(".")[2] in _LOSSY_NAMES and pixels.dtype != np.uint32:
            held = np.abs(pixels) <= _HALF_MAX
            if not held.all():
                raise RequestError(
                    f"channel {name!r} has {held.size - int(np.count_nonzero(held))} values that "
                    f"{chosen.name} would change beyond recognition: Inf, NaN or above 65504",
                    hint="write it with a lossless compression, ZIP for one",
                    channel=name,
                )


def _as_half(name: str, pixels: Channel) -> Channel:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        rounded = pixels.astype(np.float16, order="C")
    lost = np.isinf(rounded) & np.isfinite(pixels)
    if lost.any():
        largest = float(np.abs(pixels[lost]).max())
        raise RequestError(
            f"channel {name!r} goes up to {largest:g}, and half ends at 65504",
            hint="write it without half",
            channel=name,
            largest=largest,
        )
    return rounded


def _compression(name: str, of_source: object) -> OpenEXR.Compression:
    if not name:
        return of_source if of_source in _KEPT else OpenEXR.ZIP_COMPRESSION
    if name.lower() not in COMPRESSIONS:
        raise RequestError(
            f"there is no compression {name!r}", hint=suggestion(name, COMPRESSIONS, kind="known")
        )
    return COMPRESSIONS[name.lower()]


def _window(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    x_min, y_min, x_max, y_max = box_to_exr_inclusive(box)
    return (x_min, y_min), (x_max, y_max)


def _raise_os_error_behind(path: os.PathLike[str]) -> None:
    """Raise the system's own error if the path takes no more bytes; OpenEXR hides which it was.

    Raises:
        OSError: The disk is full, or the name cannot be opened.
    """
    with open(path, "ab") as stream:
        stream.write(bytes(1 << 16))


def one_level(tiles: OpenEXR.TileDescription) -> OpenEXR.TileDescription:
    """Return tiles of the same size with one level.

    A mip map written again with one level of pixels would be an unreadable file.
    """
    single = OpenEXR.TileDescription()
    single.xSize, single.ySize = tiles.xSize, tiles.ySize
    single.roundingMode, single.mode = tiles.roundingMode, OpenEXR.ONE_LEVEL
    return single
