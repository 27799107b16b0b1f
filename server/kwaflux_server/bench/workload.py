"""How large a frame may be so that a row keeps to its time, and the CPU time of processes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kwaflux_models.rendering.local_renderer import LocalRenderer
from kwaflux_server.bench.fixtures import noisy_planes
from kwaflux_server.bench.rows import timed

__all__ = ["Cost", "cpu_clock", "measure_cost"]

_PROBE_PX = 192
_STEP_PX = 16
_LEAST_PX = 64
_STAT_UTIME, _STAT_STIME = 11, 12
"""Fields of ``/proc/<pid>/stat`` behind the name of the program."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Hold what a flow costs on this machine.

    Args:
        seconds_a_megapixel: On the clock, of one render in this process.
    """

    seconds_a_megapixel: float

    def fitting(self, width: int, height: int, *, renders: int, budget_s: float) -> tuple[int, int]:
        """Return the size of a frame of which so many renders take no longer than a budget.

        Args:
            width: The size that is wanted; the answer is at most this,
            height: of its shape, in steps of 16 pixels, and at least 64 a side.
            renders: How often it is rendered.
            budget_s: For all of them.
        """
        megapixels = budget_s / renders / self.seconds_a_megapixel
        share = min(1.0, math.sqrt(megapixels * 1e6 / (width * height)))
        return _stepped(width, share), _stepped(height, share)


def measure_cost(local: LocalRenderer, *, flow: str) -> Cost:
    """Return what a flow costs, by one small frame that is rendered twice."""
    planes = noisy_planes(_PROBE_PX, _PROBE_PX, count=3)
    local.render(flow, np.ascontiguousarray(planes[:, :_LEAST_PX, :_LEAST_PX]))
    taken = timed(lambda: local.render(flow, planes))
    return Cost(taken.wall_s / (_PROBE_PX**2 / 1e6))


def cpu_clock(pids: Iterable[int]) -> Callable[[], float]:
    """Return a clock of the CPU seconds that this process and others have used.

    Others are read on Linux alone; elsewhere, as for a process that has ended, they count as 0.
    """
    watched = tuple(pids)
    return lambda: time.process_time() + sum(_cpu_seconds(pid) for pid in watched)


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return 0.0
    ticks = int(fields[_STAT_UTIME]) + int(fields[_STAT_STIME])
    return ticks / os.sysconf("SC_CLK_TCK")


def _stepped(side_px: int, share: float) -> int:
    stepped = int(side_px * share) // _STEP_PX * _STEP_PX
    return side_px if share == 1.0 else max(stepped, min(_LEAST_PX, side_px))
