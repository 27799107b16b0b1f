"""``kwaflux check nuke|resolve``: send a test chart as the host would, and write a bundle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from kwaflux_core.errors import HostError, KwafluxError, from_wire
from kwaflux_hosting.install_layout import INSTALL_FILE
from kwaflux_hosting.roundtrip_check.main import PREFIX
from kwaflux_server.cli.console import OUT, say_json
from kwaflux_server.cli.install import HostName, host_named
from kwaflux_server.cli.options import AsJson
from kwaflux_server.install.host_locations import Host, Machine
from kwaflux_server.install.host_python import run_code
from kwaflux_server.install.install_plan import shape_of

__all__ = ["check"]

_PROGRAM: Final = """
import sys
sys.path.append(sys.argv[1])
from kwaflux_hosting.roundtrip_check.main import main
sys.exit(main(sys.argv[2:]))
"""
_TIMEOUT_S: Final = 400.0


def check(
    host: HostName,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for charts and bundle. Default: a temporary folder.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The folder given to install --to.")] = None,
    as_json: AsJson = False,
) -> int:
    """Send a test chart as the host would, report any step that changed pixels, write a bundle.

    The check runs in the host's Python, with the packages and wheels installed for it, and starts
    the server as the host would. To include what the host itself does to pixels, use the check
    button in the host. Attach the bundle to a support request.

    Exit status: 0 nothing changed, 1 a step changed pixels, 2 the check did not run.
    """
    name = host_named(host)
    shape = shape_of(name, Machine.this(os.environ), to=None if to is None else to.absolute())
    pythons = _installed_pythons(shape.root, name)
    folder = out or Path(tempfile.mkdtemp(prefix="kwaflux-check-"))
    status = 0
    for python in pythons:
        at = folder / python.tag
        at.mkdir(parents=True, exist_ok=True)
        if not as_json:
            OUT.print(f"{python.version} of {name} ({python.path})", markup=False)
        status = max(status, _checked(python, name, root=shape.root, folder=at, as_json=as_json))
    return status


@dataclass(frozen=True, slots=True)
class _Python:
    tag: str
    path: str
    version: str


def _installed_pythons(root: Path, host: Host) -> list[_Python]:
    """Return the Pythons that the installation has wheels for.

    Raises:
        HostError: Nothing is installed, or the list of installed files is damaged.
    """
    again = f"install it: kwaflux install {host}"
    try:
        raw = json.loads((root / INSTALL_FILE).read_text(encoding="utf-8"))
        return [_Python(**python) for python in raw["pythons"]]
    except FileNotFoundError as error:
        raise HostError(f"Kwaflux is not installed in {root}", hint=again) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostError(f"{root / INSTALL_FILE} cannot be read: {error}", hint=again) from error


def _checked(python: _Python, host: Host, *, root: Path, folder: Path, as_json: bool) -> int:
    """Run the check in one Python; tell what it says; return its exit status."""
    again = f"install again: kwaflux install {host}"
    arguments = (str(root), host, str(folder.absolute()))
    try:
        done = run_code(
            Path(python.path), _PROGRAM, *arguments, environ=os.environ, limit_s=_TIMEOUT_S
        )
    except KwafluxError as error:
        raise HostError(error.message, hint=again) from error
    for event in _events(done.output):
        kind = event.pop("event")
        if as_json:
            say_json(str(kind), python=python.tag, **event)
        elif kind == "report":
            OUT.print(event["text"], f"For support: {event['bundle']}", sep="\n", markup=False)
        elif kind == "said":
            OUT.print(event["text"], markup=False)
        if kind == "error":
            raise from_wire(event)
    if done.status not in (0, 1):
        raise HostError(f"the check broke in {python.path}: {done.reason}", hint=again)
    return done.status


def _events(output: str) -> Iterator[dict[str, object]]:
    for line in output.splitlines():
        if line.startswith(PREFIX):
            yield json.loads(line.removeprefix(PREFIX))
