"""The server process: sets up folders, sockets and workers, serves, and shuts down."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import zmq
from zmq.auth.thread import ThreadAuthenticator

from kwaflux_core.child_process import run_command
from kwaflux_core.errors import KwafluxError, ResourceError, SettingsError
from kwaflux_core.protocol.codec import CodecLimits
from kwaflux_core.settings.settings import ServerSettings, runtime_dir
from kwaflux_core.transport.shared_memory import RingDir, host_id, ram_backed_dir
from kwaflux_core.transport.zeromq import (
    CurveServerKeys,
    SocketClaim,
    bind_router,
    parse_endpoint,
)
from kwaflux_hosting.exchange_folder import remove_abandoned
from kwaflux_models.catalog.registry import Registry
from kwaflux_server.gateway.gateway import Gateway
from kwaflux_server.gateway.router_sockets import RouterSockets
from kwaflux_server.gateway.supervisor import Supervisor
from kwaflux_server.jobs.plan_processes import JobPlanner

__all__ = ["serve"]

_LOG = logging.getLogger("kwaflux.server")

_DEVICES_S = 60.0
_LINGER_MS = 1000
_PARENT_S = 0.5


def serve(
    settings: ServerSettings, *, environ: Mapping[str, str], parent_pid: int | None = None
) -> None:
    """Run a server in this process until a client, SIGINT or SIGTERM shuts it down.

    Running frames are finished first, unless a second signal comes.

    Args:
        settings: What it is started with.
        environ: The environment, which names its folders.
        parent_pid: The process that started it, with whose end it ends at once; None: it stays.

    Raises:
        ResourceError: Another server has this endpoint.
        SettingsError: A setting is invalid on this machine.
    """
    # Slow steps come before the endpoint is claimed, because the owner must answer at once.
    devices = _devices(settings.devices)
    removed = remove_abandoned(environ)
    if removed:
        _LOG.info("removed %d exchange folders of host processes that have ended", removed)
    workers_endpoint = f"ipc://{runtime_dir(environ)}/workers-{_tag(settings.endpoint)}.sock"
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        clients = stack.enter_context(_listening(context, settings.endpoint, settings))
        workers = stack.enter_context(_listening(context, workers_endpoint, settings))
        rings = stack.enter_context(_ring_dir(settings, environ))
        registry = Registry.discover()
        for package, error in registry.broken.items():
            _LOG.error("%s is skipped: %s", package, error)
        supervisor = Supervisor(
            devices,
            settings=settings,
            endpoint=workers_endpoint,
            ring_dir="" if rings is None else str(rings.path),
            log_file=None,
        )
        limits = CodecLimits(total_bytes=settings.message_bytes_max)
        planner = JobPlanner(settings.roots, frame_bytes_max=settings.frame_bytes_max)
        stack.callback(planner.close)
        planner.start()
        gateway = Gateway(
            RouterSockets(clients, workers, limits=limits),
            settings=settings,
            cards=registry.cards,
            presets=registry.presets,
            supervisor=supervisor,
            planner=planner,
            rings=rings,
            host_id=host_id(),
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: gateway.interrupt())
        if parent_pid is not None:
            _end_with(parent_pid, gateway)
        supervisor.start()
        _LOG.info("serving on %s", settings.endpoint)
        try:
            gateway.run()
        finally:
            supervisor.stop()


def _end_with(parent_pid: int, gateway: Gateway) -> None:
    """Interrupt a gateway, running frames too, once this process has lost its parent."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(_PARENT_S)
        _LOG.warning("process %d, which started this server, has ended", parent_pid)
        for _ in range(2):
            gateway.interrupt()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _devices(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the devices to start workers on; ``auto`` asks torch in a child process."""
    if names != ("auto",):
        return names
    ask = "from kwaflux_models.rendering.device import Device; print(*Device.available())"
    try:
        found = run_command([sys.executable, "-c", ask], limit_s=_DEVICES_S)
        found.raise_for_status()
    except KwafluxError as error:
        raise SettingsError(
            f"torch could not be asked for its devices: {error.message}",
            hint="install kwaflux[server], or name the devices",
        ) from error
    return tuple(found.output.split())


def _tag(endpoint: str) -> str:
    """Return a short name for an endpoint, so that two servers of one user do not collide."""
    return hashlib.sha256(endpoint.encode()).hexdigest()[:8]


@contextlib.contextmanager
def _listening(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, settings: ServerSettings
) -> Iterator[zmq.Socket[bytes]]:
    """Yield a bound socket; an ipc path is claimed first, a TCP address uses CURVE keys."""
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
    """Yield a ring directory; None without a RAM-backed file system."""
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
