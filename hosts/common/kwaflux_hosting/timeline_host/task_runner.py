"""Tasks: generators that yield messages, run from a dialog's timer or to their end.

Closing a task cancels it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

from kwaflux_core.errors import KwafluxError

__all__ = ["Task", "TaskRunner", "run_task"]

_Result = TypeVar("_Result")
Task: TypeAlias = Generator[str, None, _Result]
"""Yields a message at each step and returns a result."""

_TICK_S: Final = 0.1


class TaskRunner:
    """Runs one task at a time, a step at each call of a dialog's timer.

    Args:
        say: Shows a message.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._task: Task[object] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a task is running."""
        return self._task is not None

    def start(self, task: Task[object]) -> None:
        """Run a task from now on; ignored while another one runs."""
        self._task = self._task or task

    def step(self) -> None:
        """Take one step of the task, if any, and show its message."""
        if self._task is not None:
            try:
                self._say(next(self._task))
            except StopIteration:
                self._task = None

    def cancel(self, message: str = "") -> None:
        """Close the task, if any, and show a message."""
        if self._task is not None:
            self._task.close()
            self._task = None
            self._say(message)

    def guard(self, call: Callable[[], object]) -> None:
        """Call, and show an error instead of raising it: a host drops what its handlers raise."""
        try:
            call()
        except KwafluxError as error:
            self._task = None
            self._say(str(error))


def run_task(
    task: Task[_Result],
    *,
    say: Callable[[str], None] = lambda message: None,
    tick_s: float = _TICK_S,
) -> _Result:
    """Run a task to its end and return its result; an exception, Ctrl-C too, closes the task.

    Args:
        task: Not started yet.
        say: Gets each message that differs from the one before.
        tick_s: The pause between two steps.
    """
    last = ""
    try:
        while True:
            message = next(task)
            if message != last:
                say(message)
            last = message
            time.sleep(tick_s)
    except StopIteration as end:
        result: _Result = end.value
        return result
    finally:
        task.close()
