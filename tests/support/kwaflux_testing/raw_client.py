"""A peer that sends what it likes: bytes, messages out of place, nothing at all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import TracebackType

import zmq

import kwaflux_core
from kwaflux_core.protocol.codec import Envelope, WirePart, decode, encode
from kwaflux_core.protocol.messages import Failed, Hello, Message, Welcome
from kwaflux_core.transport.shared_memory import host_id

__all__ = ["RawClient"]


class RawClient:
    """Hold one DEALER connection, without any of the client's care.

    Args:
        endpoint: Where a server listens.
    """

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(endpoint)
        self._ids = itertools.count(1)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close(linger=0)
        self._context.term()

    def send_bytes(self, frames: Sequence[WirePart]) -> None:
        """Send parts as they are."""
        self._socket.send_multipart(frames, copy=True)

    def send(self, message: Message, *, parts: Sequence[WirePart] = (), request_id: int = 0) -> int:
        """Send a message; return its id, a new one unless one is given."""
        request_id = request_id or next(self._ids)
        self.send_bytes(encode(message, request_id=request_id, parts=parts))
        return request_id

    def receive(self, *, timeout_s: float = 20.0) -> Envelope | None:
        """Return the next message that is no beat, or None when none comes."""
        while self._socket.poll(int(timeout_s * 1000)):
            envelope = decode([bytes(part) for part in self._socket.recv_multipart()])
            if envelope.message.kind != "beat":
                return envelope
        return None

    def ask(self, message: Message, *, parts: Sequence[WirePart] = ()) -> Message:
        """Send a message and return the answer to it."""
        request_id = self.send(message, parts=parts)
        while True:
            envelope = self.receive()
            assert envelope is not None, f"{message.kind} was not answered"
            if envelope.request_id == request_id:
                return envelope.message

    def refused(self, message: Message, *, parts: Sequence[WirePart] = ()) -> Failed:
        """Send a message that must fail; return how it did."""
        answer = self.ask(message, parts=parts)
        assert isinstance(answer, Failed), f"it was answered by {answer.kind}"
        return answer

    def hello(self) -> Welcome:
        """Open a session."""
        answer = self.ask(Hello("raw", kwaflux_core.__version__, host_id()))
        assert isinstance(answer, Welcome)
        return answer
