"""The clients that are connected, and what each of them waits for.

Owns sessions: who they are, when they were heard last, which requests and jobs are theirs. Must
not know sockets or workers.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Session", "Sessions"]


@dataclass(slots=True)
class Session:
    """Hold one client's connection.

    Args:
        identity: The ROUTER's name for the connection.
        name: The server's name for the session; the client's rings begin with it.
        client: What the client says it is.
        heard_s: When it was heard last.
        tasks: The live task of each of its render requests.
        jobs: The job of each of its submissions.
    """

    identity: bytes
    name: str
    client: str
    heard_s: float
    tasks: dict[int, int] = field(default_factory=dict)
    jobs: dict[int, str] = field(default_factory=dict)


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
