"""``kwaflux``: all commands, and the printing of their errors."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kwaflux_core.errors import KwafluxError
from kwaflux_core.version import __version__
from kwaflux_server.cli.bench import bench
from kwaflux_server.cli.check import check
from kwaflux_server.cli.console import OUT, say_error
from kwaflux_server.cli.demo import demo
from kwaflux_server.cli.effects import effects
from kwaflux_server.cli.enhance import enhance
from kwaflux_server.cli.install import install
from kwaflux_server.cli.keys import keys
from kwaflux_server.cli.profile import profile
from kwaflux_server.cli.server import serve, start, status, stop
from kwaflux_server.cli.user_models import models

__all__ = ["app", "main"]

app = typer.Typer(
    name="kwaflux",
    help="Image restoration for plates.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    if version:
        OUT.print(f"kwaflux {__version__}")
    elif context.invoked_subcommand is None:
        OUT.print(context.get_help(), markup=False)


for _command in (
    enhance,
    profile,
    effects,
    serve,
    start,
    stop,
    status,
    keys,
    install,
    check,
    demo,
    bench,
):
    app.command()(_command)
app.add_typer(models)


def main() -> int:
    """Run the command line; exit with status 2 on an error."""
    try:
        code = app(standalone_mode=False)
    except KwafluxError as error:
        say_error(error)
        return 2
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        print(f"kwaflux: {error.format_message()}", file=sys.stderr)  # noqa: T201
        print("Try: kwaflux --help", file=sys.stderr)  # noqa: T201
        return 2
    return code if isinstance(code, int) else 0
