"""``kwaflux install nuke|resolve``: install a host's adapter, or remove it."""

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
        bool, typer.Option("--uninstall", help="Remove the installation completely.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")
    ] = False,
    python: Annotated[
        list[Path] | None,
        typer.Option(help="The host's Python, if it is not found automatically; repeatable."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Install into this folder, for example one shared by a studio."),
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option(help="A folder of wheels, for a machine without network access.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put Kwaflux into Nuke or DaVinci Resolve Studio. Run it again after every update.

    The wheels are chosen for the host's Python. One folder is added to the host's plug-in folders;
    the server stays in this environment.
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
            say(f"Kwaflux is not installed in {shape.root}.")
        return
    programs = [HostProgram(str(path), path.absolute()) for path in python or ()]
    pythons = host_pythons(programs or machine.programs(name), host=name, say=say)
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
    """Return the host of a name.

    Raises:
        RequestError: There is no such host.
    """
    if text in get_args(Host):
        return cast(Host, text)
    raise RequestError(f"there is no host {text[:40]!r}", hint="choose nuke or resolve")


def host_pythons(
    programs: list[HostProgram], *, host: Host, say: Callable[[str], None]
) -> list[HostPython]:
    """Return the Pythons that run and are new enough, one for each wheel tag.

    Raises:
        HostError: None was found.
    """
    pythons_by_tag: dict[str, HostPython] = {}
    for program in programs:
        try:
            python = inspect_python(program.python, os.environ)
        except HostError as error:
            say(f"{program.label}: {error}")
            continue
        if python.is_old:
            say(f"{program.label}: {python.text} is older than 3.10 and is skipped")
            continue
        say(f"{program.label}: {python.text} ({program.python})")
        pythons_by_tag.setdefault(python.tag, python)
    if not pythons_by_tag:
        where = "Nuke/python3" if host == "nuke" else "python3"
        raise HostError(
            f"no Python of {'Nuke 15 or later' if host == 'nuke' else 'Resolve'} was found",
            hint=f"give its path: kwaflux install {host} --python /path/to/{where}",
        )
    return list(pythons_by_tag.values())


def _say_next(shape: Shape, say: Callable[[str], None], *, is_dry: bool) -> None:
    say(f"The server runs with {sys.executable}; the host starts it if none is running.")
    for hint in shape.hints:
        say(hint)
    if is_dry:
        say("Nothing was done (--dry-run).")
