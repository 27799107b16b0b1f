"""One line of the bench's table, and how times are taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Row", "medians"]


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one measurement.

    Args:
        name: What was measured.
        value: The number.
        unit: ``x`` for a ratio, else ``ms``, ``GB``, ``dB`` ...
        limit: What it may be at most; None where there is no promise.
        detail: What it was measured against, with the seconds behind the ratio.
    """

    name: str
    value: float
    unit: str
    limit: float | None
    detail: str

    @property
    def is_kept(self) -> bool | None:
        """Whether the promise is kept; None where there is none."""
        return None if self.limit is None else self.value <= self.limit


def medians(runs: Sequence[Callable[[], object]], *, rounds: int) -> list[float]:
    """Return the median seconds of several calls, measured in turns after one warm round.

    Turns, because a shared machine changes its speed while it measures.
    """
    for run in runs:
        run()
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, times in zip(runs, taken, strict=True):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]
