"""One server per ipc path."""

from __future__ import annotations

import contextlib
import os
import socket as sockets
from pathlib import Path

from kwaflux_core.errors import ResourceError

__all__ = ["SocketClaim", "remove_stale_socket"]

_PROBE_S = 1.0


class SocketClaim:
    """Hold an ipc path for one server, by a lock beside it that the kernel drops with the process.

    Without it the second of two servers would silently take the first one's path, because libzmq
    removes what stands there before it binds.
    """

    def __init__(self, path: Path) -> None:
        """Claim the path and remove the socket that a killed server left there.

        Raises:
            ResourceError: Another server holds the path, or it cannot be claimed.
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
                f"another server is at {path}", hint="use it, or stop it: kwaflux stop"
            ) from error

    def release(self) -> None:
        """Remove the socket and let the path go; once or more often."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            os.close(fd)


def remove_stale_socket(path: Path) -> bool:
    """Remove an ipc socket that nobody listens at; tell whether one was removed.

    Raises:
        ResourceError: Somebody listens there, or what stands there is no socket.
    """
    if not path.exists() and not path.is_symlink():
        return False
    if not path.is_socket() or path.is_symlink():
        raise ResourceError(f"{path} is there and is no socket", hint="remove it by hand")
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return True
        except OSError as error:
            raise ResourceError(f"cannot tell who is at {path}: {error}") from error
    raise ResourceError(f"a server is at {path}", hint="use it, or stop it: kwaflux stop")
