"""The claim of an ipc path by one server."""

from __future__ import annotations

import contextlib
import os
import socket as sockets
from pathlib import Path

from kwaflux_core.errors import ResourceError

__all__ = ["SocketClaim", "remove_stale_socket"]

_PROBE_S = 1.0


class SocketClaim:
    """The exclusive use of an ipc path, by a lock file that the kernel releases with the process.

    Without it a second server would silently take over the path, because libzmq removes an existing
    file before it binds.
    """

    def __init__(self, path: Path) -> None:
        """Claim the path and remove the socket of a killed server.

        Raises:
            ResourceError: Another server uses the path, or it cannot be claimed.
        """
        import fcntl

        self.path = path
        try:
            self._fd = os.open(
                path.with_name(path.name + ".lock"),
                os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW,
                0o600,
            )
        except OSError as error:
            raise ResourceError(f"cannot claim {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_stale_socket(path)
        except (OSError, ResourceError) as error:
            os.close(self._fd)
            raise ResourceError(
                f"another server is running at {path}", hint="use it, or stop it: kwaflux stop"
            ) from error

    def release(self) -> None:
        """Remove the socket and release the path. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            os.close(fd)


def remove_stale_socket(path: Path) -> bool:
    """Remove an ipc socket without a listener; return whether one was removed.

    Raises:
        ResourceError: A server listens there, or the path is not a socket.
    """
    if not path.exists() and not path.is_symlink():
        return False
    if not path.is_socket() or path.is_symlink():
        raise ResourceError(
            f"{path} exists and is not a socket", hint="remove it, or choose another endpoint"
        )
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return True
        except OSError as error:
            raise ResourceError(f"cannot check {path} for a server: {error}") from error
    raise ResourceError(f"a server is running at {path}", hint="use it, or stop it: kwaflux stop")
