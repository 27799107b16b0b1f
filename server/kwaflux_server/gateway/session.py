"""Sessions: the connected clients, and when each was last heard."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Session", "Sessions"]


@dataclass(slots=True)
class Session:
    """One client's connection.

    Args:
        identity: The ROUTER's name for the connection.
        name: The server's name for the session; the client's rings begin with it.
        client: Description that the client sent of itself.
        heard_s: Time of its last message.
    """

    identity: bytes
    name: str
    client: str
    heard_s: float


class Sessions:
    """The open sessions, by the identity of the connection."""

    def __init__(self, *, silence_s: float) -> None:
        self._silence_s = silence_s
        self._by_identity: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._by_identity)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_identity.values()))

    def open(self, identity: bytes, *, client: str, now_s: float) -> Session:
        """Open a session for a connection."""
        name = f"s{secrets.token_hex(8)}"
        session = Session(identity, name, client, now_s)
        self._by_identity[identity] = session
        return session

    def of(self, identity: bytes) -> Session | None:
        """Return the session of a connection."""
        return self._by_identity.get(identity)

    def named(self, name: str) -> Session | None:
        """Return the session with a name."""
        for session in self._by_identity.values():
            if session.name == name:
                return session
        return None

    def close(self, identity: bytes) -> None:
        """Remove a session; unknown ones are ignored."""
        self._by_identity.pop(identity, None)

    def silent(self, *, now_s: float) -> list[Session]:
        """Return the sessions whose client has been silent for too long."""
        return [session for session in self if now_s - session.heard_s > self._silence_s]
