"""Pictures on disk by their suffix, and writing that never leaves half a file."""

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
"""Suffixes of movies: the source of a job, never its target, and never one picture."""

PICTURE_SUFFIXES: Final = (".dpx", ".exr", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""Suffixes of pictures that are read and written."""

TEMPORARY_PREFIX: Final = ".kwaflux-tmp-"
"""How the name of a file begins that is being written; a killed process may leave one."""

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
    """Give a temporary name to write to, which becomes the target when the block succeeds.

    The temporary is hidden, beside the target, and keeps its suffix. When the block ends well it
    is flushed to the disk and renamed over the target; when it raises it is removed and the
    target stays what it was. A target that is a symbolic link is written through.

    Raises:
        ImageWriteFailed: The folder is missing or closed to us, the disk is full, or the block
            wrote no file. Errors of other kinds from the block pass through.
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
    """Return the error for a target that the operating system did not let us write."""
    reason = error.strerror or str(error)
    return ImageWriteFailed(
        f"{os.fspath(target)} cannot be written: {reason}",
        hint=_HINTS.get(error.errno or 0, "nothing was changed under that name"),
        path=os.fspath(target),
    )


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
    # Opened for writing: Windows flushes no handle that may only read.
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Folders have no handles to flush there; the rename is journaled.
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse to flush a folder; the file itself is safe by now.
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def same_file(first: StrPath, second: StrPath) -> bool:
    """Tell whether two names are one file, through links; neither needs to exist."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.normcase(os.path.realpath(first)) == os.path.normcase(
            os.path.realpath(second)
        )


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
