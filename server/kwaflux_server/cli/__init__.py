"""The command line: ``kwaflux``.

Owns what people type and read. Every command is a module here; what it does lives elsewhere.
"""

from __future__ import annotations

import sys

import typer

from kwaflux_core.errors import KwafluxError
from kwaflux_server.cli import bench, demo, effects, enhance, server
from kwaflux_server.cli.console import say_error

__all__ = ["app", "main"]

app = typer.Typer(
    name="kwaflux",
    help="Image restoration for plates: nothing in the picture changes but what was asked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("enhance")(enhance.enhance)
app.command("effects")(effects.effects)
app.command("serve")(server.serve)
app.command("start")(server.start)
app.command("stop")(server.stop)
app.command("status")(server.status)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)


def main() -> int:
    """Run the command line; the exit status is 2 where nothing could be done."""
    try:
        status = app(standalone_mode=False)
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
    return status if isinstance(status, int) else 0
