"""The gateway's two ROUTER sockets: messages in, messages out.

Owns encoding, decoding and the handling of unreachable peers. Must not know what a message means.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

import zmq

from kwaflux_core.errors import KwafluxError, ProtocolError
from kwaflux_core.protocol.codec import CodecLimits, Envelope, WirePart, decode, encode
from kwaflux_core.protocol.failures import failed
from kwaflux_core.protocol.messages import Message

__all__ = ["Parts", "RouterSockets"]

_LOG = logging.getLogger("kwaflux.server.gateway")
_AT_A_TIME = 64
"""Number of messages handled from one socket before the other is read."""
_TRUSTED = CodecLimits(total_bytes=1 << 40)
Parts: TypeAlias = tuple[WirePart, ...]


class RouterSockets:
    """Two bound ROUTER sockets.

    Args:
        clients: The socket that clients connect to.
        workers: The socket that the workers connect to.
        limits: Limits of a client's message.

    Thread: one.
    """

    def __init__(
        self,
        clients: zmq.Socket[bytes],
        workers: zmq.Socket[bytes],
        *,
        limits: CodecLimits,
    ) -> None:
        self._clients = clients
        self._workers = workers
        self._limits = limits
        self._poller = zmq.Poller()
        self._poller.register(clients, zmq.POLLIN)
        self._poller.register(workers, zmq.POLLIN)

    def wait(
        self,
        timeout_ms: int,
        *,
        from_client: Callable[[bytes, Envelope], None],
        from_worker: Callable[[str, Envelope], None],
        also: Sequence[int] = (),
    ) -> None:
        """Wait for messages and pass each to its handler with the sender's name.

        A client's message that cannot be decoded, or whose handler raises, is answered with the
        error.

        Args:
            timeout_ms: Longest wait.
            from_client: Handles messages of clients.
            from_worker: Handles messages of workers.
            also: File descriptors that end the wait when they become readable.
        """
        for descriptor in also:
            self._poller.register(descriptor, zmq.POLLIN)
        try:
            events = dict(self._poller.poll(timeout_ms))
        finally:
            for descriptor in also:
                self._poller.unregister(descriptor)
        if self._workers in events:
            for identity, frames in self._received(self._workers):
                self._hand_worker(identity.decode(errors="replace"), frames, from_worker)
        if self._clients in events:
            for identity, frames in self._received(self._clients):
                self._hand_client(identity, frames, from_client)

    def to_client(
        self, identity: bytes, message: Message, request_id: int, parts: Parts = ()
    ) -> bool:
        """Send to a client; return False if it is gone or its queue is full."""
        return self._sent(self._clients, identity, message, request_id, parts)

    def to_worker(self, name: str, message: Message, task_id: int, parts: Parts = ()) -> bool:
        """Send to a worker; return False if it is gone."""
        return self._sent(self._workers, name.encode(), message, task_id, parts)

    def _hand_client(
        self,
        identity: bytes,
        frames: list[memoryview],
        from_client: Callable[[bytes, Envelope], None],
    ) -> None:
        request_id = 0
        try:
            envelope = decode(frames, limits=self._limits)
            request_id = envelope.request_id
            from_client(identity, envelope)
        except KwafluxError as error:
            failed_id = error.fields.get("request", request_id)
            self.to_client(
                identity, failed(error), failed_id if isinstance(failed_id, int) else request_id
            )
        except Exception as error:
            # An unexpected error in one request must not stop the server for the other clients.
            _LOG.exception("unexpected error in the handler of a request")
            text = f"unexpected error in the server: {type(error).__name__}: {error}"
            self.to_client(identity, failed(KwafluxError(text)), request_id)

    def _hand_worker(
        self, name: str, frames: list[memoryview], from_worker: Callable[[str, Envelope], None]
    ) -> None:
        try:
            from_worker(name, decode(frames, limits=_TRUSTED))
        except ProtocolError as error:
            _LOG.error("worker %s: %s", name, error)

    def _received(self, socket: zmq.Socket[bytes]) -> list[tuple[bytes, list[memoryview]]]:
        received = []
        for _ in range(_AT_A_TIME):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            received.append((bytes(frames[0].buffer), [frame.buffer for frame in frames[1:]]))
        return received

    def _sent(
        self,
        socket: zmq.Socket[bytes],
        identity: bytes,
        message: Message,
        request_id: int,
        parts: Parts,
    ) -> bool:
        frames = [identity, *encode(message, request_id=request_id, parts=parts)]
        try:
            socket.send_multipart(frames, zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            _LOG.info("%r cannot be reached: %s", identity, error)
            return False
        return True
