"""Slabs of shared memory: never overlapping, freed with the last view of their pixels."""

from __future__ import annotations

import gc
import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from kwaflux_core.errors import ResourceError
from kwaflux_core.transport.ring_pool import RingPool
from kwaflux_core.transport.shared_memory import (
    Ring,
    SlabAllocator,
    slab_planes,
)

_MIB = 1 << 20


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    made = Ring.create(tmp_path, "s1.0", 64 << 10)
    yield made
    made.remove()


# --- slabs ----------------------------------------------------------------------------------


class AllocatorMachine(RuleBasedStateMachine):
    """Allocate and release in any order; a model in this class says what must hold."""

    slabs: Bundle[tuple[int, int]] = Bundle("slabs")

    def __init__(self) -> None:
        super().__init__()
        self.allocator = SlabAllocator(1 << 16, alignment_bytes=64)
        self.held: dict[int, int] = {}

    @rule(target=slabs, length=st.integers(1, 1 << 14))
    def allocate(self, length: int) -> tuple[int, int]:
        offset = self.allocator.allocate(length)
        if offset is None:
            wanted = -(-length // 64) * 64
            assert all(end - start < wanted for start, end in self.allocator.holes)
            return (-1, 0)
        assert offset % 64 == 0
        assert offset + length <= 1 << 16
        for start, other in self.held.items():
            assert offset + length <= start or start + other <= offset
        self.held[offset] = length
        return (offset, length)

    @rule(slab=consumes(slabs))
    def release(self, slab: tuple[int, int]) -> None:
        if slab[1]:
            self.allocator.release(slab[0])
            del self.held[slab[0]]

    @invariant()
    def holes_and_slabs_fill_the_ring(self) -> None:
        holes = self.allocator.holes
        assert all(a[1] < b[0] for a, b in itertools.pairwise(holes))
        assert sum(end - start for start, end in holes) + self.allocator.used_bytes == 1 << 16
        if not self.held:
            assert holes == ((0, 1 << 16),)


TestAllocator = AllocatorMachine.TestCase
TestAllocator.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("alignment", [64, 4096])
def test_slabs_start_at_multiples_of_the_alignment(alignment: int) -> None:
    allocator = SlabAllocator(10 * 4096, alignment_bytes=alignment)
    assert [allocator.allocate(1) for _ in range(3)] == [0, alignment, 2 * alignment]


def test_a_slab_that_is_not_handed_out_cannot_be_released() -> None:
    allocator = SlabAllocator(1 << 16)
    offset = allocator.allocate(10)
    assert offset == 0
    with pytest.raises(ResourceError):
        allocator.release(4096)
    allocator.release(0)
    assert allocator.holes == ((0, 1 << 16),)
    with pytest.raises(ResourceError):
        allocator.release(0)


@pytest.mark.parametrize("length", [0, -1])
def test_a_slab_of_nothing_is_refused(length: int) -> None:
    with pytest.raises(ResourceError):
        SlabAllocator(4096).allocate(length)


@pytest.mark.parametrize("alignment", [0, -64, 48])
def test_an_odd_alignment_is_refused(alignment: int) -> None:
    with pytest.raises(ResourceError, match="power of two"):
        SlabAllocator(4096, alignment_bytes=alignment)


def test_many_threads_never_hold_the_same_bytes() -> None:
    allocator = SlabAllocator(64 * 64, alignment_bytes=64)
    owners = [0] * 64
    errors: list[str] = []

    def work(thread: int) -> None:
        rng = random.Random(thread)
        for _ in range(300):
            count = rng.randint(1, 9)
            offset = allocator.allocate(count * 64)
            if offset is None:
                continue
            mine = range(offset // 64, offset // 64 + count)
            for block in mine:
                if owners[block]:
                    errors.append(f"{owners[block]} and {thread} hold block {block}")
                owners[block] = thread
            for block in mine:
                owners[block] = 0
            allocator.release(offset)

    threads = [threading.Thread(target=work, args=(index + 1,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert errors == []
    assert allocator.holes == ((0, 64 * 64),)


def test_a_release_inside_a_garbage_collection_never_waits_for_the_lock() -> None:
    allocator = SlabAllocator(1 << 16)
    offset = allocator.allocate(1)
    assert offset is not None
    with allocator._lock:
        allocator.release(offset)
    assert allocator.holes == ((0, 1 << 16),)


def test_a_slab_is_freed_when_the_last_view_of_its_pixels_dies(ring: Ring) -> None:
    freed: list[str] = []
    planes = slab_planes(
        ring.view(4096, 2 * 3 * 4 * 4),
        shape=(2, 3, 4),
        dtype="f4",
        on_free=lambda: freed.append("x"),
    )
    red, crop = planes[0], planes[1, 1:, ::2]
    mirrored = crop[::-1]
    red[...] = 7.0
    del planes, red, crop
    gc.collect()
    assert freed == []
    assert mirrored.shape == (2, 2)
    del mirrored
    gc.collect()
    assert freed == ["x"]


def test_pixels_of_a_slab_are_the_rings_own_bytes(ring: Ring) -> None:
    planes = slab_planes(ring.view(0, 64), shape=(1, 2, 2), dtype="f2", on_free=lambda: None)
    planes[0, 1, 1] = 1.0
    assert bytes(ring.view(6, 2)) == np.float16(1.0).tobytes()
    assert planes.dtype == np.dtype("<f2")


# --- a session's rings ----------------------------------------------------------------------


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[RingPool]:
    made = RingPool(tmp_path, session="s7", limit_bytes=80 * _MIB)
    yield made
    made.close()


def test_slabs_of_one_request_do_not_overlap_and_lie_in_the_sessions_ring(pool: RingPool) -> None:
    first, second = pool.allocate((5000, 100))
    assert first.ring is second.ring
    assert first.ring.name == "s7.0"
    assert second.offset_bytes >= first.offset_bytes + 5000


def test_the_rings_grow_when_a_frame_needs_more_and_are_used_again(pool: RingPool) -> None:
    slabs = pool.allocate((20 * _MIB, 8 * _MIB))
    more = pool.allocate((20 * _MIB,))
    assert [ring.name for ring in pool.rings] == ["s7.0", "s7.1"]
    for slab in (*slabs, *more):
        slab.release()
        slab.release()
    assert pool.used_bytes == 0
    pool.allocate((30 * _MIB,))
    assert len(pool.rings) == 2


def test_a_session_never_maps_more_than_its_limit(pool: RingPool) -> None:
    held = pool.allocate((60 * _MIB,))
    with pytest.raises(ResourceError, match="more bytes"):
        pool.allocate((10 * _MIB, 30 * _MIB))
    assert pool.used_bytes == 60 * _MIB
    assert held[0].ring.size_bytes == 60 * _MIB


def test_rings_that_hold_nothing_make_room_for_a_larger_one(pool: RingPool) -> None:
    for slab in pool.allocate((40 * _MIB,)):
        slab.release()
    (large,) = pool.allocate((70 * _MIB,))
    assert [ring.name for ring in pool.rings] == ["s7.1"]
    assert large.ring.size_bytes == 70 * _MIB


def test_a_new_ring_has_room_for_what_is_likely_needed_next(pool: RingPool) -> None:
    pool.allocate((30 * _MIB,), likely_bytes=20 * _MIB)
    pool.allocate((20 * _MIB,))
    assert len(pool.rings) == 1


def test_without_room_for_the_likely_the_needed_is_made(
    pool: RingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Ring.create
    asked: list[int] = []

    def narrow(directory: Path, name: str, size_bytes: int) -> Ring:
        asked.append(size_bytes)
        if size_bytes > 34 * _MIB:
            raise ResourceError("full")
        return create(directory, name, size_bytes)

    monkeypatch.setattr(Ring, "create", narrow)
    pool.allocate((33 * _MIB,), likely_bytes=20 * _MIB)
    assert asked == [53 * _MIB, 33 * _MIB]


def test_pixels_that_were_given_outlive_the_pool(pool: RingPool) -> None:
    (slab,) = pool.allocate((64,))
    pixels = slab.give_planes(shape=(1, 4, 4))
    pixels[...] = 3.0
    pool.close()
    assert pixels.sum() == 48.0
    assert not slab.ring.path.exists()
    del pixels
    with pytest.raises(ResourceError, match="closed"):
        pool.allocate((64,))


def test_given_pixels_release_their_slab_and_lent_ones_do_not(pool: RingPool) -> None:
    (slab,) = pool.allocate((64,))
    lent = slab.planes(shape=(1, 4, 4))
    del lent
    assert pool.used_bytes == 4096
    given = slab.give_planes(shape=(1, 4, 4))
    assert pool.used_bytes == 4096
    del given
    assert pool.used_bytes == 0


def test_pixels_that_do_not_fit_into_the_slab_are_refused(pool: RingPool) -> None:
    (slab,) = pool.allocate((64,))
    with pytest.raises(ResourceError, match="do not fit into a slab"):
        slab.planes(shape=(1, 4, 5))
