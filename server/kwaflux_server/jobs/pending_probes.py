"""The movies that are looked at before their jobs begin.

Owns which submission waits for which look. The gateway asks, each time it looks after time, which
have ended; nothing here waits. Must not know sockets, sessions or the scheduler.
"""

from __future__ import annotations

from dataclasses import dataclass

from kwaflux_core.errors import KwafluxError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.protocol.messages import Submit
from kwaflux_server.movie.probe import Look, MovieFacts

__all__ = ["Looks", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold a submission whose movie is looked at: whose it is, and what is asked for."""

    session: str
    request_id: int
    submit: Submit
    flow: BoundFlow


class Looks:
    """Hold the looks under way."""

    def __init__(self) -> None:
        self._looks: dict[tuple[str, int], tuple[Waiting, Look]] = {}

    def begin(self, waiting: Waiting, look: Look) -> None:
        """Take a submission and the look at its source."""
        self._looks[waiting.session, waiting.request_id] = (waiting, look)

    def is_waiting(self, session: str, request_id: int) -> bool:
        """Tell whether a session's request waits for a look."""
        return (session, request_id) in self._looks

    def cancel(self, session: str, request_id: int) -> bool:
        """End the look of a request; tell whether there was one."""
        waiting = self._looks.pop((session, request_id), None)
        if waiting is not None:
            waiting[1].cancel()
        return waiting is not None

    def drop(self, session: str) -> list[int]:
        """End all looks of a session; return the ids of the requests that waited for them."""
        ids = [request_id for name, request_id in self._looks if name == session]
        for request_id in ids:
            self.cancel(session, request_id)
        return ids

    def ended(self) -> list[tuple[Waiting, MovieFacts | KwafluxError]]:
        """Take out the looks that have ended; return what each found, or why it did not."""
        found: list[tuple[Waiting, MovieFacts | KwafluxError]] = []
        for key, (waiting, look) in list(self._looks.items()):
            if look.is_done():
                del self._looks[key]
                try:
                    found.append((waiting, look.result()))
                except KwafluxError as error:
                    found.append((waiting, error))
        return found
