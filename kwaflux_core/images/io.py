"""Pictures on disk, read and written by their suffix."""

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
"""Suffixes of movies: the source of a job, never its target, and never one picture."""

PICTURE_SUFFIXES: Final = (".dpx", ".exr", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""Suffixes of pictures that are read and written."""


def is_movie(path: StrPath) -> bool:
    """Tell whether a file is a movie, by its name alone: many frames in one file."""
    return _suffix(path) in MOVIE_SUFFIXES


def check_source(source: StrPath) -> None:
    """Refuse a source of a kind that is not read, by its name alone. Movies are read.

    Raises:
        ImageUnsupported: A suffix no reader knows.
    """
    if not is_movie(source):
        _picture_suffix(source)


def check_target(target: StrPath) -> None:
    """Refuse a target that could not be written, before anything is computed for it.

    Raises:
        ImageUnsupported: A movie, or a suffix no writer knows.
        ImageWriteFailed: Its folder is not there.
    """
    _picture_suffix(target, is_written=True)
    check_folder(target)


def picture_bytes(path: StrPath) -> int:
    """Return the bytes of pixels that a picture unpacks to, as its header says.

    Nothing but the header is read: it is asked before memory is given to a picture that may be
    small on disk and huge unpacked.

    Args:
        path: An EXR, PNG, TIFF, DPX or JPEG.

    Raises:
        FrameMissing: No such file.
        ImageUnreadable: Truncated or damaged.
        ImageUnsupported: A movie, deep or subsampled, or a suffix no reader knows.
    """
    if _picture_suffix(path) == ".exr":
        from kwaflux_core.images.exr.read import read_exr_header

        return sum(header.pixels_bytes for header in read_exr_header(path))
    from kwaflux_core.images.raster.read import raster_bytes

    return raster_bytes(path)


def read_image(path: StrPath, *, colorspace: str = "") -> Image:
    """Read a picture of any supported kind; its pixels stay in the file's encoding.

    Args:
        path: An EXR, PNG, TIFF, DPX or JPEG.
        colorspace: What the numbers mean, as a name the OCIO config knows; empty to go by the
            file's own tags. An EXR without any is scene-linear.

    Returns:
        The picture; ``Image.colorspace`` says what its color channels' numbers mean.

    Raises:
        FrameMissing: No such file.
        ImageUnreadable: Truncated or damaged.
        ImageUnsupported: A movie, deep or subsampled, or a suffix no reader knows.
        UnknownColorspace: A name the config does not have, or a file that names none.
    """
    is_exr = _picture_suffix(path) == ".exr"
    config = _config(os.environ.get("OCIO", ""))
    said = config.resolve(colorspace) if colorspace else ""
    if is_exr:
        from kwaflux_core.images.exr.read import read_exr

        image = read_exr(path)
        tagged = said or config.colorspace_of_attributes(image.part.attributes)
        return image if tagged is None else replace(image, colorspace=tagged)
    from kwaflux_core.images.raster.read import read_raster

    image = read_raster(path, colorspace=said)
    return replace(image, colorspace=config.resolve(image.colorspace))


@functools.lru_cache(maxsize=2)
def _config(path: str) -> ColorConfig:
    """Return the OCIO config, loaded once: it takes as long as reading a frame."""
    from kwaflux_core.color.config import ColorConfig

    return ColorConfig.load(path)


def write_image(
    path: StrPath, image: Image, *, compression: str = "", half: bool = False
) -> tuple[str, ...]:
    """Write a picture, whole or not at all, in the format of the suffix.

    Args:
        path: An EXR, PNG, TIFF, DPX or JPEG.
        image: What to write; its numbers are not converted.
        compression: Of an EXR, by name; empty keeps the source's if it is lossless, else ZIP.
        half: Of an EXR: whether color is stored in 16 bits.

    Returns:
        What the format could not hold, one sentence each; empty when all is there.

    Raises:
        ImageWriteFailed: Disk full, no permission, no such folder; nothing stands under the name.
        ImageUnsupported: A movie, a suffix no writer knows, or a picture the format cannot hold.
        RequestError: A compression nobody knows, or ``half`` where it does not apply.
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
            + ("movies are read, not written" if is_written else "it holds more than one picture"),
            hint="write an image sequence: clean.####.exr"
            if is_written
            else "give it to a job (kwaflux enhance, Client.submit), or make an image sequence",
        )
    if suffix not in PICTURE_SUFFIXES:
        raise ImageUnsupported(
            f"{os.fspath(path)} has the suffix {suffix!r}, which is no known kind of picture",
            hint=f"known are {', '.join(PICTURE_SUFFIXES)}",
        )
    return suffix
