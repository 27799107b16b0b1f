"""The server as a whole: its places on disk, its sockets, its workers, its end.

Owns what a server process sets up and takes down, and how another process finds, starts and stops
one. Must not know messages' meaning. Must not import torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import zmq
from zmq.auth.thread import ThreadAuthenticator

from kwaflux_core.client.client import Client
from kwaflux_core.errors import DeadlineExceeded, ResourceError, SettingsError, Unavailable
from kwaflux_core.protocol.codec import CodecLimits
from kwaflux_core.settings.settings import ServerSettings, runtime_dir
from kwaflux_core.transport.shared_memory import RingDir, host_id, ram_backed_dir
from kwaflux_core.transport.zeromq import (
    CurveServerKeys,
    SocketClaim,
    bind_router,
    parse_endpoint,
)
from kwaflux_models.registry import Registry
from kwaflux_server.gateway import Gateway
from kwaflux_server.supervisor import Supervisor
from kwaflux_server.switchboard import Switchboard

__all__ = ["ensure_server", "log_file", "serve"]

_LOG = logging.getLogger("kwaflux.server")
_State: TypeAlias = Literal["absent", "starting", "ready", "hopeless"]

_START_S = 60.0
_GRACE_S = 2.0
_LINGER_MS = 1000
_STARTED: list[subprocess.Popen[bytes]] = []
"""Servers outlive who started them; dropping the handle of a running process is a warning."""
_LAST_WORDS = 3


def log_file(environ: Mapping[str, str]) -> Path:
    """Return where a server in the background writes its log."""
    return runtime_dir(environ) / "server.log"


def serve(settings: ServerSettings, *, environ: Mapping[str, str]) -> None:
    """Run a server in this process until it is shut down (a client, SIGINT or SIGTERM).

    Running frames are finished first, unless a second signal comes.

    Raises:
        ResourceError: Another server has this endpoint.
        SettingsError: A setting cannot be carried out.
    """
    # What takes long comes before the endpoint is claimed: who claims it answers at once.
    devices = _devices(settings.devices)
    workers_endpoint = f"ipc://{runtime_dir(environ)}/workers-{_tag(settings.endpoint)}.sock"
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        clients = stack.enter_context(_listening(context, settings.endpoint, settings))
        workers = stack.enter_context(_listening(context, workers_endpoint, settings))
        rings = stack.enter_context(_ring_dir(settings, environ))
        registry = Registry.discover()
        for package, error in registry.broken.items():
            _LOG.error("%s was left out: %s", package, error)
        supervisor = Supervisor(
            devices,
            settings=settings,
            endpoint=workers_endpoint,
            ring_dir="" if rings is None else str(rings.path),
            log_file=None,
        )
        limits = CodecLimits(total_bytes=settings.message_bytes_max)
        gateway = Gateway(
            Switchboard(clients, workers, limits=limits),
            settings=settings,
            cards=registry.cards,
            presets=registry.presets,
            supervisor=supervisor,
            rings=rings,
            host_id=host_id(),
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: gateway.interrupt())
        supervisor.start()
        _LOG.info("serving on %s", settings.endpoint)
        try:
            gateway.run()
        finally:
            supervisor.stop()


def ensure_server(
    *, environ: Mapping[str, str], endpoint: str | None = None, arguments: tuple[str, ...] = ()
) -> bool:
    """Start a server in the background unless one answers; return whether one was started.

    Args:
        environ: Where its places are.
        endpoint: Where it should listen; None for the default.
        arguments: More for ``kwaflux serve``.

    Raises:
        Unavailable: It did not come up; the message holds the end of its log.
    """
    state = _state(endpoint, environ)
    if state == "ready":
        return False
    log = log_file(environ)
    begin = log.stat().st_size if log.exists() else 0
    process = None
    if state == "absent":
        process = _spawn_server(log, endpoint, environ, arguments)
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        state = _state(endpoint, environ)
        if state == "ready":
            return process is not None and process.poll() is None
        if state == "hopeless":
            break
        if state == "absent" and (process is None or process.poll() is not None):
            # It may have met another, started at the same moment, that does not answer yet.
            deadline_s = min(deadline_s, time.monotonic() + _GRACE_S)
        time.sleep(0.05)
    if process is not None:
        process.terminate()
    said = log.read_bytes()[begin:].decode(errors="replace") if log.exists() else ""
    raise Unavailable(
        f"the server did not come up: {_last_words(said)}",
        hint=f"its log is {log}",
    )


def _spawn_server(
    log: Path, endpoint: str | None, environ: Mapping[str, str], arguments: tuple[str, ...]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kwaflux_server", "serve", *arguments]
    if endpoint is not None:
        command += ["--endpoint", endpoint]
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=dict(environ),
            start_new_session=True,
        )
    _STARTED.append(process)
    return process


def _last_words(log: str) -> str:
    """Return the last lines of a log that tell of trouble."""
    lines = [line for line in log.splitlines() if line and "INFO" not in line]
    return "; ".join(lines[-_LAST_WORDS:]) or "it said nothing"


def _state(endpoint: str | None, environ: Mapping[str, str]) -> _State:
    """Return whether a server renders, is getting ready, or has given its workers up."""
    try:
        with Client.connect(endpoint, timeout_s=1.0, environ=environ) as client:
            workers = client.status(timeout_s=1.0).workers
    except (Unavailable, DeadlineExceeded):
        return "absent"
    if any(worker.is_ready for worker in workers):
        return "ready"
    return "starting" if any(worker.pid for worker in workers) else "hopeless"


def _devices(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the devices to start workers on; ``auto`` asks torch in a process of its own."""
    if wanted != ("auto",):
        return wanted
    ask = "from kwaflux_models.device import Device; print(*Device.available())"
    try:
        found = subprocess.run(
            [sys.executable, "-c", ask],
            capture_output=True,
            text=True,
            timeout=_START_S,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise SettingsError(
            f"torch could not be asked for its devices: {error}",
            hint="install kwaflux[server], or name the devices",
        ) from error
    return tuple(found.stdout.split())


def _tag(endpoint: str) -> str:
    """Return a short name for an endpoint, so that two servers of one user do not meet."""
    return hashlib.sha256(endpoint.encode()).hexdigest()[:8]


@contextlib.contextmanager
def _listening(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, settings: ServerSettings
) -> Iterator[zmq.Socket[bytes]]:
    """Hold a bound socket; over ipc its path is claimed first, over TCP keys guard it."""
    with contextlib.ExitStack() as stack:
        place = parse_endpoint(endpoint)
        keys = None
        if place.scheme == "ipc":
            stack.callback(SocketClaim(Path(place.address)).release)
        elif settings.curve_secret_file:
            keys = CurveServerKeys.load(Path(settings.curve_secret_file))
            authenticator = ThreadAuthenticator(context)
            authenticator.start()
            stack.callback(authenticator.stop)
            authenticator.configure_curve(location=settings.curve_clients_dir)
        socket = bind_router(context, endpoint, curve=keys, part_bytes=settings.message_bytes_max)
        stack.callback(socket.close, linger=_LINGER_MS)
        yield socket


@contextlib.contextmanager
def _ring_dir(settings: ServerSettings, environ: Mapping[str, str]) -> Iterator[RingDir | None]:
    """Hold a ring directory; None where the system has no RAM-backed place for one."""
    if settings.ring_dir == "none":
        yield None
        return
    root = Path(settings.ring_dir) if settings.ring_dir else ram_backed_dir(environ)
    if root is None:
        _LOG.warning("no RAM-backed file system has room: pixels travel inline")
        yield None
        return
    try:
        rings = RingDir.create(root)
    except ResourceError as error:
        _LOG.warning("%s; pixels travel inline", error)
        yield None
        return
    try:
        yield rings
    finally:
        rings.close()
