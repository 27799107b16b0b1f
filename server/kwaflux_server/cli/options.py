"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

__all__ = ["AsJson", "Endpoint"]

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line instead of words.")
]
Endpoint: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Where the server is: ipc:///path or tcp://host:port. Default: your own."),
]
