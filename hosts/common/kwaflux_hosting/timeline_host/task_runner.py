"""Runs one task at a time from a UI timer; can be cancelled."""

from __future__ import annotations

from collections.abc import Callable, Generator

from kwaflux_core.errors import KwafluxError

__all__ = ["TaskRunner"]


class TaskRunner:
    """Follow one work at a time.

    Args:
        say: Shows a sentence.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._steps: Generator[str, None, object] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a work goes on."""
        return self._steps is not None

    def begin(self, steps: Generator[str, None, object]) -> None:
        """Follow these steps from now on; while others go on, nothing happens."""
        self._steps = self._steps or steps

    def step(self) -> None:
        """Let the work go on a little, and show how far it is."""
        if self._steps is not None:
            try:
                self._say(next(self._steps))
            except StopIteration:
                self._steps = None

    def cancel(self, said: str = "") -> None:
        """Close the work, if any, and say so."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None
            self._say(said)

    def guard(self, call: Callable[[], object]) -> None:
        """Call, and show what is wrong; an exception in a window's handler would reach nobody."""
        try:
            call()
        except KwafluxError as error:
            self._steps = None
            self._say(str(error))
