"""What a client holds of a server: a session, and the calls under way in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeAlias, TypeVar

from kwaflux_core.errors import (
    Cancelled,
    DeadlineExceeded,
    KwafluxError,
    ProtocolError,
    ResourceError,
    from_wire,
)
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset, named_flows
from kwaflux_core.protocol.codec import Envelope, WirePart
from kwaflux_core.protocol.messages import Failed, JobAccepted, JobEvent, Message, Welcome
from kwaflux_core.transport.ring_pool import RingPool
from kwaflux_core.transport.shared_memory import host_id

__all__ = ["Call", "Clock", "Session", "failure_of"]

Clock: TypeAlias = Callable[[], float]

_M = TypeVar("_M", bound=Message)
_CANCEL_POLL_S = 0.02


def failure_of(failed: Failed) -> KwafluxError:
    """Return the error that a message tells of, in the class that was raised on the server."""
    return from_wire(
        {
            "code": failed.code,
            "message": failed.message,
            "hint": failed.hint,
            "fields": failed.fields,
        }
    )


class Call:
    """Hold one question under way, and the answers that came.

    Thread: ``next`` and ``expect`` belong to who asked, the rest to the client's thread.
    """

    def __init__(self, request_id: int) -> None:
        self.request_id = request_id
        self.on_end: Callable[[], None] | None = None
        self._answers: SimpleQueue[Envelope | KwafluxError] = SimpleQueue()

    @staticmethod
    def is_last(message: Message) -> bool:
        """Tell whether no more answers follow this one."""
        return not isinstance(message, (JobAccepted, JobEvent))

    def put(self, answer: Envelope | KwafluxError) -> None:
        """Hand an answer over; the last one, or an error, ends the call."""
        self._answers.put(answer)
        if isinstance(answer, KwafluxError) or self.is_last(answer.message):
            on_end, self.on_end = self.on_end, None
            if on_end is not None:
                on_end()

    def next(
        self, *, deadline_s: float, clock: Clock, cancel: threading.Event | None = None
    ) -> Envelope:
        """Wait for the next answer.

        Args:
            deadline_s: When to give up, on ``clock``.
            clock: Seconds that never run backwards.
            cancel: Set by another thread to give up earlier.

        Raises:
            DeadlineExceeded: Nothing came in time.
            Cancelled: ``cancel`` was set.
            KwafluxError: What the server answered instead, or ``Unavailable``.
        """
        while True:
            left_s = deadline_s - clock()
            wait_s = left_s if cancel is None else min(left_s, _CANCEL_POLL_S)
            try:
                answer = self._answers.get(timeout=max(wait_s, 0.0))
            except Empty:
                if cancel is not None and cancel.is_set():
                    raise Cancelled("the caller cancelled the request") from None
                if left_s <= 0:
                    raise DeadlineExceeded(
                        "no answer came in time", hint="allow more time, or see: kwaflux status"
                    ) from None
                continue
            if isinstance(answer, KwafluxError):
                self._answers.put(answer)  # nothing else will come: who asks again gets it again
                raise answer
            return answer

    def expect(
        self,
        kind: type[_M],
        *,
        deadline_s: float,
        clock: Clock,
        cancel: threading.Event | None = None,
    ) -> tuple[_M, tuple[WirePart, ...]]:
        """Wait for an answer of one kind, and return it with its parts.

        Raises:
            ProtocolError: The answer is of another kind.
            KwafluxError: As ``next`` raises.
        """
        envelope = self.next(deadline_s=deadline_s, clock=clock, cancel=cancel)
        if not isinstance(envelope.message, kind):
            raise ProtocolError(
                f"the server answered {envelope.message.kind!r} where {kind.kind!r} was due"
            )
        return envelope.message, envelope.parts


class Session:
    """Hold what a server said when it opened the session, and the session's rings.

    Thread: any.
    """

    def __init__(self, welcome: Welcome) -> None:
        self.welcome = welcome
        self.cards: dict[str, Card] | None = None
        self.presets: dict[str, Preset] = {}
        self._scales: dict[str, int] = {}
        self._lock = threading.Lock()
        self._pool: RingPool | None = None
        self._is_shared = bool(welcome.ring_dir) and welcome.host_id == host_id()

    @property
    def is_shared(self) -> bool:
        """Whether both ends see the same memory, as far as is known."""
        return self._is_shared

    def pool(self) -> RingPool:
        """Return the session's rings.

        Raises:
            ResourceError: The server offers none, or is on another machine.
        """
        with self._lock:
            if not self._is_shared:
                raise ResourceError(
                    "client and server share no memory", hint="let the client choose the transport"
                )
            if self._pool is None:
                self._pool = RingPool(
                    Path(self.welcome.ring_dir),
                    session=self.welcome.session,
                    limit_bytes=self.welcome.limits.ring_bytes,
                )
            return self._pool

    def note_no_room(self, needed_bytes: int) -> None:
        """Remember that not even a first ring could be made, so that it is not tried each time."""
        with self._lock:
            is_first = self._pool is not None and not self._pool.rings
            if is_first and needed_bytes <= self.welcome.limits.ring_bytes:
                self._is_shared = False

    def scale_of(self, flow: str) -> int:
        """Return the scale of a flow; ``cards`` and ``presets`` must be known.

        Raises:
            FlowError: The flow cannot be read, or does not fit the cards.
        """
        scale = self._scales.get(flow)
        if scale is None:
            named = named_flows(self.presets.values())
            bound = Flow.parse(flow).bind(self.cards or {}, named=named)
            scale = self._scales[flow] = bound.scale
        return scale

    def close(self) -> None:
        """Remove the rings. Results that are still looked at keep their pixels."""
        with self._lock:
            pool, self._pool, self._is_shared = self._pool, None, False
        if pool is not None:
            pool.close()
