"""Long work as generators that yield progress and can be closed to cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_hosting.batch.range_render import Progress, RangeRender

__all__ = ["drained", "followed", "one_by_one", "rendered", "told"]

_Item = TypeVar("_Item")
_Step = TypeVar("_Step")
_End = TypeVar("_End")
_TICK_S: Final = 0.1
_NAMED: Final = 3


def followed(work: RangeRender, *, what: str) -> Generator[str, None, Progress]:
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


def rendered(
    *,
    start: Callable[[], bool],
    is_going: Callable[[], bool],
    status: Callable[[], tuple[float, str]],
    stop: Callable[[], object],
    host: str,
    stall_s: float,
) -> Generator[float, None, None]:
    """Run a host's own render to its end; tell how far it is, as a share of 1.

    Whatever ends this before the render has ended stops the render.

    Args:
        start: Starts it; returns whether it did.
        is_going: Whether it still goes on.
        status: How many per cent are done, and what is wrong, if anything.
        stop: Stops it.
        host: Who renders, for the sentences.
        stall_s: How long it may stand still.

    Raises:
        HostError: It did not start, stands still, or failed.
    """
    is_over = False
    try:
        if not start():
            raise HostError(f"{host} did not start to render", hint="is another render waiting?")
        last, changed_s = -1.0, time.monotonic()
        while is_going():
            now, _ = status()
            if now != last:
                last, changed_s = now, time.monotonic()
            if time.monotonic() - changed_s > stall_s:
                raise HostError(f"{host}'s render stands still at {last:.0f} %")
            yield last / 100
        is_over = True
        percent, why = status()
        if why or percent < 100:
            why = why or f"it ended at {percent:.0f} %"
            raise HostError(f"{host}'s render failed: {why}", hint="is the media online?")
    finally:
        if not is_over:
            stop()


def one_by_one(
    items: Iterable[_Item],
    do: Callable[[_Item], Generator[_Step, None, _End]],
    *,
    say: Callable[[str], None],
) -> Generator[_Step, None, list[_End]]:
    """Do the same to each item; one that is refused or fails is said, and does not end the others.

    Returns:
        What came of those that did not fail.

    Raises:
        HostError: All failed; the message says why.
    """
    done: list[_End] = []
    problems: list[str] = []
    for item in items:
        try:
            done.append((yield from do(item)))
        except KwafluxError as error:
            problems.append(str(error))
            say(str(error))
    if problems and not done:
        raise HostError("; ".join(problems), hint="nothing was changed")
    return done


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
