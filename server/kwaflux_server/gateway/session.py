"""The clients that are connected: who they are, and when they were heard last."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Session", "Sessions"]


@dataclass(slots=True)
class Session:
    """Hold one client's connection.

    Args:
        identity: The ROUTER's name for the connection.
        name: The server's name for the session; the client's rings begin with it.
        client: What the client says it is.
        heard_s: When it was heard last.
    """

    identity: bytes
    name: str
    client: str
    heard_s: float


class Sessions:
    """Hold the sessions under their connection's identity."""

    def __init__(self, *, silence_s: float) -> None:
        self._silence_s = silence_s
        self._by_identity: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._by_identity)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_identity.values()))

    def open(self, identity: bytes, *, client: str, now_s: float) -> Session:
        """Return a new session for a connection."""
        name = f"s{secrets.token_hex(8)}"
        session = Session(identity, name, client, now_s)
        self._by_identity[identity] = session
        return session

    def of(self, identity: bytes) -> Session | None:
        """Return the session of a connection."""
        return self._by_identity.get(identity)

    def named(self, name: str) -> Session | None:
        """Return the session of a name."""
        for session in self._by_identity.values():
            if session.name == name:
                return session
        return None

    def close(self, identity: bytes) -> None:
        """Forget a session; unknown ones are ignored."""
        self._by_identity.pop(identity, None)

    def silent(self, *, now_s: float) -> list[Session]:
        """Return the sessions that have not been heard for too long."""
        return [session for session in self if now_s - session.heard_s > self._silence_s]
