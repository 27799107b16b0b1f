"""Reading and writing of pictures by suffix; a file is written completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from kwaflux_core.errors import ImageUnsupported, ImageWriteFailed

if TYPE_CHECKING:
    from kwaflux_core.color.config import ColorConfig
    from kwaflux_core.images.image import Image

__all__ = [
    "MOVIE_SUFFIXES",
    "PICTURE_SUFFIXES",
    "TEMPORARY_PREFIX",
    "StrPath",
    "atomic_path",
    "check_source",
    "check_target",
    "is_movie",
    "picture_bytes",
    "read_image",
    "same_file",
    "write_failed",
    "write_image",
]

StrPath: TypeAlias = "str | os.PathLike[str]"

MOVIE_SUFFIXES: Final = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mxf")
"""Suffixes of movies, which can be the source of a job but not its target."""

PICTURE_SUFFIXES: Final = (".dpx", ".exr", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""Suffixes of supported pictures."""

TEMPORARY_PREFIX: Final = ".kwaflux-tmp-"
"""Prefix of temporary files; a killed process may leave one."""

_HINTS: Final = {
    errno.EACCES: "check the folder's permissions",
    errno.EDQUOT: "free disk space of your quota, or write elsewhere",
    errno.EFBIG: "write to a file system that holds files of this size",
    errno.EISDIR: "give the name of a file, not of a folder",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOENT: "make the folder first",
    errno.ENOSPC: "free disk space, or write elsewhere",
    errno.ENOTDIR: "make the folder first",
    errno.EPERM: "check the folder's permissions",
    errno.EROFS: "write elsewhere: this file system is read-only",
}


@contextlib.contextmanager
def atomic_path(target: StrPath) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces the target if the block succeeds.

    The temporary file is hidden, in the target's folder, and has its suffix. On success it is
    flushed to disk and renamed to the target; on an exception it is removed and the target is
    unchanged. A symbolic link is followed.

    Raises:
        ImageWriteFailed: The folder is missing or not writable, the disk is full, or the block
            wrote no file. Other errors of the block propagate.
    """
    final = Path(os.path.realpath(target))
    temporary = final.with_name(
        f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}{final.suffix}"
    )
    try:
        _check_folder(final)
        yield temporary
        _flush(temporary)
        os.replace(temporary, final)
        _flush_folder(final.parent)
    except OSError as error:
        raise write_failed(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_failed(target: StrPath, error: OSError) -> ImageWriteFailed:
    """Return the error for an operating system error while writing a target."""
    reason = error.strerror or str(error)
    return ImageWriteFailed(
        f"{os.fspath(target)} cannot be written: {reason}",
        hint=_HINTS.get(error.errno or 0, "the target is unchanged"),
        path=os.fspath(target),
    )


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
    try:
        _check_folder(Path(os.path.realpath(target)))
    except OSError as error:
        raise write_failed(target, error) from error


def _check_folder(final: Path) -> None:
    if not final.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {final.parent}")
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")


def _flush(path: Path) -> None:
    # Opened for writing, because Windows cannot flush a read-only handle.
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot flush a folder; the rename is journaled.
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse to flush a folder; the file itself is flushed.
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def same_file(first: StrPath, second: StrPath) -> bool:
    """Return whether two paths are the same file, following links; neither needs to exist."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.normcase(os.path.realpath(first)) == os.path.normcase(
            os.path.realpath(second)
        )


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
