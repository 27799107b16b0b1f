"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from kwaflux_core.errors import ImageWriteFailed

__all__ = [
    "TEMPORARY_PREFIX",
    "StrPath",
    "atomic_path",
    "check_folder",
    "same_file",
    "write_failed",
]

StrPath: TypeAlias = "str | os.PathLike[str]"

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
    check_folder(target)
    try:
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


def check_folder(target: StrPath) -> None:
    """Refuse a target that lies in no folder, or is one.

    Raises:
        ImageWriteFailed: Its folder is not there or closed to us, or a folder has its name.
    """
    final = Path(os.path.realpath(target))
    try:
        if not final.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {final.parent}")
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
    except OSError as error:
        raise write_failed(target, error) from error


def same_file(first: StrPath, second: StrPath) -> bool:
    """Tell whether two names are one file, through links; neither needs to exist."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.normcase(os.path.realpath(first)) == os.path.normcase(
            os.path.realpath(second)
        )


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
