"""A host's own render, run to its end; steps taken to their end."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.step_generators import drained, one_by_one, rendered


class Render:
    """A host's render that goes as it is told."""

    def __init__(self, *percents: float, why: str = "", starts: bool = True) -> None:
        self.left: Iterator[float] = iter(percents)
        self.now, self.why, self.starts, self.stops = 0.0, why, starts, 0

    def is_going(self) -> bool:
        now = next(self.left, None)
        self.now = self.now if now is None else now
        return now is not None

    def stop(self) -> None:
        self.stops += 1

    def steps(self, *, stall_s: float = 60.0) -> Generator[float, None, None]:
        return rendered(
            start=lambda: self.starts,
            is_going=self.is_going,
            status=lambda: (self.now, self.why),
            stop=self.stop,
            host="It",
            stall_s=stall_s,
        )


def test_a_render_tells_its_shares_and_is_not_stopped_at_its_end() -> None:
    render = Render(0, 40, 100)
    assert list(render.steps()) == [0, 0.4, 1]
    assert render.stops == 0


@pytest.mark.parametrize(
    ("render", "why", "stops"),
    [
        (Render(starts=False), "did not start", 1),
        (Render(0, 40), "failed: it ended at 40 %", 0),
        (Render(0, 100, why="disk full"), "failed: disk full", 0),
    ],
)
def test_a_render_that_fails_says_how(render: Render, why: str, stops: int) -> None:
    with pytest.raises(HostError, match=why):
        list(render.steps())
    assert render.stops == stops


def test_a_render_that_stands_still_or_is_closed_is_stopped() -> None:
    still = Render(*[40.0] * 9)
    with pytest.raises(HostError, match="stands still at 40 %"):
        list(still.steps(stall_s=-1))
    closed = Render(10, 20)
    steps = closed.steps()
    next(steps)
    steps.close()
    assert (still.stops, closed.stops) == (1, 1)


def test_one_that_fails_does_not_end_the_others_and_none_is_an_error() -> None:
    said: list[str] = []

    def do(number: int) -> Generator[str, None, int]:
        yield str(number)
        if number % 2:
            raise HostError(f"{number} is odd")
        return number

    assert drained(one_by_one([1, 2, 4], do, say=said.append), tick_s=0) == [2, 4]
    assert said == ["1 is odd"]
    with pytest.raises(HostError, match="1 is odd; 3 is odd"):
        drained(one_by_one([1, 3], do, say=said.append), tick_s=0)
    assert drained(one_by_one([], do, say=said.append), tick_s=0) == []
