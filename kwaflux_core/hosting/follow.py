"""Long work as steps: generators that yield how far they are, and can be closed to cancel.

Owns the two ways of waiting that a host without threads of its own needs: one step at a time, so
that it can draw, or to the end. Must not know a host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Final, TypeVar

from kwaflux_core.errors import HostError
from kwaflux_core.hosting.work import Progress, Work

__all__ = ["drained", "followed", "told"]

_Step = TypeVar("_Step")
_End = TypeVar("_End")
_TICK_S: Final = 0.1
_NAMED: Final = 3


def followed(work: Work, *, what: str) -> Generator[str, None, Progress]:
    """Start a work and tell how far it is until it is over; closing this cancels it.

    Args:
        work: Not started yet.
        what: What the sentences begin with.

    Returns:
        The last progress; every frame has a result then.

    Raises:
        HostError: It could not go on, or frames failed; what is done stays done.
    """
    work.start()
    try:
        while not (now := work.snapshot()).is_over:
            yield f"{what}: {now.done} of {now.total} frames. {now.message}"
    finally:
        work.cancel()
    if now.state != "done":
        raise HostError(f"{what}: {now.message}", hint=now.hint)
    failed = [f"{n} ({now.frames[n].reason})" for n in now.in_state("failed")]
    if failed:
        raise HostError(
            f"{what}: {len(failed)} of {now.total} frames failed: {'; '.join(failed[:_NAMED])}",
            hint="the others are kept; run it again for those",
        )
    return now


def told(steps: Generator[float, None, _End], *, what: str) -> Generator[str, None, _End]:
    """Tell shares of 1 as per cent, and return what the steps return; closing this closes them."""
    try:
        while True:
            yield f"{what}, {100 * next(steps):.0f} %"
    except StopIteration as end:
        result: _End = end.value
        return result
    finally:
        steps.close()


def drained(
    steps: Generator[_Step, None, _End],
    *,
    say: Callable[[_Step], None] = lambda step: None,
    tick_s: float = _TICK_S,
) -> _End:
    """Take steps to their end, say each that is new, and return what they return.

    Whatever is raised meanwhile, Ctrl-C too, closes them.
    """
    last: _Step | None = None
    try:
        while True:
            step = next(steps)
            if step != last:
                say(step)
            last = step
            time.sleep(tick_s)
    except StopIteration as end:
        result: _End = end.value
        return result
    finally:
        steps.close()
