"""Rows of the benchmark table, and timing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Row", "Taken", "medians", "timed"]


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one measurement.

    Args:
        name: What was measured.
        value: The number.
        unit: ``x`` for a ratio, else ``ms``, ``GB``, ``dB`` ...
        limit: Largest value that passes; None for no limit.
        detail: The reference of the ratio, and both times.
    """

    name: str
    value: float
    unit: str
    limit: float | None
    detail: str

    @property
    def is_kept(self) -> bool | None:
        """Whether the value is within the limit; None without a limit."""
        return None if self.limit is None else self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Taken:
    """Hold what a call took.

    Args:
        wall_s: Seconds on the clock.
        cpu_s: Seconds of CPU time, of all processes that were watched.
    """

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.3g} s ({self.cpu_s:.3g} CPU s)"


def timed(run: Callable[[], object], *, cpu: Callable[[], float] = time.process_time) -> Taken:
    """Return what one call took; ``cpu`` gives the CPU time that was used so far."""
    start_s, before_s = time.perf_counter(), cpu()
    run()
    return Taken(time.perf_counter() - start_s, cpu() - before_s)


def medians(
    runs: Sequence[Callable[[], object]],
    *,
    rounds: int,
    cpu: Callable[[], float] = time.process_time,
) -> list[Taken]:
    """Return the medians of several calls, measured alternately after one warm-up round.

    Alternately, because the speed of a shared machine drifts during a measurement.
    """
    for run in runs:
        run()
    taken: list[list[Taken]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, times in zip(runs, taken, strict=True):
            times.append(timed(run, cpu=cpu))
    return [
        Taken(
            statistics.median(each.wall_s for each in times),
            statistics.median(each.cpu_s for each in times),
        )
        for times in taken
    ]
