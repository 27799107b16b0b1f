"""Output of the command line: text on a terminal, or one JSON object per line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass

from rich.console import Console

from kwaflux_core.errors import KwafluxError, to_wire

__all__ = ["OUT", "log_to_stderr", "say_error", "say_json"]

OUT = Console(highlight=False, soft_wrap=True)
_ERR = Console(stderr=True, highlight=False, soft_wrap=True)


def say_json(event: str, **fields: object) -> None:
    """Print one event as a line of JSON."""
    sys.stdout.write(json.dumps({"event": event, **fields}, default=_plain) + "\n")
    sys.stdout.flush()


def say_error(error: KwafluxError) -> None:
    """Print an error: what happened, and what to do."""
    if "--json" in sys.argv:
        say_json("error", **to_wire(error))
        return
    _ERR.print("kwaflux:", error.message, style="red", markup=False)
    if error.hint:
        _ERR.print(error.hint, markup=False)


def log_to_stderr(level: str) -> None:
    """Send the log to stderr, one line per record."""
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
