"""The connection from a host to the server that the settings name, started when none runs.

The server never runs in the host's Python: ``kwaflux install`` recorded, beside the packages in the
host's folder, the command that starts it in its own environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kwaflux_core.errors import (
    Cancelled,
    DeadlineExceeded,
    HostError,
    KwafluxError,
    ProtocolError,
    Unavailable,
)
from kwaflux_hosting.install_layout import INSTALL_FILE, add_wheels, installed_root

if TYPE_CHECKING:
    from kwaflux_core.client.client import Client

__all__ = ["clean_environ", "connect", "import_problem", "server_command"]

_COMMAND_VARIABLE: Final = "KWAFLUX_COMMAND"
_CONNECT_S = 5.0
_START_S = 150.0
_POLL_S = 0.1
_SAID_CHARACTERS = 400
_HOSTS_OWN: Final = ("PYTHON", "LD_", "DYLD_", "QT_", "QML", "OCIO_NUKE", "TCL_", "TK_", "NUKE_")
"""How the names of variables begin that a host sets for itself and that break other programs."""

_CREATE_NO_WINDOW = 0x08000000


def connect(
    *,
    say: Callable[[str], None],
    start: bool = True,
    name: str = "host",
    endpoint: str | None = None,
    environ: Mapping[str, str] = os.environ,
    start_timeout_s: float = _START_S,
    cancel: threading.Event | None = None,
) -> Client:
    """Connect to the server that the settings name; start this user's own where none runs.

    Args:
        say: Gets a sentence for the person when something takes long or was done.
        start: Whether a server may be started; only ever on this machine.
        name: What this client is; it stands in the server's log.
        endpoint: Another server than the settings name.
        environ: Where settings are read from.
        start_timeout_s: How long a server that is started may take until it renders.
        cancel: Set by another thread to stop waiting for a server that is being started.

    Raises:
        HostError: pyzmq or msgpack do not import in this Python; the hint is the mend.
        Unavailable: No server is there and none could be started; the hint says what to do.
        Cancelled: ``cancel`` was set.
        KwafluxError: As ``Client.connect`` raises.

    Thread: any but the one that draws the host's interface: starting takes seconds.
    """
    problem = import_problem()
    if problem is not None:
        raise problem
    from kwaflux_core.client.client import Client
    from kwaflux_core.transport.zeromq import parse_endpoint

    try:
        return Client.connect(endpoint, timeout_s=_CONNECT_S, name=name, environ=environ)
    except ProtocolError as error:
        hint = f"{error.hint}; to update the host: kwaflux install"
        raise ProtocolError(error.message, hint=hint) from error
    except (Unavailable, DeadlineExceeded) as error:
        where = _endpoint(endpoint, environ)
        if not start or not parse_endpoint(where).is_loopback:
            raise _nobody_there(where, error) from error
    say("Starting the Kwaflux server, which takes some seconds")
    began_s = time.monotonic()
    _start(endpoint, environ=environ, timeout_s=start_timeout_s, cancel=cancel)
    client = Client.connect(endpoint, timeout_s=_CONNECT_S, name=name, environ=environ)
    say(
        f"The Kwaflux server runs (started in {time.monotonic() - began_s:.1f} s; it keeps running)"
    )
    return client


def import_problem() -> HostError | None:
    """Return why the client cannot be imported in this Python, in one sentence with the mend.

    None where all is well. The wheels that were installed for this Python are found from here on;
    nothing compiled is imported before.
    """
    add_wheels()
    try:
        import msgpack  # noqa: F401 - the client needs both
        import zmq  # noqa: F401
    except Exception as error:  # noqa: BLE001 - a library of another ABI may raise anything
        host = Path(sys.executable).name or "the host"
        version = ".".join(map(str, sys.version_info[:3]))
        return HostError(
            f"{_module_of(error)} cannot be imported by the Python {version} of {host}: {error}",
            hint="install again so that it fits this Python: kwaflux install nuke (or resolve)",
            python=version,
        )
    return None


def server_command(environ: Mapping[str, str], *, folder: Path | None = None) -> tuple[str, ...]:
    """Return the command that is ``kwaflux`` on this machine.

    Args:
        environ: ``KWAFLUX_COMMAND`` wins over what the installation wrote down.
        folder: Where the packages lie; None: where this one does.

    Raises:
        HostError: Nothing says where it is, or what said it cannot be read.
    """
    named = environ.get(_COMMAND_VARIABLE, "")
    if named:
        return (named,)
    at = (folder or installed_root()) / INSTALL_FILE
    try:
        raw = json.loads(at.read_text(encoding="utf-8"))
        command = tuple(raw["command"])
    except FileNotFoundError:
        return (
            (sys.executable, "-m", "kwaflux_server") if _is_own_environment() else _no_command(at)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostError(
            f"{at} cannot be read: {error}", hint="install again: kwaflux install", path=str(at)
        ) from error
    if not command or not all(isinstance(word, str) for word in command):
        return _no_command(at)
    return command


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a program that is not the host's: without the host's own.

    A host points Python, the loader and Qt at its own libraries; another program would load them.
    """
    return {
        name: value
        for name, value in environ.items()
        if not name.upper().startswith(_HOSTS_OWN) or name == "PYTHONPYCACHEPREFIX"
    }


def _start(
    endpoint: str | None,
    *,
    environ: Mapping[str, str],
    timeout_s: float,
    cancel: threading.Event | None,
) -> None:
    command = [*server_command(environ), "start", "--json"]
    if endpoint is not None:
        command += ["--endpoint", endpoint]
    said = _run(command, environ=environ, timeout_s=timeout_s, cancel=cancel)
    if said is not None:
        raise Unavailable(
            f"the Kwaflux server did not start: {said}",
            hint=f"try it in a terminal: {' '.join(command[:-1])}",
        )


def _run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    timeout_s: float,
    cancel: threading.Event | None,
) -> str | None:
    """Run a command to its end; return what it said where it failed."""
    # A file and not a pipe: nobody has to read it, and a server that inherits it cannot block us.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environ(environ),
                start_new_session=sys.platform != "win32",
                creationflags=_CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        except OSError as error:
            return f"{command[0]}: {error.strerror or error}"
        status = _awaited(process, timeout_s=timeout_s, cancel=cancel)
        output.seek(0)
        said = _last_words(output.read().decode(errors="replace"))
    if status is None:
        return f"it was not ready within {timeout_s:.0f} s"
    return None if status == 0 else said or f"it ended with {status}"


def _awaited(
    process: subprocess.Popen[bytes], *, timeout_s: float, cancel: threading.Event | None
) -> int | None:
    """Return a process's exit status, or None where the time ran out: then it is ended."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if cancel is not None and cancel.is_set():
                break
    process.kill()
    process.wait()
    if cancel is not None and cancel.is_set():
        raise Cancelled("waiting for the server was cancelled")
    return None


def _last_words(output: str) -> str:
    """Return what a command said at last: the message of its JSON, or its last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    if not lines:
        return ""
    try:
        raw = json.loads(lines[-1])
    except ValueError:
        raw = None
    told = raw.get("message") if isinstance(raw, dict) else None
    return (told if isinstance(told, str) else lines[-1])[:_SAID_CHARACTERS]


def _endpoint(endpoint: str | None, environ: Mapping[str, str]) -> str:
    from kwaflux_core.settings.settings import load_client_settings, settings_file

    return load_client_settings(
        environ=environ, file=settings_file(environ), flags={"endpoint": endpoint}
    ).endpoint


def _nobody_there(endpoint: str, error: KwafluxError) -> Unavailable:
    from kwaflux_core.transport.zeromq import parse_endpoint

    if parse_endpoint(endpoint).is_loopback:
        hint = error.hint or "start it: kwaflux start"
    else:
        hint = "it is on another machine: start it there, or correct endpoint in the settings"
    return Unavailable(error.message, hint=hint)


def _is_own_environment() -> bool:
    """Tell whether this Python is Kwaflux's own, where the server's package can be imported."""
    from importlib.util import find_spec

    return find_spec("kwaflux_server") is not None and find_spec("typer") is not None


def _no_command(at: Path) -> tuple[str, ...]:
    raise HostError(
        f"no command to start the Kwaflux server is known: {at} names none",
        hint=f"install again: kwaflux install; or set {_COMMAND_VARIABLE} to the kwaflux program",
        path=str(at),
    )


def _module_of(error: Exception) -> str:
    return getattr(error, "name", None) or "pyzmq or msgpack"
