"""The client's session with a server, and its active calls."""

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
)
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset, named_flows
from kwaflux_core.protocol.codec import Envelope, WirePart
from kwaflux_core.protocol.messages import JobAccepted, JobEvent, Message, Welcome
from kwaflux_core.transport.ring_pool import RingPool
from kwaflux_core.transport.shared_memory import host_id

__all__ = ["Call", "Clock", "Session"]

Clock: TypeAlias = Callable[[], float]

_M = TypeVar("_M", bound=Message)
_CANCEL_POLL_S = 0.02


class Call:
    """An active request and its unread answers.

    Thread: ``next`` and ``expect`` from the caller's, all else from the client's IO thread.
    """

    def __init__(self, request_id: int) -> None:
        self.request_id = request_id
        self.on_end: Callable[[], None] | None = None
        self._answers: SimpleQueue[Envelope | KwafluxError] = SimpleQueue()

    @staticmethod
    def is_last(message: Message) -> bool:
        """Return whether an answer is the last one."""
        return not isinstance(message, (JobAccepted, JobEvent))

    def put(self, answer: Envelope | KwafluxError) -> None:
        """Add an answer; the last one, or an error, ends the call."""
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
            deadline_s: End of the wait, on ``clock``.
            clock: Monotonic time in seconds.
            cancel: Set by another thread to end the wait.

        Raises:
            DeadlineExceeded: No answer arrived in time.
            Cancelled: ``cancel`` was set.
            KwafluxError: The server's error, or ``Unavailable``.
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
                        "no answer in time",
                        hint="allow more time, or check the server with kwaflux status",
                    ) from None
                continue
            if isinstance(answer, KwafluxError):
                self._answers.put(answer)  # nothing follows, so every later call raises it again
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
            KwafluxError: As in ``next``.
        """
        envelope = self.next(deadline_s=deadline_s, clock=clock, cancel=cancel)
        if not isinstance(envelope.message, kind):
            raise ProtocolError(
                f"the server answered {envelope.message.kind!r}, expected {kind.kind!r}"
            )
        return envelope.message, envelope.parts


class Session:
    """The server's ``Welcome``, and the session's rings.

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
        """Whether client and server can share memory, as far as known."""
        return self._is_shared

    def pool(self) -> RingPool:
        """Return the session's rings.

        Raises:
            ResourceError: The server has no shared memory, or is on another machine.
        """
        with self._lock:
            if not self._is_shared:
                raise ResourceError(
                    "client and server share no memory", hint="use the transport auto"
                )
            if self._pool is None:
                self._pool = RingPool(
                    Path(self.welcome.ring_dir),
                    session=self.welcome.session,
                    limit_bytes=self.welcome.limits.ring_bytes,
                )
            return self._pool

    def note_no_room(self, needed_bytes: int) -> None:
        """Note that no ring could be made, so that later requests do not try again."""
        with self._lock:
            is_first = self._pool is not None and not self._pool.rings
            if is_first and needed_bytes <= self.welcome.limits.ring_bytes:
                self._is_shared = False

    def scale_of(self, flow: str) -> int:
        """Return the scale of a flow; ``cards`` and ``presets`` must be filled.

        Raises:
            FlowError: The flow cannot be parsed, or does not match the cards.
        """
        scale = self._scales.get(flow)
        if scale is None:
            named = named_flows(self.presets.values())
            bound = Flow.parse(flow).bind(self.cards or {}, named=named)
            scale = self._scales[flow] = bound.scale
        return scale

    def close(self) -> None:
        """Remove the rings. Results still in use keep their pixels."""
        with self._lock:
            pool, self._pool, self._is_shared = self._pool, None, False
        if pool is not None:
            pool.close()
