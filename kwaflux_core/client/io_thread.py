"""The client's IO thread, which owns its socket.

Owns the connection to a server, the session, heartbeats, and the match of answers to calls. Must
not know pixels or the meaning of requests.

Callers put commands into a queue and wake the thread through a pair of sockets; it returns answers
through one queue per call. A lost connection ends every active call with ``Unavailable``; the next
call connects again and opens a new session.
"""

from __future__ import annotations

import contextlib
import logging
import socket as sockets
from collections import deque
from collections.abc import Callable
from typing import TypeAlias, cast

import zmq

from kwaflux_core.client.session import Call, Clock, Session
from kwaflux_core.errors import KwafluxError, ProtocolError, Unavailable, from_wire, to_wire
from kwaflux_core.protocol.codec import Envelope, WirePart, decode, encode
from kwaflux_core.protocol.failures import failure_of
from kwaflux_core.protocol.messages import Beat, Failed, Goodbye, Hello, Welcome
from kwaflux_core.transport.zeromq import (
    Connection,
    ConnectionWatch,
    CurveClientKeys,
    connect_dealer,
)

__all__ = ["IoThread"]

_LOG = logging.getLogger("kwaflux.client")

_IDLE_S = 1.0
_GOODBYE_LINGER_MS = 200
_BEATS_MISSED = 5
_START_HINT = "start it: kwaflux start"

_Command: TypeAlias = "Callable[[], None]"


class IoThread:
    """Run the client's socket; the arguments are those of ``Connection``.

    Thread: ``post``, ``session`` and ``has_ended`` from any; everything else runs in the loop, as a
    posted command.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        hello: Hello,
        curve: CurveClientKeys | None,
        silence_s: float,
        waits_for_server: bool,
        clock: Clock,
    ) -> None:
        self.session: Session | None = None
        self.has_ended = False
        self._endpoint = endpoint
        self._hello = hello
        self._curve = curve
        self._silence_s = silence_s
        self._waits_for_server = waits_for_server
        self._clock = clock
        self._commands: deque[_Command] = deque()
        self._bell, self._wake = sockets.socketpair()
        self._bell.setblocking(False)
        self._wake.setblocking(False)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._watch: ConnectionWatch | None = None
        self._poller = zmq.Poller()
        self._opener: Call | None = None
        self._pending: dict[int, Call] = {}
        self._outbox: deque[list[WirePart]] = deque()
        self._waits_to_send = False
        self._heard_s = self._sent_s = clock()
        self._is_stopping = False

    def post(self, command: Callable[[], None]) -> None:
        """Queue a command for the loop."""
        self._commands.append(command)
        # A full pair already holds enough to wake the thread; a closed one means it has ended.
        with contextlib.suppress(OSError):
            self._bell.send(b"\0")
        if self.has_ended:
            self._run_commands()

    def run(self) -> None:
        """Serve until ``stop``."""
        self._poller.register(self._wake.fileno(), zmq.POLLIN)
        try:
            while not self._is_stopping:
                ready = dict(self._poller.poll(self._until_next_ms()))
                if self._wake.fileno() in ready:
                    self._wake.recv(4096)
                    self._run_commands()
                self._flush()
                if self._socket in ready:
                    self._receive()
                if self._watch is not None and self._watch.socket in ready:
                    self._read_watch()
                self._look_at_clock()
        except Exception as error:  # noqa: BLE001 - or callers would wait for their deadlines
            _LOG.exception("unexpected error in the client's IO thread")
            self._drop(
                KwafluxError(f"unexpected error in the client: {type(error).__name__}: {error}")
            )
        finally:
            self._finish()

    # --- commands ---------------------------------------------------------------------------

    def connect(self, opener: Call) -> None:
        """Open a connection and a session; ``opener`` receives the answer."""
        if self._is_stopping:
            opener.put(_closed())
            return
        self._drop(_closed())
        try:
            self._socket, self._watch = connect_dealer(
                self._context, self._endpoint, curve=self._curve
            )
        except KwafluxError as error:
            opener.put(error)
            return
        self._poller.register(self._socket, zmq.POLLIN)
        self._waits_to_send = False
        self._poller.register(self._watch.socket, zmq.POLLIN)
        self._opener = opener
        self._pending[opener.request_id] = opener
        self._outbox.append(encode(self._hello, request_id=opener.request_id))

    def end_opening(self, opener: Call) -> None:
        """Close the connection if the session is not open yet."""
        if self._opener is opener:
            self._drop(_closed())

    def send(self, session: Session, call: Call, frames: list[WirePart]) -> None:
        """Send a request, if its session is still open."""
        if session is not self.session:
            call.put(self._went_away())
            return
        if not self._pending:
            self._heard_s = self._clock()
        self._pending[call.request_id] = call
        self._outbox.append(frames)

    def send_about(self, call: Call, frames: list[WirePart]) -> None:
        """Send a message about a call, if the call is still active."""
        if call.request_id in self._pending:
            self._outbox.append(frames)

    def abandon(self, call: Call, frames: list[WirePart], on_end: Callable[[], None]) -> None:
        """Send the cancel of a call, and run ``on_end`` when it has ended."""
        if call.request_id in self._pending:
            call.on_end = on_end
            self._outbox.append(frames)
        else:
            on_end()

    def stop(self) -> None:
        """End the loop."""
        self._is_stopping = True

    # --- the loop's steps -------------------------------------------------------------------

    def _run_commands(self) -> None:
        while True:
            try:
                command = self._commands.popleft()
            except IndexError:
                return
            command()

    def _flush(self) -> None:
        """Send queued messages until the socket would block."""
        if self._socket is None:
            return
        while self._outbox:
            try:
                self._socket.send_multipart(self._outbox[0], zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._outbox.popleft()
            self._sent_s = self._clock()
        if bool(self._outbox) is not self._waits_to_send:
            self._waits_to_send = bool(self._outbox)
            wanted = zmq.POLLIN | zmq.POLLOUT if self._outbox else zmq.POLLIN
            self._poller.modify(self._socket, wanted)

    def _receive(self) -> None:
        socket = self._socket
        while socket is not None and socket is self._socket:
            try:
                frames: list[WirePart] = [socket.recv(zmq.NOBLOCK)]
            except zmq.Again:
                return
            while socket.getsockopt(zmq.RCVMORE):
                frames.append(socket.recv(zmq.NOBLOCK, copy=False).buffer)
            self._heard_s = self._clock()
            try:
                envelope = decode(frames)
            except ProtocolError as error:
                self._on_garbage(error)
            else:
                self._on_message(envelope)

    def _on_garbage(self, error: ProtocolError) -> None:
        call = self._pending.pop(cast(int, error.fields.get("request", 0)), self._opener)
        if call is None:
            _LOG.warning("the server sent an invalid message: %s", error)
        elif call is self._opener:
            self._fail_opening(error)
        else:
            call.put(error)

    def _on_message(self, envelope: Envelope) -> None:
        call = self._pending.get(envelope.request_id)
        if call is None:
            return
        if call.is_last(envelope.message):
            del self._pending[envelope.request_id]
        if isinstance(envelope.message, Failed):
            self._on_failed(call, failure_of(envelope.message))
            return
        if call is self._opener and isinstance(envelope.message, Welcome):
            self.session = Session(envelope.message)
            self._opener = None
        call.put(envelope)

    def _fail_opening(self, error: KwafluxError) -> None:
        opener = self._opener
        self._drop(error)
        if opener is not None:
            opener.put(error)

    def _on_failed(self, call: Call, error: KwafluxError) -> None:
        if call is self._opener:
            self._fail_opening(error)
            return
        call.put(error)
        # The server may have closed this session; the next call then opens another. While a call
        # is active the session is still open.
        if isinstance(error, Unavailable) and not self._pending:
            self._drop(error)

    def _read_watch(self) -> None:
        for event in self._watch.read() if self._watch is not None else ():
            if event is Connection.NOBODY and (self.session is None and self._waits_for_server):
                continue
            error = self._error_of(event)
            if error is not None:
                self._receive()  # answers that arrived before the end are valid
                self._drop(error)
                return

    def _error_of(self, event: Connection) -> KwafluxError | None:
        if event is Connection.READY:
            return None
        if event is Connection.REFUSED_KEY:
            return Unavailable(
                f"the key was not accepted by the server at {self._endpoint}",
                hint="give the server this client's public key, and the client the server's",
            )
        if event is Connection.NOT_ZMTP:
            return Unavailable(
                f"the server at {self._endpoint} is not a Kwaflux server",
                hint="check the endpoint, and whether the server requires keys",
            )
        if self.session is None:
            return Unavailable(f"no server is running at {self._endpoint}", hint=_START_HINT)
        return self._went_away()

    def _went_away(self) -> Unavailable:
        return Unavailable(
            f"lost the connection to the server at {self._endpoint}", hint=_START_HINT
        )

    def _until_next_ms(self) -> int:
        now_s = self._clock()
        wait_s = _IDLE_S
        if self.session is not None:
            wait_s = min(wait_s, self._sent_s + self.session.welcome.beat_s - now_s)
        if self._pending:
            wait_s = min(wait_s, self._heard_s + self._silence_limit_s() - now_s)
        return max(int(wait_s * 1000) + 1, 0)

    def _silence_limit_s(self) -> float:
        beat_s = self.session.welcome.beat_s if self.session is not None else 0.0
        return max(self._silence_s, _BEATS_MISSED * beat_s)

    def _look_at_clock(self) -> None:
        now_s = self._clock()
        session = self.session
        if session is None:
            return
        if self._pending and now_s - self._heard_s > self._silence_limit_s():
            self._drop(
                Unavailable(
                    f"the server at {self._endpoint} has been silent for "
                    f"{now_s - self._heard_s:.0f} s",
                    hint="check its state with kwaflux status",
                )
            )
        elif now_s - self._sent_s >= session.welcome.beat_s and not self._outbox:
            self._outbox.append(encode(Beat(), request_id=0))
            self._flush()

    def _drop(self, error: KwafluxError, *, linger_ms: int = 0) -> None:
        """End the session and all its calls."""
        session, self.session, self._opener = self.session, None, None
        pending, self._pending = self._pending, {}
        self._outbox.clear()
        self._close_socket(linger_ms=linger_ms)
        if session is not None:
            session.close()
        for call in pending.values():
            call.put(from_wire(to_wire(error)))  # a separate instance for each caller to raise

    def _close_socket(self, *, linger_ms: int) -> None:
        socket, self._socket = self._socket, None
        watch, self._watch = self._watch, None
        if watch is not None:
            self._poller.unregister(watch.socket)
            watch.close()
        if socket is not None:
            self._poller.unregister(socket)
            socket.close(linger=linger_ms)

    def _finish(self) -> None:
        """Send ``Goodbye``, end the remaining calls, and close the socket."""
        linger_ms = 0
        if self.session is not None and self._socket is not None:
            linger_ms = _GOODBYE_LINGER_MS
            with contextlib.suppress(zmq.ZMQError):
                self._socket.send_multipart(encode(Goodbye(), request_id=0), zmq.NOBLOCK)
        self._is_stopping = True
        self._drop(_closed(), linger_ms=linger_ms)
        self.has_ended = True  # from now on a command runs in the thread that posts it
        self._run_commands()
        self._context.term()
        self._bell.close()
        self._wake.close()


def _closed() -> Unavailable:
    return Unavailable("the client was closed", hint="connect again")
