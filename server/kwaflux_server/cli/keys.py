"""``kwaflux keys``: CURVE key pairs for a server on another machine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from kwaflux_core.errors import SettingsError
from kwaflux_core.transport.curve_keys import make_keys
from kwaflux_server.cli.console import OUT, say_json
from kwaflux_server.cli.options import AsJson

__all__ = ["keys"]

_CLIENTS = "clients"
_SERVER = "server"


def keys(
    *,
    client: Annotated[
        str, typer.Option(help="Also make a pair for a client of this name, and admit the client.")
    ] = "",
    out: Annotated[Path, typer.Option(help="The folder of the keys.")] = Path(
        "~/.config/kwaflux/keys"
    ),
    as_json: AsJson = False,
) -> None:
    """Make CURVE key pairs for a server on another machine, and one for each client of it.

    The server's pair is made once; existing keys are never replaced.
    """
    folder = out.expanduser().absolute()
    if client and not re.fullmatch(r"[A-Za-z0-9_-]+", client):
        raise SettingsError(
            f"{client!r} is not a valid name for a key", hint="use only letters, digits, - and _"
        )
    if client == _SERVER:
        raise SettingsError("a client's key cannot be named server", hint="give another name")
    if client and (folder / f"{client}.key_secret").exists():
        raise SettingsError(
            f"{folder} already has a key of {client!r}",
            hint="choose another name, or remove its three files to revoke it",
        )
    server_secret = folder / f"{_SERVER}.key_secret"
    is_new = not server_secret.exists()
    if is_new:
        make_keys(folder, _SERVER)
    admitted = folder / _CLIENTS
    admitted.mkdir(mode=0o700, exist_ok=True)
    server = {"curve_secret_file": str(server_secret), "curve_clients_dir": str(admitted)}
    theirs: dict[str, str] = {}
    if client:
        public, secret = make_keys(folder, client)
        shutil.copyfile(public, admitted / public.name)
        theirs = {
            "curve_secret_file": str(secret),
            "curve_server_key_file": str(folder / f"{_SERVER}.key"),
        }
    if as_json:
        say_json("keys", is_new_server=is_new, server=server, client=theirs)
        return
    OUT.print("Made the server's keys." if is_new else "The server's keys already exist.")
    _say("For the server, in its settings.toml:", "server", server)
    if theirs:
        _say(f"For the client {client!r}; copy both files to its machine:", "client", theirs)
    else:
        OUT.print("To admit a client: kwaflux keys --client NAME")


def _say(title: str, table: str, settings: dict[str, str]) -> None:
    OUT.print(f"\n{title}\n\n[{table}]", markup=False)
    for name, value in settings.items():
        OUT.print(f'{name} = "{value}"', markup=False, soft_wrap=True)
