"""The clients' rings as a worker sees them."""

from __future__ import annotations

import threading
from pathlib import Path

from kwaflux_core.errors import ProtocolError
from kwaflux_core.transport.shared_memory import Ring

__all__ = ["AttachedRings"]


class AttachedRings:
    """Open stretches of clients' rings, attaching each file once.

    Args:
        directory: The server's ring directory; empty where it offers none.

    Thread: any.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._rings: dict[str, Ring] = {}
        self._lock = threading.Lock()

    def __call__(self, ring: str, offset_bytes: int, length_bytes: int) -> memoryview:
        """Return the bytes of a stretch, writable.

        Raises:
            ProtocolError: There is no such ring, or the stretch leaves it.
        """
        if not self._directory:
            raise ProtocolError(
                f"ring {ring!r} was named, and this server offers no shared memory",
                hint="send the pixels inline",
            )
        with self._lock:
            attached = self._rings.get(ring)
            if attached is None:
                attached = self._rings[ring] = Ring.attach(Path(self._directory), ring)
        return attached.view(offset_bytes, length_bytes)

    def forget_removed(self) -> None:
        """Let go of rings whose file the gateway has removed."""
        with self._lock:
            for name in list(self._rings):
                if not (Path(self._directory) / name).exists():
                    self._rings.pop(name).close()
