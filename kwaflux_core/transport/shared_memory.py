"""Rings: pixels in memory that two processes of one machine share.

A ring is a plain file in the server's private directory on a RAM-backed file system, mapped by both
ends; it is not ``multiprocessing.shared_memory``, whose resource tracker destroys segments that
another process still uses (cpython issue 82300). Linux only: elsewhere ``ram_backed_dir`` returns
None, and pixels are sent inline.

``ring_dirs`` makes the directories, ``slab_allocator`` allocates the bytes of a ring, ``ring_pool``
manages a client's rings; their public names are exported here.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import stat
from pathlib import Path

from kwaflux_core.errors import ProtocolError, ResourceError
from kwaflux_core.transport.ring_dirs import RingDir, host_id, ram_backed_dir, sweep
from kwaflux_core.transport.slab_allocator import SlabAllocator, slab_planes

__all__ = [
    "Ring",
    "RingDir",
    "SlabAllocator",
    "check_ring_name",
    "host_id",
    "ram_backed_dir",
    "ring_name",
    "slab_planes",
    "sweep",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_SPARE_BYTES = 16 << 20
_MAP_POPULATE: int = getattr(mmap, "MAP_POPULATE", 0)


def ring_name(session: str, index: int) -> str:
    """Return the name of a session's ring: the session's id, a point, a number."""
    return check_ring_name(f"{session}.{index}")


def check_ring_name(name: str, *, session: str = "") -> str:
    """Return ``name`` if it is a valid ring name (of ``session``, if given).

    Raises:
        ProtocolError: It has separators or other invalid characters, or belongs to another session.
    """
    if not _NAME.fullmatch(name):
        raise ProtocolError(f"{name[:40]!r} cannot be the name of a ring")
    if session and not name.startswith(f"{session}."):
        raise ProtocolError(f"the ring {name!r} does not belong to the session that names it")
    return name


class Ring:
    """A mapped ring. Made by ``create`` (the client) or ``attach`` (the worker).

    Thread: any; ``SlabAllocator`` separates the writers.
    """

    def __init__(self, name: str, path: Path, mapping: mmap.mmap) -> None:
        self.name = name
        self.path = path
        self.size_bytes = len(mapping)
        self._mapping: mmap.mmap | None = mapping

    @classmethod
    def create(cls, directory: Path, name: str, size_bytes: int) -> Ring:
        """Make a ring with its memory reserved, mapped and faulted in.

        The first touch of new memory takes as long as tens of copies, so it is done here.

        Args:
            directory: The server's ring directory.
            name: Result of ``ring_name``.
            size_bytes: Size, rounded up to whole pages.

        Raises:
            ResourceError: Too little free space in the file system, or the ring already exists.
        """
        path = directory / check_ring_name(name)
        size_bytes = -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        _check_room(directory, size_bytes)
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise _no_ring(name, size_bytes, error) from error
        try:
            # A sparse file would cause SIGBUS at a later write once the file system is full.
            os.posix_fallocate(fd, 0, size_bytes)
            mapping = _mapped(fd, size_bytes)
        except (OSError, ValueError, OverflowError) as error:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise _no_ring(name, size_bytes, error) from error
        finally:
            os.close(fd)
        return cls(name, path, mapping)

    @classmethod
    def attach(cls, directory: Path, name: str) -> Ring:
        """Map a ring that a client made.

        Raises:
            ProtocolError: There is no such ring, or it is not a ring of this user: a name with
                separators, a symbolic link, another user's file, an invalid size.
            ResourceError: It cannot be mapped.
        """
        path = directory / check_ring_name(name)
        try:
            fd = os.open(path, os.O_NOFOLLOW | os.O_NONBLOCK | os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise ProtocolError(
                f"the ring {name!r} cannot be opened: {error.strerror}", ring=name
            ) from error
        try:
            status = os.fstat(fd)
            is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
            if not is_ours or status.st_size == 0 or status.st_size % mmap.PAGESIZE:
                raise ProtocolError(f"the file {name!r} is not a ring of this user", ring=name)
            # Missing blocks would cause SIGBUS when the file system is full.
            if status.st_blocks * 512 < status.st_size:
                raise ProtocolError(f"the ring {name!r} is not fully allocated", ring=name)
            mapping = _mapped(fd, status.st_size)
        except OSError as error:
            raise _no_ring(name, 0, error) from error
        finally:
            os.close(fd)
        return cls(name, path, mapping)

    def view(self, offset_bytes: int, length_bytes: int) -> memoryview:
        """Return a part of the ring, writable, not copied.

        Raises:
            ProtocolError: The part is outside the ring, or the ring is closed.
        """
        if self._mapping is None:
            raise ProtocolError(f"the ring {self.name!r} is closed", ring=self.name)
        if offset_bytes < 0 or length_bytes <= 0 or offset_bytes + length_bytes > self.size_bytes:
            raise ProtocolError(
                f"{length_bytes} bytes at {offset_bytes} are outside the ring {self.name!r} of "
                f"{self.size_bytes} bytes",
                ring=self.name,
            )
        return memoryview(self._mapping)[offset_bytes : offset_bytes + length_bytes]

    def close(self) -> None:
        """Close the mapping; existing views keep it until the last of them is gone."""
        mapping, self._mapping = self._mapping, None
        if mapping is not None:
            with contextlib.suppress(BufferError):  # views exist: the last of them unmaps
                mapping.close()

    def remove(self) -> None:
        """Remove the ring's file and close the mapping; other mappings keep the pixels."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.close()


def _check_room(directory: Path, size_bytes: int) -> None:
    try:
        room = os.statvfs(directory)
    except OSError as error:
        raise ResourceError(f"cannot make rings in {directory}: {error.strerror}") from error
    free_bytes = room.f_bavail * room.f_frsize
    if size_bytes + _SPARE_BYTES > free_bytes:
        raise ResourceError(
            f"a ring of {size_bytes} bytes does not fit into {directory}, {free_bytes} are free",
            hint="enlarge /dev/shm (in a container: --shm-size)",
            needed_bytes=size_bytes,
            free_bytes=free_bytes,
        )


def _mapped(fd: int, size_bytes: int) -> mmap.mmap:
    return mmap.mmap(fd, size_bytes, flags=mmap.MAP_SHARED | _MAP_POPULATE)


def _no_ring(name: str, size_bytes: int, error: Exception) -> ResourceError:
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ENOMEM)
    return ResourceError(
        f"the ring {name!r} cannot be mapped: {error}",
        hint="enlarge /dev/shm (in a container: --shm-size)" if is_full else "",
        needed_bytes=size_bytes,
    )
