"""Directories of rings: one private directory per server on a RAM-backed file system.

A running server holds a lock (``flock``) on a file in its directory; the kernel releases it when
the process ends, however it ends. A process id would not do, because the system reuses it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from kwaflux_core.errors import ResourceError

__all__ = ["RingDir", "host_id", "ram_backed_dir", "sweep"]

_LOCK = ".lock"
_NEW, _LIVING = ".new-", "server-"
_NEW_LIFETIME_S = 60.0
_MIN_FREE_BYTES = 128 << 20
_RAM_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


def host_id() -> str:
    """Return a text that is equal for all processes of one running machine.

    It identifies the boot, so two machines cloned from one image differ. Containers of one machine
    may share it, so shared memory must still be tried.
    """
    import hashlib

    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return hashlib.sha256(f"{boot} {platform.node()}".encode()).hexdigest()[:16]


def ram_backed_dir(
    environ: Mapping[str, str],
    *,
    min_free_bytes: int = _MIN_FREE_BYTES,
    candidates: Sequence[Path] | None = None,
) -> Path | None:
    """Return this user's private directory on a RAM-backed file system; make it if needed.

    Args:
        environ: ``XDG_RUNTIME_DIR`` is tried after ``/dev/shm``.
        min_free_bytes: A file system with less free space is skipped (a container's 64 MB).
        candidates: Directories to try instead.

    Returns:
        None if there is none: pixels are then sent inline.
    """
    if not hasattr(os, "posix_fallocate") or not hasattr(os, "geteuid"):
        return None
    if candidates is None:
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        candidates = [Path("/dev/shm"), *([Path(runtime)] if runtime else [])]
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for place in candidates:
        if (
            _file_system(place, mounts) in _RAM_FILE_SYSTEMS
            and _free_bytes(place) >= min_free_bytes
        ):
            root = place / f"kwaflux-{os.geteuid()}"
            if _is_private_dir(root):
                return root
    return None


def _file_system(place: Path, mounts: str) -> str:
    """Return the type of file system under a path, read from Linux's mountinfo (proc(5))."""
    resolved, best, file_system = os.path.realpath(place), -1, ""
    for line in mounts.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split()
        if not separator or len(fields) < 5:
            continue
        point = fields[4].replace("\\040", " ")
        is_above = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= best:
            best, file_system = len(point), right.split(maxsplit=1)[0]
    return file_system


def _free_bytes(place: Path) -> int:
    try:
        room = os.statvfs(place)
    except OSError:
        return -1
    return room.f_bavail * room.f_frsize


def _is_private_dir(path: Path) -> bool:
    """Make a private directory; return whether the directory is private to this user."""
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.lstat()
    except OSError:
        return False
    is_dir, is_ours = stat.S_ISDIR(status.st_mode), status.st_uid == os.geteuid()
    return is_dir and is_ours and not status.st_mode & 0o077


class RingDir:
    """A server's ring directory, locked while the server runs.

    Thread: any; ``close`` once.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    @classmethod
    def create(cls, root: Path) -> RingDir:
        """Remove the directories of ended servers under ``root``, and make one for this server.

        Raises:
            ResourceError: The directory cannot be made.
        """
        sweep(root)
        token = secrets.token_hex(4)
        fresh, path = root / f"{_NEW}{token}", root / f"{_LIVING}{os.getpid()}-{token}"
        lock_fd = -1
        try:
            fresh.mkdir(mode=0o700)
            lock_fd = os.open(fresh / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            if not _is_locked_now(lock_fd):
                raise ResourceError(f"the ring directory {fresh} is locked by another process")
            # Renamed only now, so that no sweep finds a directory whose lock is not yet held.
            fresh.rename(path)
        except (OSError, ResourceError) as error:
            if lock_fd >= 0:
                os.close(lock_fd)
            shutil.rmtree(fresh, ignore_errors=True)
            raise ResourceError(f"cannot make a ring directory under {root}: {error}") from error
        return cls(path, lock_fd)

    def remove_session(self, session: str) -> int:
        """Remove the rings of a closed session; return their number."""
        removed = 0
        for path in list(self.path.glob(f"{session}.*")):
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
        return removed

    def close(self) -> None:
        """Remove the directory with all rings, and release the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)


def sweep(
    root: Path, *, keep: Collection[str] = (), clock: Callable[[], float] = time.time
) -> tuple[str, ...]:
    """Remove the ring directories of ended servers; return their names.

    Args:
        root: Result of ``ram_backed_dir``.
        keep: Names of directories to keep in any case.
        clock: Seconds since the epoch, as file times: a directory still being made is kept.
    """
    removed = []
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return ()
    for entry in entries:
        is_known = entry.name.startswith((_LIVING, _NEW)) and entry.name not in keep
        if (
            is_known
            and entry.is_dir(follow_symlinks=False)
            and _is_abandoned(Path(entry.path), now_s=clock())
        ):
            shutil.rmtree(entry.path, ignore_errors=True)
            removed.append(entry.name)
    return tuple(removed)


def _is_abandoned(path: Path, *, now_s: float) -> bool:
    try:
        if path.name.startswith(_NEW) and now_s - path.stat().st_mtime < _NEW_LIFETIME_S:
            return False
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return _is_locked_now(fd)
    finally:
        os.close(fd)


def _is_locked_now(fd: int) -> bool:
    """Take the lock of an open file if it is free; return whether it was."""
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
