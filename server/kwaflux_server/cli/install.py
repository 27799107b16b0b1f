"""``kwaflux install nuke|resolve``: put an adapter into its host, or take it out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from kwaflux_core.errors import HostError, RequestError
from kwaflux_server.cli.console import OUT, say_json
from kwaflux_server.cli.options import AsJson
from kwaflux_server.install.host_locations import Host, HostProgram, Machine
from kwaflux_server.install.host_python import HostPython, inspect_python
from kwaflux_server.install.install_plan import Shape, shape_of
from kwaflux_server.install.installer import Installation, uninstall
from kwaflux_server.install.installer import install as run_install

__all__ = ["HostName", "host_named", "host_pythons", "install"]

HostName = Annotated[str, typer.Argument(help="nuke or resolve.")]


def install(
    host: HostName,
    *,
    remove: Annotated[
        bool, typer.Option("--uninstall", help="Take it out again; nothing is left.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    python: Annotated[
        list[Path] | None,
        typer.Option(help="The host's own Python, where it is not found by itself; repeatable."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Another folder than your own: one a whole studio sees.")
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option(help="A folder of wheels, for a machine without the network.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put Kwaflux into Nuke or DaVinci Resolve Studio. Run it again after every update.

    The host's own Python is asked which wheels it takes; nothing is put into the host's folders
    but one of ours, and the server stays in this environment.
    """
    name = host_named(host)
    machine = Machine.this(os.environ)
    shape = shape_of(name, machine, to=None if to is None else to.absolute())

    def say(text: str) -> None:
        if as_json:
            say_json("install", text=text)
        else:
            OUT.print(text, markup=False)

    if remove:
        if not uninstall(shape, say=say, is_dry=dry_run):
            say(f"Nothing of Kwaflux is in {shape.root}.")
        return
    given = [HostProgram(str(path), path.absolute()) for path in python or ()]
    pythons = host_pythons(given or machine.programs(name), host=name, say=say)
    job = Installation(
        shape=shape,
        pythons=pythons,
        environ=os.environ,
        wheels=None if wheels is None else wheels.absolute(),
        say=say,
        is_dry=dry_run,
    )
    run_install(job)
    _say_next(shape, say, is_dry=dry_run)


def host_named(text: str) -> Host:
    """Return which host a person means.

    Raises:
        RequestError: None that there is.
    """
    if text in get_args(Host):
        return cast(Host, text)
    raise RequestError(f"there is no host {text[:40]!r}", hint="choose nuke or resolve")


def host_pythons(
    programs: list[HostProgram], *, host: Host, say: Callable[[str], None]
) -> list[HostPython]:
    """Return the Pythons that answer and are new enough, one for each kind of wheel.

    Raises:
        HostError: There is none.
    """
    found: dict[str, HostPython] = {}
    for program in programs:
        try:
            python = inspect_python(program.python, os.environ)
        except HostError as error:
            say(f"{program.label}: {error}")
            continue
        if python.is_old:
            say(f"{program.label}: {python.text} is older than 3.10 and is left out")
            continue
        say(f"{program.label}: {python.text} ({program.python})")
        found.setdefault(python.tag, python)
    if not found:
        where = "Nuke/python3" if host == "nuke" else "python3"
        raise HostError(
            f"no Python of {'Nuke 15 or later' if host == 'nuke' else 'Resolve'} was found",
            hint=f"say where it is: kwaflux install {host} --python /path/to/{where}",
        )
    return list(found.values())


def _say_next(shape: Shape, say: Callable[[str], None], *, is_dry: bool) -> None:
    say(f"The server runs with {sys.executable}; a host starts it when none runs.")
    for hint in shape.hints:
        say(hint)
    if is_dry:
        say("Nothing was done: this was --dry-run.")
