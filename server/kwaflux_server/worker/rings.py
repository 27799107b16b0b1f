"""The clients' rings, opened by a worker."""

from __future__ import annotations

import threading
from pathlib import Path

from kwaflux_core.errors import ProtocolError
from kwaflux_core.transport.shared_memory import Ring

__all__ = ["AttachedRings"]


class AttachedRings:
    """Map byte ranges of clients' rings, attaching each file once.

    Args:
        directory: The server's ring directory; empty without shared memory.

    Thread: any.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._rings: dict[str, Ring] = {}
        self._lock = threading.Lock()

    def __call__(self, ring: str, offset_bytes: int, length_bytes: int) -> memoryview:
        """Return the bytes of a range, writable.

        Raises:
            ProtocolError: There is no such ring, or the range is outside it.
        """
        if not self._directory:
            raise ProtocolError(
                f"the request names ring {ring!r}, but this server has no shared memory",
                hint="send the pixels inline",
            )
        with self._lock:
            attached = self._rings.get(ring)
            if attached is None:
                attached = self._rings[ring] = Ring.attach(Path(self._directory), ring)
        return attached.view(offset_bytes, length_bytes)

    def forget_removed(self) -> None:
        """Detach rings whose file the gateway has removed."""
        with self._lock:
            for name in list(self._rings):
                if not (Path(self._directory) / name).exists():
                    self._rings.pop(name).close()
