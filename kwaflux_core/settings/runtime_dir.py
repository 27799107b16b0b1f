"""Choose and check the private directory that a server's socket lies in by default."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from kwaflux_core.errors import SettingsError

__all__ = ["default_endpoint", "runtime_dir"]

_WINDOWS_PORT = 47873
_SOCKET_NAME = "server.sock"
_SOCKET_NAME_BYTES = 24
"""Room kept in a runtime directory's path for the longest name of a socket in it."""


def runtime_dir(environ: Mapping[str, str], *, platform: str = sys.platform) -> Path:
    r"""Return the private directory that holds the server's socket, made if need be.

    ``$KWAFLUX_RUNTIME_DIR``, else ``$XDG_RUNTIME_DIR/kwaflux`` where that is ours, else
    ``kwaflux-<uid>`` in ``$TMPDIR`` or ``/tmp``; of the automatic ones the first whose path is
    short enough for a socket. On Windows ``%LOCALAPPDATA%\kwaflux``, which the system guards.

    Args:
        environ: The environment.
        platform: As ``sys.platform`` says it.

    Raises:
        SettingsError: It cannot be made, is a link, belongs to somebody else, or others may enter
            it: then somebody could put a server of their own in our place.
    """
    named = environ.get("KWAFLUX_RUNTIME_DIR", "")
    if named:
        path = Path(named)
        if not path.is_absolute():
            raise _bad_dir(path, "is no absolute path")
        if not _has_room(path, platform=platform):
            raise _bad_dir(path, f"is longer than {_room_bytes(platform)} bytes")
        return _made(path) if platform == "win32" else _private(path)
    if platform == "win32":
        return _made(Path(environ.get("LOCALAPPDATA", "") or Path.home()) / "kwaflux")
    fitting = (path for path in _automatic_dirs(environ) if _has_room(path, platform=platform))
    return _private(next(fitting))


def default_endpoint(environ: Mapping[str, str], *, platform: str = sys.platform) -> str:
    """Return the endpoint of this user's own server.

    Args:
        environ: The environment.
        platform: As ``sys.platform`` says it. Windows has no ``ipc`` that all libzmq know, so it
            is loopback there.

    Raises:
        SettingsError: The runtime directory cannot be used.
    """
    if platform == "win32":
        return f"tcp://127.0.0.1:{_WINDOWS_PORT}"
    return f"ipc://{runtime_dir(environ, platform=platform) / _SOCKET_NAME}"


def _automatic_dirs(environ: Mapping[str, str]) -> Iterator[Path]:
    xdg = Path(environ.get("XDG_RUNTIME_DIR", ""))
    # After su or sudo the variable still names the other user's directory.
    if xdg.is_absolute() and xdg.is_dir() and xdg.stat().st_uid == os.geteuid():
        yield xdg / "kwaflux"
    temporary = Path(environ.get("TMPDIR", ""))
    if temporary.is_absolute() and temporary.is_dir():
        yield temporary / f"kwaflux-{os.geteuid()}"
    yield Path("/tmp") / f"kwaflux-{os.geteuid()}"


def _private(path: Path) -> Path:
    """Make a directory for us alone, or check that the one that is there is that."""
    _made(path)
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise _bad_dir(path, "is a symbolic link")
    if found.st_uid != os.geteuid():
        raise _bad_dir(path, f"belongs to another user (uid {found.st_uid})")
    if stat.S_IMODE(found.st_mode) & 0o777 != 0o700:
        mode = stat.S_IMODE(found.st_mode) & 0o777
        raise _bad_dir(path, f"has the mode {mode:04o}, not 0700", hint=f"chmod 700 {path}")
    above = path.parent.stat().st_mode
    if above & stat.S_IWOTH and not above & stat.S_ISVTX:
        raise _bad_dir(path, "can be replaced by anybody, who may all write to its parent")
    return path


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _bad_dir(path, f"cannot be made: {error.strerror}") from error
    return path


def _path_bytes(platform: str) -> int:
    """Return how long a socket's path may be: sun_path of unix(7), without its final NUL."""
    return 103 if platform == "darwin" else 107


def _room_bytes(platform: str) -> int:
    return _path_bytes(platform) - 1 - _SOCKET_NAME_BYTES


def _has_room(path: Path, *, platform: str) -> bool:
    return platform == "win32" or len(os.fsencode(path)) <= _room_bytes(platform)


def _bad_dir(path: Path, why: str, *, hint: str = "") -> SettingsError:
    return SettingsError(
        f"the runtime directory {path} {why}",
        hint=hint or "set KWAFLUX_RUNTIME_DIR to a short path of a directory of your own",
        path=str(path),
    )
