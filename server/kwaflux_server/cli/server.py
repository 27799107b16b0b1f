"""``kwaflux serve``, ``start``, ``stop`` and ``status``: run and control the server."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer
from rich.table import Table

from kwaflux_core.client.client import Client
from kwaflux_core.errors import DeadlineExceeded, Unavailable
from kwaflux_core.settings.settings import load_server_settings, settings_file
from kwaflux_server.cli.console import OUT, log_to_stderr, say_json
from kwaflux_server.cli.options import AsJson, Endpoint
from kwaflux_server.launcher import ensure_server, log_file
from kwaflux_server.serve import serve as run_server

__all__ = ["serve", "start", "status", "stop"]

_STOP_S = 60.0


def serve(
    *,
    endpoint: Endpoint = None,
    devices: Annotated[
        str | None, typer.Option(help="auto, or a list: cpu, cuda:0, cuda:1 ...")
    ] = None,
    roots: Annotated[
        str | None, typer.Option(help="Folders that clients may use, separated by colons.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto or float32.")] = None,
    tile_px: Annotated[int | None, typer.Option(help="Side of a tile.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    parent_pid: Annotated[
        int | None,
        typer.Option(help="End when this process, which started the server, has ended."),
    ] = None,
) -> None:
    """Run a server in this terminal until Ctrl+C. All settings: docs/settings.md."""
    flags: dict[str, object] = {
        "endpoint": endpoint,
        "devices": devices,
        "roots": roots,
        "precision": precision,
        "tile_px": tile_px,
        "log_level": log_level,
    }
    settings = load_server_settings(environ=os.environ, file=settings_file(os.environ), flags=flags)
    log_to_stderr(settings.log_level)
    run_server(settings, environ=os.environ, parent_pid=parent_pid)


def start(*, endpoint: Endpoint = None, as_json: AsJson = False) -> None:
    """Start a server in the background, unless one is running."""
    began_s = time.monotonic()
    is_new = ensure_server(environ=os.environ, endpoint=endpoint)
    took_s = time.monotonic() - began_s
    if as_json:
        say_json("started", is_new=is_new, seconds=round(took_s, 2))
    elif is_new:
        OUT.print(f"The server runs (ready in {took_s:.1f} s). Its log: {log_file(os.environ)}")
    else:
        OUT.print("A server is already running.")


def stop(*, endpoint: Endpoint = None, as_json: AsJson = False) -> None:
    """Stop the server; running frames are finished first."""
    try:
        with Client.connect(endpoint) as client:
            client.shutdown()
    except Unavailable:
        if as_json:
            say_json("stopped", was_running=False)
        else:
            OUT.print("No server is running.")
        return
    deadline_s = time.monotonic() + _STOP_S
    while time.monotonic() < deadline_s:
        try:
            Client.connect(endpoint, timeout_s=0.5).close()
        except (Unavailable, DeadlineExceeded):
            break
        time.sleep(0.1)
    else:
        raise DeadlineExceeded(
            f"the server still answers {_STOP_S:.0f} s after the request to stop",
            hint="it is finishing its running frames; check with kwaflux status",
        )
    if as_json:
        say_json("stopped", was_running=True)
    else:
        OUT.print("The server has stopped.")


def status(*, endpoint: Endpoint = None, as_json: AsJson = False) -> None:
    """Show the state of the server. Exit status 2 if none is running."""
    with Client.connect(endpoint) as client:
        info = client.status()
    if as_json:
        say_json("status", status=info)
        return
    OUT.print(
        f"kwaflux {info.version}, process {info.pid}, up {info.uptime_s:.0f} s, {info.endpoint}",
        markup=False,
    )
    OUT.print(
        f"{info.sessions} clients; frames: {info.running} running, {info.waiting} waiting, "
        f"{info.done} done, {info.failed} failed"
    )
    table = Table("worker", "device", "state", "restarts", "warm", box=None, pad_edge=False)
    for worker in info.workers:
        state = "ready" if worker.is_ready else "starting" if worker.pid else "given up"
        device = (
            f"{worker.device} ({worker.device_label})" if worker.device_label else worker.device
        )
        table.add_row(
            worker.name, device, state, str(worker.restarts), ", ".join(worker.resident) or "-"
        )
    OUT.print(table)
