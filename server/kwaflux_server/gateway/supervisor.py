"""The supervisor of the worker processes: starts, watches and restarts them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from kwaflux_core.protocol.messages import WorkerInfo, WorkerReady
from kwaflux_core.settings.settings import ServerSettings

__all__ = ["CANNOT_START", "LostWorker", "Supervisor"]

WORKER_ENVIRON: Mapping[str, str] = MappingProxyType({"OMP_WAIT_POLICY": "passive"})
"""Environment variables that must be set before torch is imported. Without them its threads spin
while they wait, and take the cores from the host application: on a machine with busy cores, frames
took five times longer."""

_LOG = logging.getLogger("kwaflux.server.supervisor")
CANNOT_START = 2
"""Exit status of a worker for which a restart is useless."""

_STARTS_WITHOUT_READY = 3
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A worker process that ended: its name and the reason."""

    name: str
    reason: str


@dataclass(slots=True)
class _Seat:
    """A device and its current worker."""

    device: str
    index: int
    restarts: int = -1
    failures: int = 0
    process: subprocess.Popen[bytes] | None = None
    ready: WorkerReady | None = None
    started_s: float = field(default=0.0)

    @property
    def name(self) -> str:
        """The worker's name; a restart changes it, so that late messages are told apart."""
        return f"{self.device.replace(':', '')}-{self.index}.{self.restarts}"


class Supervisor:
    """Keep one worker process alive on every device.

    A worker that ends is restarted, unless it ended three times before it was ready or reported
    that it can never start.

    Args:
        devices: Names of the devices.
        settings: The server's settings.
        endpoint: Address at which the gateway listens for workers.
        ring_dir: The server's ring directory, or empty.
        log_file: Log of the workers; None shares the server's stdout and stderr.
    """

    def __init__(
        self,
        devices: Sequence[str],
        *,
        settings: ServerSettings,
        endpoint: str,
        ring_dir: str,
        log_file: Path | None,
    ) -> None:
        self._seats = [_Seat(device, index) for index, device in enumerate(devices)]
        self._settings = settings
        self._endpoint = endpoint
        self._ring_dir = ring_dir
        self._log_file = log_file

    @property
    def is_hopeless(self) -> bool:
        """Whether no worker is alive and none will be restarted."""
        return all(seat.process is None for seat in self._seats)

    def start(self) -> None:
        """Start every worker."""
        for seat in self._seats:
            self._spawn(seat)

    def noted(self, ready: WorkerReady) -> bool:
        """Note that a worker is ready; return whether it is the worker's first report."""
        for seat in self._seats:
            if seat.process is not None and seat.name == ready.name:
                is_first = seat.ready is None
                seat.ready, seat.failures = ready, 0
                return is_first
        return False

    def knows(self, name: str) -> bool:
        """Return whether a live worker has this name."""
        return any(seat.process is not None and seat.name == name for seat in self._seats)

    def poll(self) -> list[LostWorker]:
        """Return the workers that ended since the last call, and restart them."""
        lost = []
        for seat in self._seats:
            if seat.process is None:
                continue
            status = seat.process.poll()
            is_late = (
                seat.ready is None
                and time.monotonic() - seat.started_s > self._settings.worker_start_s
            )
            if status is None and is_late:
                seat.process.kill()
                status = seat.process.wait()
            if status is not None:
                lost.append(LostWorker(seat.name, _reason(status)))
                _LOG.warning("worker %s ended: %s", seat.name, _reason(status))
                self._restart(seat, status)
        return lost

    def restart(self, name: str) -> None:
        """Kill a worker; ``poll`` reports it."""
        for seat in self._seats:
            if seat.process is not None and seat.name == name:
                seat.process.kill()

    def infos(self) -> tuple[WorkerInfo, ...]:
        """Return the status of every worker."""
        return tuple(
            WorkerInfo(
                seat.name,
                seat.device,
                "" if seat.ready is None else seat.ready.device_label,
                0 if seat.process is None else seat.process.pid,
                is_ready=seat.ready is not None,
                restarts=max(seat.restarts, 0),
                resident=() if seat.ready is None else seat.ready.resident,
            )
            for seat in self._seats
        )

    def stop(self) -> None:
        """End every worker; kill those that do not end in time, or were never ready."""
        deadline_s = time.monotonic() + _STOP_S
        for seat in self._seats:
            if seat.process is not None and seat.ready is None:
                seat.process.kill()
        for seat in self._seats:
            process, seat.process = seat.process, None
            if process is None:
                continue
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _restart(self, seat: _Seat, status: int) -> None:
        if seat.ready is None:
            is_for_good = status == CANNOT_START
            seat.failures += _STARTS_WITHOUT_READY if is_for_good else 1
        seat.ready = None
        if seat.failures >= _STARTS_WITHOUT_READY:
            _LOG.error("no worker can be started on %s; see the log above", seat.device)
            seat.process = None
            return
        self._spawn(seat)

    def _spawn(self, seat: _Seat) -> None:
        seat.restarts += 1
        settings = self._settings
        options = {
            "endpoint": self._endpoint,
            "name": seat.name,
            "device": seat.device,
            "precision": settings.precision,
            "tile-px": settings.tile_px,
            "memory-budget-bytes": settings.memory_budget_bytes,
            "frame-bytes-max": settings.frame_bytes_max,
            "ring-dir": self._ring_dir,
            "log-level": settings.log_level.upper(),
        }
        command = [sys.executable, "-m", "kwaflux_server.worker.process"]
        command += [f"--{name}={value}" for name, value in options.items()]
        command += [f"--root={root}" for root in settings.roots]
        environ = {**WORKER_ENVIRON, **os.environ}
        seat.started_s = time.monotonic()
        if self._log_file is None:
            seat.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environ)
            return
        with self._log_file.open("ab") as log:
            seat.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ
            )


def _reason(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
