"""Reading and writing of pictures by suffix."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kwaflux_core.errors import ImageUnsupported
from kwaflux_core.images.atomic_write import StrPath, check_folder

if TYPE_CHECKING:
    from kwaflux_core.color.config import ColorConfig
    from kwaflux_core.images.image import Image

__all__ = [
    "MOVIE_SUFFIXES",
    "PICTURE_SUFFIXES",
    "check_source",
    "check_target",
    "is_movie",
    "picture_bytes",
    "read_image",
    "write_image",
]

MOVIE_SUFFIXES: Final = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mxf")
"""Suffixes of movies, which can be the source of a job but not its target."""

PICTURE_SUFFIXES: Final = (".dpx", ".exr", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""Suffixes of supported pictures."""


def is_movie(path: StrPath) -> bool:
    """Return whether a file is a movie, by its suffix."""
    return _suffix(path) in MOVIE_SUFFIXES


def check_source(source: StrPath) -> None:
    """Refuse a source with an unsupported suffix. Movies are supported.

    Raises:
        ImageUnsupported: No reader supports the suffix.
    """
    if not is_movie(source):
        _picture_suffix(source)


def check_target(target: StrPath) -> None:
    """Refuse a target that cannot be written, before it is rendered.

    Raises:
        ImageUnsupported: It is a movie, or no writer supports the suffix.
        ImageWriteFailed: Its folder is missing.
    """
    _picture_suffix(target, is_written=True)
    check_folder(target)


def picture_bytes(path: StrPath) -> int:
    """Return the size of a picture's decoded pixels in bytes, from its header.

    Only the header is read, so that a picture that is small on disk and huge in memory can be
    refused.

    Args:
        path: An EXR, PNG, TIFF, DPX or JPEG.

    Raises:
        FrameMissing: There is no such file.
        ImageUnreadable: The file is truncated or damaged.
        ImageUnsupported: A movie, deep or subsampled, or no reader supports the suffix.
    """
    if _picture_suffix(path) == ".exr":
        from kwaflux_core.images.exr.read import read_exr_header

        return sum(header.pixels_bytes for header in read_exr_header(path))
    from kwaflux_core.images.raster.read import raster_bytes

    return raster_bytes(path)


def read_image(path: StrPath, *, colorspace: str = "") -> Image:
    """Read a picture of any supported kind; its pixels keep the file's encoding.

    Args:
        path: An EXR, PNG, TIFF, DPX or JPEG.
        colorspace: OCIO name of the file's colorspace; empty for the file's tags. An EXR without
            tags is scene-linear.

    Returns:
        The picture, with its colorspace in ``Image.colorspace``.

    Raises:
        FrameMissing: There is no such file.
        ImageUnreadable: The file is truncated or damaged.
        ImageUnsupported: A movie, deep or subsampled, or no reader supports the suffix.
        UnknownColorspace: The config does not have the name, or the file names none.
    """
    is_exr = _picture_suffix(path) == ".exr"
    config = _config(os.environ.get("OCIO", ""))
    name = config.resolve(colorspace) if colorspace else ""
    if is_exr:
        from kwaflux_core.images.exr.read import read_exr

        image = read_exr(path)
        tagged = name or config.colorspace_of_attributes(image.part.attributes)
        return image if tagged is None else replace(image, colorspace=tagged)
    from kwaflux_core.images.raster.read import read_raster

    image = read_raster(path, colorspace=name)
    return replace(image, colorspace=config.resolve(image.colorspace))


@functools.lru_cache(maxsize=2)
def _config(path: str) -> ColorConfig:
    """Return the OCIO config, cached, because loading takes as long as reading a frame."""
    from kwaflux_core.color.config import ColorConfig

    return ColorConfig.load(path)


def write_image(
    path: StrPath, image: Image, *, compression: str = "", half: bool = False
) -> tuple[str, ...]:
    """Write a picture, completely or not at all, in the format of the suffix.

    Args:
        path: An EXR, PNG, TIFF, DPX or JPEG.
        image: The picture; its colorspace is not converted.
        compression: Compression of an EXR; empty keeps the source's if it is lossless, else ZIP.
        half: Whether an EXR's color is stored in 16 bits.

    Returns:
        One sentence for each loss, such as channels the format cannot store.

    Raises:
        ImageWriteFailed: The disk is full, the folder is missing or not writable; no partial file
            is left.
        ImageUnsupported: A movie, no writer supports the suffix, or the format cannot store it.
        RequestError: The compression is unknown, or ``half`` is given for another format.
    """
    suffix = _picture_suffix(path, is_written=True)
    if suffix == ".exr":
        from kwaflux_core.images.exr.read import write_exr

        write_exr(path, image, compression=compression, half=half)
        return ()
    from kwaflux_core.images.raster.read import write_raster

    return write_raster(path, image, compression=compression, half=half)


def _suffix(path: StrPath) -> str:
    return os.path.splitext(os.fspath(path))[1].lower()


def _picture_suffix(path: StrPath, *, is_written: bool = False) -> str:
    suffix = _suffix(path)
    if suffix in MOVIE_SUFFIXES:
        raise ImageUnsupported(
            f"{os.fspath(path)} is a movie; "
            + ("movies cannot be written" if is_written else "it contains more than one picture"),
            hint="write an image sequence: clean.####.exr"
            if is_written
            else "give it to a job (kwaflux enhance, Client.submit), or make an image sequence",
        )
    if suffix not in PICTURE_SUFFIXES:
        raise ImageUnsupported(
            f"{os.fspath(path)} has the suffix {suffix!r}, which is not a supported picture format",
            hint=f"use one of {', '.join(PICTURE_SUFFIXES)}",
        )
    return suffix
