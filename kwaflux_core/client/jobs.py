"""The client's view of a job: a frame range that the server renders from files to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kwaflux_core.client.session import Call, Clock
from kwaflux_core.errors import ProtocolError
from kwaflux_core.protocol.messages import JobAccepted, JobDone, JobEvent

__all__ = ["Job"]

_EVENT_TIMEOUT_S = 600.0
_RESULT_TIMEOUT_S = 86400.0


class Job:
    """A job that the server accepted.

    Args:
        accepted: The server's answer.
        call: The call that receives the events.
        cancel: Requests its cancellation.
        clock: Monotonic time in seconds.

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
        """Yield each change of a frame's state as it arrives; end when the job is done.

        Args:
            timeout_s: Longest wait for each event.

        Raises:
            DeadlineExceeded: No event arrived in time; the job continues, and ``events`` may be
                called again.
            KwafluxError: The error that ended the job, or ``Unavailable`` for a lost connection.
        """
        while True:
            event = self._next(self._clock() + timeout_s)
            if event is None:
                return
            yield event

    def result(self, *, timeout_s: float = _RESULT_TIMEOUT_S) -> JobDone:
        """Wait until the job is done, and return the numbers of frames by outcome.

        Unread events are discarded.

        Raises:
            DeadlineExceeded: The job is not done in time; it continues.
            KwafluxError: As in ``events``.
        """
        deadline_s = self._clock() + timeout_s
        while self._done is None:
            self._next(deadline_s)
        return self._done

    def cancel(self) -> None:
        """Request the cancellation of the remaining frames; each still gets its event."""
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
        raise ProtocolError(f"the server answered {answer.kind!r} during a job")
