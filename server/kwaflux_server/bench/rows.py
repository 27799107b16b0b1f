"""Rows of the benchmark table, and timing."""

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


def medians(runs: Sequence[Callable[[], object]], *, rounds: int) -> list[float]:
    """Return the median seconds of several calls, measured alternately after one warm-up round.

    Alternately, because the speed of a shared machine drifts during a measurement.
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
