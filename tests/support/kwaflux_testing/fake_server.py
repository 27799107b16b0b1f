"""A small server that answers as the gateway does, or as hostile as it is told to.

What it renders is in ``fake_renders``; the flow ``hold`` is answered only when it is cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import zmq
from zmq.auth.thread import ThreadAuthenticator

from kwaflux_core.errors import Cancelled, KwafluxError, ProtocolError, to_wire
from kwaflux_core.protocol.codec import Envelope, WirePart, decode, encode
from kwaflux_core.protocol.messages import (
    Beat,
    Cancel,
    DescribeEffects,
    Effects,
    Failed,
    Goodbye,
    Hello,
    JobAccepted,
    JobDone,
    JobEvent,
    Limits,
    Message,
    Ping,
    Pong,
    Render,
    ServerStatus,
    Shutdown,
    ShuttingDown,
    StatusRequest,
    Submit,
    Welcome,
)
from kwaflux_core.transport.shared_memory import host_id
from kwaflux_core.transport.zeromq import CurveServerKeys, bind_router
from kwaflux_testing.fake_renders import Answer, cards, rendered

__all__ = ["Behavior", "FakeServer", "wait_until"]

Behavior: TypeAlias = Literal["silence", "garbage", "vanish", "wrong_id", "wrong_kind", "newer"]

LIMITS = Limits(frame_bytes=1 << 28, message_bytes=1 << 28, ring_bytes=1 << 28)


def wait_until(is_met: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
    """Wait until a condition is met, or fail."""
    deadline_s = time.monotonic() + timeout_s
    while not is_met():
        assert time.monotonic() < deadline_s, "the condition was not met in time"
        time.sleep(0.002)


class FakeServer:
    """Serve clients on a thread of its own until the block ends.

    Args:
        directory: Where the socket is made.
        ring_dir: What Welcome offers; None: no shared memory.
        behavior: How hostile the answers to messages of a kind are.
        replies: Whole answers to messages of a kind, instead of the usual ones.
        limits: What Welcome says.
        beat_s: How often it beats.
        beats: Whether it does.
        host: The machine it claims to be on.
        endpoint: Where it listens, instead of a socket in ``directory``.
        curve: Its keys.
        accepts: Folder with the public keys it accepts; None: any.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ring_dir: Path | None = None,
        behavior: Mapping[str, Behavior] | None = None,
        replies: Mapping[str, Callable[[Envelope], Answer]] | None = None,
        limits: Limits = LIMITS,
        beat_s: float = 0.05,
        beats: bool = True,
        host: str | None = None,
        endpoint: str = "",
        curve: CurveServerKeys | None = None,
        accepts: Path | None = None,
    ) -> None:
        self.endpoint = endpoint or f"ipc://{directory}/s"
        self.received: list[Message] = []
        self.sessions: list[str] = []
        self.behavior: dict[str, Behavior] = dict(behavior or {})
        self.replies = dict(replies or {})
        self._ring_dir = ring_dir
        self._limits = limits
        self._beat_s = beat_s
        self.beats = beats
        self._host = host_id() if host is None else host
        self._curve = curve
        self._accepts = accepts
        self._peers: set[bytes] = set()
        self._held: dict[int, bytes] = {}
        self._is_stopping = threading.Event()
        self._is_bound = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-server", daemon=True)

    def __enter__(self) -> FakeServer:
        self._thread.start()
        assert self._is_bound.wait(5.0), "the fake server did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the sockets, as a server that is gone does."""
        self._is_stopping.set()
        self._thread.join(5.0)
        assert not self._thread.is_alive(), "the fake server did not stop"

    def kinds(self) -> list[str]:
        """Return the kinds of what was received, without beats."""
        return [message.kind for message in list(self.received) if message.kind != "beat"]

    def of_kind(self, kind: str) -> list[Message]:
        """Return what was received of one kind."""
        return [message for message in list(self.received) if message.kind == kind]

    def _run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        authenticator = ThreadAuthenticator(context)
        if self._accepts is not None:
            authenticator.start()
            authenticator.configure_curve(domain="*", location=str(self._accepts))
        self._socket = bind_router(context, self.endpoint, curve=self._curve)
        self.endpoint = bytes(self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        self._is_bound.set()
        next_beat_s = 0.0
        try:
            while not self._is_stopping.is_set():
                if self._socket.poll(5):
                    identity, *frames = self._socket.recv_multipart()
                    self._handle(identity, decode(frames))
                if self.beats and time.monotonic() > next_beat_s:
                    next_beat_s = time.monotonic() + self._beat_s
                    for peer in list(self._peers):
                        self._send(peer, encode(Beat(), request_id=0))
        finally:
            self._socket.close(linger=0)
            if self._accepts is not None:
                authenticator.stop()
            context.term()

    def _send(self, identity: bytes, frames: list[WirePart]) -> None:
        try:
            self._socket.send_multipart([identity, *frames], zmq.NOBLOCK)
        except zmq.ZMQError:
            self._peers.discard(identity)

    def _handle(self, identity: bytes, envelope: Envelope) -> None:
        message, request_id = envelope.message, envelope.request_id
        self.received.append(message)
        behavior = self.behavior.get(message.kind)
        if behavior == "silence":
            return
        if behavior == "vanish":
            self._is_stopping.set()
            return
        if behavior == "garbage":
            self._send(identity, [b"\xc1 this is no message", b"junk"])
            return
        if isinstance(message, (Beat, Goodbye)):
            return
        try:
            answers = self._answers(identity, envelope)
        except KwafluxError as error:
            answers = [(_failed(error), ())]
        for answer, parts in answers:
            if behavior == "wrong_kind":
                answer = JobDone("j", 0, 0, 0, 0)
            frames = encode(answer, request_id=request_id, parts=parts)
            if behavior == "wrong_id":
                frames = encode(answer, request_id=request_id + 1000, parts=parts)
            if behavior == "newer":
                frames[0] = bytes(frames[0]).replace(b"\xa1v\x01", b"\xa1v\x07")
            self._send(identity, frames)

    def _answers(self, identity: bytes, envelope: Envelope) -> list[Answer]:
        message = envelope.message
        if message.kind in self.replies:
            return [self.replies[message.kind](envelope)]
        if isinstance(message, Render):
            if message.flow == "hold":
                self._held[envelope.request_id] = identity
                return []
            return [rendered(message, envelope.parts, ring_dir=self._ring_dir)]
        if isinstance(message, Cancel):
            holder = self._held.pop(message.request, None)
            if holder is not None:
                failed = _failed(Cancelled("the client cancelled the request"))
                self._send(holder, encode(failed, request_id=message.request))
            return []
        if isinstance(message, Submit):
            return _job(message)
        return [(self._answer(identity, message), ())]

    def _answer(self, identity: bytes, message: Message) -> Message:
        match message:
            case Hello():
                self._peers.add(identity)
                self.sessions.append(f"s{len(self.sessions)}")
                ring_dir = "" if self._ring_dir is None else str(self._ring_dir)
                return Welcome(
                    self.sessions[-1],
                    "0.1",
                    self._host,
                    ring_dir,
                    self._limits,
                    self._beat_s,
                )
            case Ping():
                return Pong()
            case DescribeEffects():
                return Effects(tuple(card.to_json() for card in cards()))
            case StatusRequest():
                return ServerStatus(1, "0.1", 2.0, self.endpoint, 1, 0, 0, 0, 0, ())
            case Shutdown():
                return ShuttingDown()
        raise ProtocolError(f"the fake server does not know {message.kind!r}")


def _failed(error: KwafluxError) -> Failed:
    wire = to_wire(error)
    return Failed(str(wire["code"]), error.message, error.hint, error.retryable, dict(error.fields))


def _job(request: Submit) -> list[Answer]:
    frames = (1001, 1002, 1003)
    events: list[Answer] = [(JobAccepted("j1", frames), ())]
    if request.flow == "hold":
        return events
    for done, frame in enumerate(frames):
        events.append((JobEvent("j1", frame, "started", done=done, total=3), ()))
        is_bad = frame == 1002
        state: Literal["failed", "done"] = "failed" if is_bad else "done"
        error = _failed(KwafluxError("the frame is not there")) if is_bad else None
        events.append((JobEvent("j1", frame, state, done=done + 1, total=3, error=error), ()))
    return [*events, (JobDone("j1", done=2, skipped=0, failed=1, cancelled=0), ())]
