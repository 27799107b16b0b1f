"""Printed lines, exit status and error messages of the training commands."""

from __future__ import annotations

import sys
from collections.abc import Callable

from kwaflux_core.errors import KwafluxError

__all__ = ["end_of", "say_line"]


def end_of(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; 2 where nothing could be done.

    An error of Kwaflux is said in a sentence with its hint; any other is a fault of the program and
    keeps its traceback.
    """
    try:
        return command()
    except KwafluxError as error:
        sys.stderr.write(f"kwaflux: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"{error.hint}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def say_line(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
