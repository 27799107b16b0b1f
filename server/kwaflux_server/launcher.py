"""Find, start and reach this user's server from another process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from kwaflux_core.client.client import Client
from kwaflux_core.errors import DeadlineExceeded, Unavailable
from kwaflux_core.settings.settings import runtime_dir

__all__ = ["ensure_server", "log_file"]

_State: TypeAlias = Literal["absent", "starting", "ready", "hopeless"]

_START_S = 60.0
_GRACE_S = 2.0
_STARTED: list[subprocess.Popen[bytes]] = []
"""Handles of started servers, which outlive their starter; dropping one emits a warning."""
_LOG_LINES = 3


def log_file(environ: Mapping[str, str]) -> Path:
    """Return the log file of a background server."""
    return runtime_dir(environ) / "server.log"


def ensure_server(
    *, environ: Mapping[str, str], endpoint: str | None = None, arguments: tuple[str, ...] = ()
) -> bool:
    """Start a server in the background unless one answers; return whether one was started.

    Args:
        environ: The environment, which names the server's folders.
        endpoint: Address at which it listens; None for the default.
        arguments: More arguments of ``kwaflux serve``.

    Raises:
        Unavailable: It did not start; the message contains the end of its log.
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
            # It may have lost the endpoint to another that started at the same time.
            deadline_s = min(deadline_s, time.monotonic() + _GRACE_S)
        time.sleep(0.05)
    if process is not None:
        process.terminate()
    log_text = log.read_bytes()[begin:].decode(errors="replace") if log.exists() else ""
    raise Unavailable(
        f"the server did not start: {_log_end(log_text)}",
        hint=f"read its log: {log}",
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


def _log_end(log: str) -> str:
    """Return the last warnings and errors of a log."""
    lines = [line for line in log.splitlines() if line and "INFO" not in line]
    return "; ".join(lines[-_LOG_LINES:]) or "its log is empty"


def _state(endpoint: str | None, environ: Mapping[str, str]) -> _State:
    """Return whether a server is ready, still starting, or out of workers."""
    try:
        with Client.connect(endpoint, timeout_s=1.0, environ=environ) as client:
            workers = client.status(timeout_s=1.0).workers
    except (Unavailable, DeadlineExceeded):
        return "absent"
    if any(worker.is_ready for worker in workers):
        return "ready"
    return "starting" if any(worker.pid for worker in workers) else "hopeless"
