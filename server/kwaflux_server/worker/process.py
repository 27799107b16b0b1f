"""The worker process: one socket to the gateway, one engine."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
import zmq

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import KwafluxError, ProtocolError
from kwaflux_core.images.exr.read import set_exr_threads
from kwaflux_core.protocol.codec import CodecLimits, decode, encode
from kwaflux_core.protocol.messages import (
    Cancel,
    Judge,
    Message,
    Render,
    Shutdown,
    WorkerReady,
)
from kwaflux_core.tiling import TILE_PX
from kwaflux_core.version import __version__
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_server.gateway.supervisor import CANNOT_START
from kwaflux_server.path_guard import PathGuard
from kwaflux_server.worker.engine import Engine
from kwaflux_server.worker.frame_io import Frames
from kwaflux_server.worker.rings import AttachedRings

__all__ = ["Put", "WorkerOptions", "main", "make_engine"]

_LOG = logging.getLogger("kwaflux.server.worker")
_POLL_MS = 500
_CLOSE_S = 4.0
_TRUSTED = CodecLimits(total_bytes=1 << 40)
"""No further limits: the gateway has already checked a client's message."""

Outgoing: TypeAlias = tuple[int, Message, tuple[memoryview, ...]]
Put: TypeAlias = Callable[[int, Message, tuple[memoryview, ...]], None]


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The options of a worker.

    ``threads`` 0 uses torch's default; ``memory_budget_bytes`` 0 derives it from the free memory.
    """

    device: str
    precision: str = "auto"
    tile_px: int = TILE_PX
    memory_budget_bytes: int = 0
    frame_bytes_max: int = 8 << 30
    ring_dir: str = ""
    threads: int = 0
    roots: tuple[str, ...] = ("/",)


class _Outbox:
    """Collect answers from the engine's threads and wake the thread that owns the socket."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], name: str) -> None:
        self._context = context
        self._address = f"inproc://wake-{name}"
        self._queue: deque[Outgoing] = deque()
        self._local = threading.local()
        self.receiver = context.socket(zmq.PULL)
        self.receiver.bind(self._address)

    def put(self, task_id: int, message: Message, parts: tuple[memoryview, ...] = ()) -> None:
        """Queue a message; any thread."""
        self._queue.append((task_id, message, parts))
        waker = getattr(self._local, "socket", None)
        if waker is None:
            waker = self._local.socket = self._context.socket(zmq.PUSH)
            waker.linger = 0
            waker.connect(self._address)
        waker.send(b"")

    def drain(self) -> list[Outgoing]:
        """Return the queued messages; the socket's thread."""
        while self.receiver.poll(0):
            self.receiver.recv()
        queued = []
        while self._queue:
            queued.append(self._queue.popleft())
        return queued


class _Link:
    """The thread that owns the worker's socket."""

    def __init__(self, endpoint: str, name: str, *, silence_s: float) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._name = name
        self._silence_s = silence_s
        self._parent = os.getppid()
        self.outbox = _Outbox(self._context, name)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.identity = name.encode()
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.connect(endpoint)

    def serve(self, engine: Engine, rings: AttachedRings) -> None:
        """Pass messages both ways until the gateway says to stop or is gone."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self.outbox.receiver, zmq.POLLIN)
        heard_s = time.monotonic()
        while os.getppid() == self._parent and time.monotonic() - heard_s < self._silence_s:
            events = dict(poller.poll(_POLL_MS))
            if self.outbox.receiver in events:
                for task_id, message, parts in self.outbox.drain():
                    frames = encode(message, request_id=task_id, parts=parts)
                    self._socket.send_multipart(frames, copy=False)
            if self._socket in events:
                heard_s = time.monotonic()
                if not self._receive(engine, rings):
                    return
        _LOG.warning("worker %s: the gateway is gone", self._name)

    def _receive(self, engine: Engine, rings: AttachedRings) -> bool:
        frames = [frame.buffer for frame in self._socket.recv_multipart(copy=False)]
        try:
            envelope = decode(frames, limits=_TRUSTED)
        except ProtocolError as error:
            _LOG.error("worker %s: %s", self._name, error)
            return True
        match envelope.message:
            case Render() | Judge() as request:
                engine.submit(envelope.request_id, request, envelope.parts)
            case Cancel(request=task_id):
                engine.cancel(task_id)
            case Shutdown():
                return False
            case _:
                rings.forget_removed()
        return True


def make_engine(
    options: WorkerOptions,
    *,
    name: str,
    rings: AttachedRings,
    put: Put,
) -> Engine:
    """Return an engine on the device that ``options`` names.

    Args:
        options: Device, precision, sizes.
        name: The worker's name.
        rings: The clients' shared memory.
        put: Receives the engine's answers, and ``WorkerReady`` when the loaded models change.

    Raises:
        SettingsError: The machine has no such device.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    # By default OpenEXR compresses on the calling thread.
    set_exr_threads(torch.get_num_threads())
    device, registry, pool = Device(options.device), Registry.discover(), PlanePool()

    def told(resident: tuple[str, ...]) -> None:
        ready = WorkerReady(name, device.name, device.label, os.getpid(), resident)
        put(0, ready, ())

    warm = WarmModels(
        registry,
        device=device,
        budget_bytes=options.memory_budget_bytes,
        precision=options.precision,
        on_change=told,
    )
    renderer = FrameRenderer(
        warm.lend, device=device, config=ColorConfig.default(), tile_px=options.tile_px
    )
    frames = Frames(
        rings,
        pool=pool,
        config=renderer.context.config,
        frame_bytes_max=options.frame_bytes_max,
        guard=PathGuard(options.roots),
    )
    engine = Engine(
        renderer,
        frames=frames,
        pool=pool,
        cards=registry.cards,
        named=registry.named_flows,
        answer=put,
        version=__version__,
        own=registry.own,
    )
    told(())
    return engine


def main(arguments: list[str] | None = None) -> int:
    """Run a worker until its gateway ends. Called in the process that the gateway starts."""
    parser = argparse.ArgumentParser(prog="kwaflux-worker")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--tile-px", type=int, default=TILE_PX)
    parser.add_argument("--memory-budget-bytes", type=int, default=0)
    parser.add_argument("--frame-bytes-max", type=int, default=8 << 30)
    parser.add_argument("--ring-dir", default="")
    parser.add_argument("--root", action="append", default=[])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--silence-s", type=float, default=30.0)
    parser.add_argument("--log-level", default="INFO")
    parsed = parser.parse_args(arguments)
    # Ctrl+C in the server's terminal reaches its workers too; only the gateway handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=parsed.log_level, stream=sys.stderr)
    options = WorkerOptions(
        parsed.device,
        parsed.precision,
        parsed.tile_px,
        parsed.memory_budget_bytes,
        parsed.frame_bytes_max,
        parsed.ring_dir,
        parsed.threads,
        tuple(parsed.root),
    )
    link = _Link(parsed.endpoint, parsed.name, silence_s=parsed.silence_s)
    rings = AttachedRings(options.ring_dir)
    try:
        engine = make_engine(options, name=parsed.name, rings=rings, put=link.outbox.put)
    except KwafluxError as error:
        _LOG.error("worker %s cannot start: %s", parsed.name, error)
        return CANNOT_START
    thread = threading.Thread(target=_serve, args=(link, engine, rings), name="link")
    thread.start()
    status = 1
    try:
        engine.run()
        status = 0
    except BaseException:  # noqa: BLE001 - a worker that cannot compute must end
        _LOG.exception("unexpected error in worker %s", parsed.name)
    # A killed writer leaves its temporary file, so wait a short time for writes to finish.
    closing = threading.Thread(target=engine.close, name="close", daemon=True)
    closing.start()
    closing.join(_CLOSE_S)
    os._exit(status)


def _serve(link: _Link, engine: Engine, rings: AttachedRings) -> None:
    try:
        link.serve(engine, rings)
    finally:
        engine.stop()


if __name__ == "__main__":
    sys.exit(main())
