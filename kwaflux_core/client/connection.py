"""The client's connection to a server, usable from any thread.

``io_thread`` owns the socket.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kwaflux_core.client.io_thread import IoThread
from kwaflux_core.client.session import Call, Clock, Session
from kwaflux_core.errors import DeadlineExceeded, Unavailable
from kwaflux_core.protocol.codec import WirePart, encode
from kwaflux_core.protocol.messages import Cancel, Hello, Message, Welcome
from kwaflux_core.settings.settings import ClientSettings
from kwaflux_core.transport.shared_memory import host_id
from kwaflux_core.transport.zeromq import CurveClientKeys

__all__ = ["Connection", "wire_to"]

_CLOSE_S = 2.0


class Connection:
    """Send requests to a server, from any thread.

    Args:
        endpoint: Address of the server.
        hello: The message that opens a session.
        curve: CURVE keys; required beyond loopback.
        silence_s: Seconds of silence, while a call waits, after which the server counts as gone.
        waits_for_server: Whether opening a session waits for a server that is still starting.
        clock: Monotonic time in seconds.

    Thread: any, for all methods; not across a fork.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        hello: Hello,
        curve: CurveClientKeys | None = None,
        silence_s: float = 10.0,
        waits_for_server: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._ids = itertools.count(1)
        self._opening = threading.Lock()
        self._is_closed = False
        self._loop = IoThread(
            endpoint,
            hello=hello,
            curve=curve,
            silence_s=silence_s,
            waits_for_server=waits_for_server,
            clock=clock,
        )
        self._thread = threading.Thread(target=self._loop.run, name="kwaflux-client", daemon=True)
        self._thread.start()

    def open(self, *, timeout_s: float) -> Session:
        """Return the session; open one if needed.

        Raises:
            Unavailable: No server answers, the key is not accepted, or the client is closed.
            ProtocolError: The server has another version of the protocol.
            DeadlineExceeded: Another thread is still opening one after the timeout.
        """
        deadline_s = self._clock() + timeout_s
        session = self._loop.session
        if session is not None:
            return session
        if not self._opening.acquire(timeout=max(timeout_s, 0.0)):
            raise DeadlineExceeded(f"no session with {self.endpoint} within {timeout_s:g} s")
        try:
            return self._loop.session or self._opened(deadline_s, timeout_s)
        finally:
            self._opening.release()

    def ask(self, session: Session, message: Message, *, parts: tuple[WirePart, ...] = ()) -> Call:
        """Send a request in a session; the returned call receives the answers.

        Raises:
            ProtocolError: The message cannot be encoded.
            Unavailable: The client is closed.
        """
        call = self._new_call()
        frames = encode(message, request_id=call.request_id, parts=parts)
        self._loop.post(lambda: self._loop.send(session, call, frames))
        return call

    def cancel(self, call: Call) -> None:
        """Request the cancellation of a call; its answers are still awaited."""
        frames = encode(Cancel(call.request_id), request_id=0)
        self._loop.post(lambda: self._loop.send_about(call, frames))

    def abandon(self, call: Call, *, on_end: Callable[[], None]) -> None:
        """Cancel a call whose answers are no longer awaited.

        Args:
            call: The call.
            on_end: Called once when the server no longer uses the files and slabs of the request:
                after its last answer, or when the connection is lost. It must not wait.
        """
        frames = encode(Cancel(call.request_id), request_id=0)
        self._loop.post(lambda: self._loop.abandon(call, frames, on_end))

    def close(self) -> None:
        """Close the session and end the thread; active calls end with ``Unavailable``."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.post(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_S)

    def _opened(self, deadline_s: float, timeout_s: float) -> Session:
        opener = self._new_call()
        self._loop.post(lambda: self._loop.connect(opener))
        try:
            opener.expect(Welcome, deadline_s=deadline_s, clock=self._clock)
        except DeadlineExceeded:
            raise Unavailable(
                f"the server at {self.endpoint} did not answer within {timeout_s:g} s",
                hint="check its state with kwaflux status",
            ) from None
        finally:
            self._loop.post(lambda: self._loop.end_opening(opener))
        session = self._loop.session
        if session is None:
            raise Unavailable(f"lost the connection to the server at {self.endpoint}")
        return session

    def _new_call(self) -> Call:
        if self._is_closed or self._loop.has_ended:
            raise Unavailable("the client is closed", hint="connect again")
        return Call(next(self._ids))


def wire_to(
    settings: ClientSettings, *, name: str, waits_for_server: bool, silence_s: float
) -> Connection:
    """Return a connection to the server that the settings name, without sending anything.

    Raises:
        SettingsError: The keys cannot be read.
    """
    from kwaflux_core.version import (
        __version__,
    )  # imported late, because it reads the distribution's metadata

    keys = None
    if settings.uses_curve:
        keys = CurveClientKeys.load(
            Path(settings.curve_secret_file), server=Path(settings.curve_server_key_file)
        )
    return Connection(
        settings.endpoint,
        hello=Hello(name, __version__, host_id()),
        curve=keys,
        silence_s=silence_s,
        waits_for_server=waits_for_server,
    )
