"""A cache of the results of a flow's leading steps, which lives as long as their source plates.

A step that reads neighbors needs the result of the steps before it for each of them, and the next
frame of a shot needs most of the same again. An entry lives as long as something else holds every
source plate it was made of, which is as long as frames that read them are under way: the cache
empties itself with the job.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kwaflux_core.geometry import Box
from kwaflux_models.rendering.device import Precision
from kwaflux_models.rendering.effect_api import Measured
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.step_renderer import Plane, StepResult

__all__ = ["CachedStep", "Sources", "StepCache"]

Sources: TypeAlias = tuple[tuple[int, Plate], ...]
"""Frames' numbers and their plates, all that a result was made of."""
_Key: TypeAlias = tuple[str, Box, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class CachedStep:
    """Hold the result of a flow's first steps for one frame.

    Args:
        result: The result.
        measured: What the steps found out about the frame, under the number of the step, from 1.
        precisions: What the steps ran in, under the same.
    """

    result: StepResult
    measured: Mapping[int, Measured]
    precisions: Mapping[int, Precision]


@dataclass(frozen=True, slots=True)
class _Entry:
    cached: CachedStep
    sources: tuple[weakref.ref[Plane], ...] = field(repr=False)


class StepCache:
    """Cache results by the steps, the box and the plates that they were made of.

    Thread: any. Plates may be let go by another thread than the one that renders.
    """

    def __init__(self) -> None:
        self._entries: dict[_Key, _Entry] = {}
        # An array may die, and its callback run, while this very thread is inside.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, steps: str, box: Box, sources: Sources) -> CachedStep | None:
        """Return the cached result, or None."""
        with self._lock:
            key = _key(steps, box, sources)
            entry = self._entries.pop(key, None)
            if entry is None:
                return None
            self._entries[key] = entry  # the one used last stands last
            return entry.cached

    def put(
        self, steps: str, box: Box, sources: Sources, cached: CachedStep, *, limit: int
    ) -> None:
        """Cache a result; the least recently used of the same steps goes when there are too many.

        A result that is a source plate itself is not cached: it would keep itself alive.

        Args:
            steps: Names the leading steps, their params and their LoRAs.
            box: The pixels that were asked for.
            sources: What the result was made of.
            cached: The result.
            limit: How many of the same steps there may be.
        """
        own = {id(plane) for _, plate in sources for plane in plate.color}
        if any(id(plane) in own for plane in cached.result.plate.color):
            return
        key = _key(steps, box, sources)
        forget = self._forgetter(key)
        references = tuple(weakref.ref(plate.color[0], forget) for _, plate in sources)
        with self._lock:
            self._entries[key] = _Entry(cached, references)
            same = [other for other in self._entries if other[0] == steps]
            for other in same[: max(0, len(same) - limit)]:
                del self._entries[other]

    def clear(self) -> None:
        """Drop every entry, when memory is short."""
        with self._lock:
            self._entries.clear()

    def _forgetter(self, key: _Key) -> Callable[[weakref.ref[Plane]], None]:
        def forget(gone: weakref.ref[Plane]) -> None:
            with self._lock:
                entry = self._entries.get(key)
                # The address of what is gone may be another plate's by now.
                if entry is not None and any(gone is reference for reference in entry.sources):
                    del self._entries[key]

        return forget


def _key(steps: str, box: Box, sources: Sources) -> _Key:
    return steps, box, tuple((frame, id(plate.color[0])) for frame, plate in sources)
