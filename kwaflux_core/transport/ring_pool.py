"""The pool of a client's rings, which grows with the size of its frames."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from kwaflux_core.errors import ResourceError
from kwaflux_core.transport.shared_memory import Ring, ring_name
from kwaflux_core.transport.slab_allocator import SlabAllocator, slab_planes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["RingPool", "Slab"]

_MIN_RING_BYTES = 32 << 20
_ALIGNMENT_BYTES = 4096


class Slab:
    """Bytes of a ring, held until they are released or owned by an array.

    Thread: any.
    """

    def __init__(
        self, ring: Ring, allocator: SlabAllocator, *, offset_bytes: int, length_bytes: int
    ) -> None:
        self.ring = ring
        self.offset_bytes = offset_bytes
        self.length_bytes = length_bytes
        self._allocator = allocator
        self._is_held = True

    def release(self) -> None:
        """Release the bytes. Idempotent; never waits."""
        if self._is_held:
            self._is_held = False
            with contextlib.suppress(ResourceError):
                self._allocator.release(self.offset_bytes)

    def planes(self, *, shape: tuple[int, int, int], dtype: str = "f4") -> npt.NDArray[np.floating]:
        """Return the slab's start as an array ``(C, H, W)``, not copied; the slab stays held."""
        return slab_planes(self._view(shape, dtype), shape=shape, dtype=dtype, on_free=_nothing)

    def give_planes(
        self, *, shape: tuple[int, int, int], dtype: str = "f4"
    ) -> npt.NDArray[np.floating]:
        """Return the same array; the slab is released with the last view of it."""
        view = self._view(shape, dtype)
        return slab_planes(view, shape=shape, dtype=dtype, on_free=self.release)

    def _view(self, shape: tuple[int, int, int], dtype: str) -> memoryview:
        needed = shape[0] * shape[1] * shape[2] * int(dtype[1])
        if needed > self.length_bytes:
            raise ResourceError(f"{needed} bytes do not fit into a slab of {self.length_bytes}")
        return self.ring.view(self.offset_bytes, needed)


def _nothing() -> None:
    """Release a slab when an array of it is gone."""


class RingPool:
    """Allocate slabs in a session's rings, and make another ring when they are full.

    Args:
        directory: The server's ring directory.
        session: The session's id; ring names start with it.
        limit_bytes: Largest total size of the session's rings.

    Thread: any.
    """

    def __init__(self, directory: Path, *, session: str, limit_bytes: int) -> None:
        self._directory = directory
        self._session = session
        self._limit_bytes = limit_bytes
        self._rings: list[tuple[Ring, SlabAllocator]] = []
        self._made = 0
        self._is_closed = False
        self._lock = threading.Lock()

    def allocate(self, lengths_bytes: tuple[int, ...], *, likely_bytes: int = 0) -> list[Slab]:
        """Return one slab for each length, in one or several rings.

        Args:
            lengths_bytes: The lengths.
            likely_bytes: Bytes likely needed in addition (a result still in use while the next
                frame is rendered); a new ring is made larger by it if possible.

        Raises:
            ResourceError: The rings are full, and there is no room for another.
        """
        slabs: list[Slab] = []
        try:
            for index, length_bytes in enumerate(lengths_bytes):
                rest_bytes = sum(_aligned(length) for length in lengths_bytes[index:])
                slabs.append(self._allocate_one(length_bytes, rest_bytes, likely_bytes))
        except ResourceError:
            for slab in slabs:
                slab.release()
            raise
        return slabs

    def close(self) -> None:
        """Remove all rings. Arrays of their slabs keep their pixels."""
        with self._lock:
            self._is_closed = True
            rings, self._rings = self._rings, []
        for ring, _ in rings:
            ring.remove()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The rings, oldest first."""
        return tuple(ring for ring, _ in self._rings)

    @property
    def used_bytes(self) -> int:
        """Bytes of the rings that are allocated."""
        return sum(allocator.used_bytes for _, allocator in self._rings)

    def _allocate_one(self, length_bytes: int, rest_bytes: int, likely_bytes: int) -> Slab:
        with self._lock:
            if self._is_closed:
                raise ResourceError("the session's rings are closed")
            for ring, allocator in self._rings:
                offset = allocator.allocate(length_bytes)
                if offset is not None:
                    return Slab(ring, allocator, offset_bytes=offset, length_bytes=length_bytes)
            ring, allocator = self._grow(rest_bytes, likely_bytes)
            offset = allocator.allocate(length_bytes)
            if offset is None:
                raise ResourceError(f"a new ring has no room for {length_bytes} bytes")
            return Slab(ring, allocator, offset_bytes=offset, length_bytes=length_bytes)

    def _grow(self, needed_bytes: int, likely_bytes: int) -> tuple[Ring, SlabAllocator]:
        left_bytes = self._left_bytes()
        if needed_bytes > left_bytes:
            self._drop_idle_rings()
            left_bytes = self._left_bytes()
        if needed_bytes > left_bytes:
            raise ResourceError(
                f"the session may map {left_bytes} more bytes, {needed_bytes} are needed",
                needed_bytes=needed_bytes,
            )
        wanted_bytes = min(max(needed_bytes + _aligned(likely_bytes), _MIN_RING_BYTES), left_bytes)
        try:
            ring = self._make(wanted_bytes)
        except ResourceError:
            ring = self._make(needed_bytes)
        self._rings.append((ring, SlabAllocator(ring.size_bytes, alignment_bytes=_ALIGNMENT_BYTES)))
        return self._rings[-1]

    def _left_bytes(self) -> int:
        return self._limit_bytes - sum(ring.size_bytes for ring, _ in self._rings)

    def _drop_idle_rings(self) -> None:
        """Remove rings without slabs: they are too small for the current frames."""
        for ring, allocator in list(self._rings):
            if not allocator.used_bytes:
                self._rings.remove((ring, allocator))
                ring.remove()

    def _make(self, size_bytes: int) -> Ring:
        ring = Ring.create(self._directory, ring_name(self._session, self._made), size_bytes)
        self._made += 1
        return ring


def _aligned(length_bytes: int) -> int:
    return -(-length_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
