"""The allocator of slabs: byte ranges of a ring."""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from kwaflux_core.errors import ResourceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["SlabAllocator", "slab_planes"]


class SlabAllocator:
    """Allocate parts of ``size_bytes``, first fit, aligned, never overlapping.

    Args:
        size_bytes: Total size.
        alignment_bytes: A power of two; every slab starts at a multiple of it. The default is a
            page, so that no two slabs share one.

    Thread: any. ``release`` may run anywhere, even in a garbage collection that interrupts
    ``allocate`` in the same thread: it only queues the slab and never waits for the lock.
    """

    def __init__(self, size_bytes: int, *, alignment_bytes: int = 4096) -> None:
        if alignment_bytes < 1 or alignment_bytes & (alignment_bytes - 1):
            raise ResourceError(f"an alignment of {alignment_bytes} bytes is not a power of two")
        self._alignment_bytes = alignment_bytes
        self._size_bytes = size_bytes - size_bytes % alignment_bytes
        self._holes: list[tuple[int, int]] = [(0, self._size_bytes)] if self._size_bytes else []
        self._used: dict[int, int] = {}
        self._released: deque[int] = deque()
        self._lock = threading.Lock()

    @property
    def holes(self) -> tuple[tuple[int, int], ...]:
        """The free ranges ``(start, end)`` in order, none touching the next."""
        with self._lock:
            self._take_back()
            return tuple(self._holes)

    @property
    def used_bytes(self) -> int:
        """Allocated bytes, including alignment."""
        with self._lock:
            self._take_back()
            return sum(end - start for start, end in self._used.items())

    def allocate(self, length_bytes: int) -> int | None:
        """Return the offset of a slab of at least ``length_bytes``, or None if there is no room.

        Raises:
            ResourceError: The length is not positive.
        """
        if length_bytes <= 0:
            raise ResourceError(f"cannot allocate a slab of {length_bytes} bytes")
        needed_bytes = -(-length_bytes // self._alignment_bytes) * self._alignment_bytes
        with self._lock:
            self._take_back()
            for index, (start, end) in enumerate(self._holes):
                if end - start >= needed_bytes:
                    rest = [(start + needed_bytes, end)] if end - start > needed_bytes else []
                    self._holes[index : index + 1] = rest
                    self._used[start] = start + needed_bytes
                    return start
        return None

    def release(self, offset_bytes: int) -> None:
        """Release a slab.

        Raises:
            ResourceError: No allocated slab starts there.
        """
        if offset_bytes not in self._used:
            raise ResourceError(f"no slab is allocated at {offset_bytes}")
        self._released.append(offset_bytes)

    def _take_back(self) -> None:
        """Turn the released slabs into free ranges, merged with adjacent ones."""
        while self._released:
            start = self._released.popleft()
            end = self._used.pop(start, None)
            if end is None:
                continue
            index = bisect_left(self._holes, (start, end))
            first, last = index, index
            if index > 0 and self._holes[index - 1][1] == start:
                first, start = index - 1, self._holes[index - 1][0]
            if index < len(self._holes) and self._holes[index][0] == end:
                last, end = index + 1, self._holes[index][1]
            self._holes[first:last] = [(start, end)]


def slab_planes(
    view: memoryview,
    *,
    shape: tuple[int, int, int],
    dtype: str,
    on_free: Callable[[], None],
) -> npt.NDArray[np.floating]:
    """Return the pixels of a slab as one array, not copied.

    Args:
        view: The slab's bytes; at least as many as the shape needs.
        shape: ``(C, H, W)``.
        dtype: ``f4`` or ``f2``, little-endian.
        on_free: Called once, when the array and every view of it are gone; from any thread,
            possibly in a garbage collection, so it must not wait for a lock.
    """
    import numpy as np

    count = shape[0] * shape[1] * shape[2]
    flat: npt.NDArray[np.floating] = np.frombuffer(view, dtype=f"<{dtype}", count=count)
    # `flat` is the base of all its views, so it exists as long as they do.
    weakref.finalize(flat, on_free).atexit = False
    return flat.reshape(shape)
