"""A job as a client sees it: a frame range that the server renders from files to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kwaflux_core.client.session import Call, Clock
from kwaflux_core.errors import ProtocolError
from kwaflux_core.protocol.messages import JobAccepted, JobDone, JobEvent

__all__ = ["Job"]

_EVENT_TIMEOUT_S = 600.0
_RESULT_TIMEOUT_S = 86400.0


class Job:
    """Hold a job that the server accepted.

    Args:
        accepted: The server's answer.
        call: Where the events come from.
        cancel: Asks the server to cancel it.
        clock: Seconds that never run backwards.

    Attributes:
        id: The server's name for it.
        frames: The absolute numbers it renders, in order.

    Thread: one at a time; ``cancel`` from any.
    """

    def __init__(
        self, accepted: JobAccepted, *, call: Call, cancel: Callable[[Call], None], clock: Clock
    ) -> None:
        self.id = accepted.job
        self.frames = accepted.frames
        self._call = call
        self._cancel = cancel
        self._clock = clock
        self._done: JobDone | None = None

    def events(self, *, timeout_s: float = _EVENT_TIMEOUT_S) -> Iterator[JobEvent]:
        """Yield each change of a frame's state once, as it comes; end when the job is done.

        Args:
            timeout_s: How long to wait for each.

        Raises:
            DeadlineExceeded: Nothing came for so long; the job goes on, and so may the iteration.
            KwafluxError: What ended the job, or ``Unavailable`` when the server went away.
        """
        while True:
            event = self._next(self._clock() + timeout_s)
            if event is None:
                return
            yield event

    def result(self, *, timeout_s: float = _RESULT_TIMEOUT_S) -> JobDone:
        """Wait until the job is done, and return how many frames came to what.

        Events that nobody has read by then are gone.

        Raises:
            DeadlineExceeded: It is not done by then; it goes on.
            KwafluxError: As ``events`` raises.
        """
        deadline_s = self._clock() + timeout_s
        while self._done is None:
            self._next(deadline_s)
        return self._done

    def cancel(self) -> None:
        """Ask the server to cancel what is left; the events then tell which frames those were."""
        self._cancel(self._call)

    def _next(self, deadline_s: float) -> JobEvent | None:
        if self._done is not None:
            return None
        answer = self._call.next(deadline_s=deadline_s, clock=self._clock).message
        if isinstance(answer, JobEvent):
            return answer
        if isinstance(answer, JobDone):
            self._done = answer
            return None
        raise ProtocolError(f"the server answered {answer.kind!r} in the middle of a job")
