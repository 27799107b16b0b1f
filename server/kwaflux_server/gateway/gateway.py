"""The gateway: one thread that serves clients and keeps the timeouts.

Owns the event loop, the sessions and the requests that need no worker; ``dispatch`` handles frames.
Must not import torch or touch pixels.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from kwaflux_core.errors import ProtocolError, Unavailable
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import BoundFlow, Flow
from kwaflux_core.flows.preset import Preset, named_flows
from kwaflux_core.protocol.codec import Envelope
from kwaflux_core.protocol.messages import (
    Beat,
    Cancel,
    DescribeEffects,
    Effects,
    Goodbye,
    Hello,
    Limits,
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
from kwaflux_core.settings.settings import ServerSettings
from kwaflux_core.transport.shared_memory import RingDir
from kwaflux_core.version import __version__
from kwaflux_server.gateway.dispatch import Dispatcher
from kwaflux_server.gateway.router_sockets import Parts, RouterSockets
from kwaflux_server.gateway.session import Session, Sessions
from kwaflux_server.gateway.supervisor import Supervisor
from kwaflux_server.jobs.open_jobs import OpenJobs
from kwaflux_server.jobs.plan_processes import JobPlanner
from kwaflux_server.path_guard import check_names
from kwaflux_server.scheduler.policy import SchedulerLimits
from kwaflux_server.scheduler.scheduler import Scheduler

__all__ = ["Gateway"]

_LOG = logging.getLogger("kwaflux.server.gateway")
_POLL_MS = 100
_NO_PRESETS: Mapping[str, Preset] = MappingProxyType({})


class Gateway:
    """Serve clients until a client or ``stop`` shuts it down.

    Args:
        sockets: Both sockets, bound.
        settings: The server's settings.
        cards: The cards of the installed effects.
        presets: The installed presets.
        supervisor: The workers.
        rings: Directory of the clients' rings; None without shared memory.
        host_id: Id of this machine, by which a client knows whether it can share memory.
        planner: Plans jobs; None makes one with the roots of the settings.
        clock: Monotonic time in seconds.

    Thread: one; ``stop`` and ``interrupt`` from any.
    """

    def __init__(
        self,
        sockets: RouterSockets,
        *,
        settings: ServerSettings,
        cards: Mapping[str, Card],
        presets: Mapping[str, Preset] = _NO_PRESETS,
        supervisor: Supervisor,
        rings: RingDir | None,
        host_id: str,
        planner: JobPlanner | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sockets = sockets
        self._settings = settings
        self._cards = cards
        self._presets = presets
        self._named = named_flows(presets.values())
        self._supervisor = supervisor
        self._rings = rings
        self._host_id = host_id
        self._clock = clock
        self._started_s = clock()
        self._sessions = Sessions(silence_s=settings.session_silence_s)
        self._dispatcher = Dispatcher(
            sockets,
            scheduler=Scheduler(
                SchedulerLimits(
                    client_requests=settings.requests_in_flight_max,
                    client_bytes=2 * settings.frame_bytes_max,
                )
            ),
            sessions=self._sessions,
            supervisor=supervisor,
            planner=planner
            or JobPlanner(settings.roots, frame_bytes_max=settings.frame_bytes_max, clock=clock),
            jobs=OpenJobs(window=2 * settings.frames_in_flight),
            slots=settings.frames_in_flight,
            clock=clock,
        )
        self._next_beat_s = 0.0
        self._is_draining = self._is_interrupted = False
        self._bind = lru_cache(maxsize=256)(self._bound)

    def run(self) -> None:
        """Serve until the server is shut down and its running frames are done."""
        while not self._has_ended():
            if self._is_draining:
                self._dispatcher.drain()
            self._sockets.wait(
                _POLL_MS,
                from_client=self._from_client,
                from_worker=self._dispatcher.from_worker,
                also=self._dispatcher.plan_files(),
            )
            self._dispatcher.tick()
            if self._clock() >= self._next_beat_s:
                self._beat()
        self._dispatcher.end(
            Unavailable("the server was shut down", hint="start it: kwaflux start")
        )
        self._dispatcher.say_to_workers(Shutdown())

    def stop(self) -> None:
        """Shut down once the running frames are done. Any thread; safe in a signal's handler."""
        self._is_draining = True

    def interrupt(self) -> None:
        """Shut down as ``stop`` does; called again, without waiting for the running frames."""
        self._is_interrupted = self._is_draining
        self.stop()

    def _has_ended(self) -> bool:
        is_idle = self._dispatcher.snapshot().running == 0
        return self._is_interrupted or (self._is_draining and is_idle)

    def _beat(self) -> None:
        now_s = self._clock()
        self._next_beat_s = now_s + self._settings.beat_s
        self._dispatcher.beat()
        for session in self._sessions.silent(now_s=now_s):
            self._close_session(session, why="no heartbeat from the client")

    def _from_client(self, identity: bytes, envelope: Envelope) -> None:
        message, request_id = envelope.message, envelope.request_id
        if isinstance(message, Hello):
            self._open_session(identity, message, request_id)
            return
        if isinstance(message, Ping):
            self._sockets.to_client(identity, Pong(), request_id)
            return
        session = self._sessions.of(identity)
        if session is not None:
            session.heard_s = self._clock()
            self._from_session(session, envelope)
        elif not isinstance(message, (Beat, Goodbye)):
            raise Unavailable(
                "the server does not know this session: the server was restarted, or the client "
                "was silent for too long",
                hint="connect again",
            )

    def _from_session(self, session: Session, envelope: Envelope) -> None:
        message, request_id, tell = envelope.message, envelope.request_id, self._dispatcher.tell
        match message:
            case Render():
                self._render(session, message, request_id, envelope.parts)
            case Submit():
                self._refuse_while_draining()
                self._dispatcher.submit(session, request_id, message, self._bind(message.flow))
            case Cancel(request=cancelled):
                self._dispatcher.cancel(session, cancelled)
            case DescribeEffects():
                cards = tuple(card.to_json() for card in self._cards.values())
                presets = tuple(preset.to_json() for preset in self._presets.values())
                tell(session, Effects(cards, presets), request_id)
            case StatusRequest():
                tell(session, self._status(), request_id)
            case Goodbye():
                self._close_session(session, why="closed by the client")
            case Shutdown():
                tell(session, ShuttingDown(), request_id)
                self.stop()
            case Beat():
                pass
            case _:
                raise ProtocolError(f"a client cannot send {message.kind!r}")

    def _open_session(self, identity: bytes, hello: Hello, request_id: int) -> None:
        former = self._sessions.of(identity)
        if former is not None:
            self._close_session(former, why="replaced by a new connection of its client")
        session = self._sessions.open(identity, client=hello.client, now_s=self._clock())
        self._dispatcher.join(session)
        settings = self._settings
        welcome = Welcome(
            session.name,
            __version__,
            self._host_id,
            "" if self._rings is None else str(self._rings.path),
            Limits(
                settings.frame_bytes_max,
                settings.message_bytes_max,
                settings.ring_bytes_max,
            ),
            settings.beat_s,
        )
        _LOG.info("session %s: %s, version %s", session.name, hello.client, hello.version)
        self._dispatcher.tell(session, welcome, request_id)

    def _close_session(self, session: Session, *, why: str) -> None:
        _LOG.info("session %s is closed: %s", session.name, why)
        self._sessions.close(session.identity)
        self._dispatcher.leave(session)
        if self._rings is not None:
            self._rings.remove_session(session.name)

    def _render(self, session: Session, request: Render, request_id: int, parts: Parts) -> None:
        self._refuse_while_draining()
        check_names(request, session=session.name)
        flow = self._bind(request.flow)
        self._dispatcher.render(session, request_id, request, flow, parts)

    def _refuse_while_draining(self) -> None:
        if self._is_draining:
            raise Unavailable("the server is shutting down", hint="start it again: kwaflux start")

    def _bound(self, text: str) -> BoundFlow:
        return Flow.parse(text).bind(self._cards, named=self._named)

    def _status(self) -> ServerStatus:
        counts = self._dispatcher.snapshot()
        return ServerStatus(
            os.getpid(),
            __version__,
            self._clock() - self._started_s,
            self._settings.endpoint,
            len(self._sessions),
            counts.waiting,
            counts.running,
            counts.done,
            counts.failed,
            self._supervisor.infos(),
        )
