"""Result planes that are used again."""

from __future__ import annotations

import numpy as np

from kwaflux_models.rendering.plane_pool import PlanePool, Planes


def _address(planes: Planes) -> int:
    return planes[0].ctypes.data


def test_planes_that_were_given_back_are_lent_again() -> None:
    pool = PlanePool()
    first = pool.take(4, 6)
    assert [plane.shape for plane in first] == [(4, 6)] * 3
    assert all(plane.dtype == np.float32 for plane in first)
    address = _address(first)
    pool.give_back(first)
    assert _address(pool.take(4, 6)) == address


def test_two_that_are_out_at_a_time_are_not_the_same_memory() -> None:
    pool = PlanePool()
    first, second = pool.take(4, 6), pool.take(4, 6)
    for plane in first:
        plane[:] = 1
    for plane in second:
        plane[:] = 2
    assert all((plane == 1).all() for plane in first)


def test_idle_planes_of_another_size_are_let_go_so_that_memory_does_not_grow() -> None:
    pool = PlanePool()
    for size in (4, 8, 16, 32):
        planes = pool.take(size, size)
        assert planes[0].shape == (size, size)
        pool.give_back(planes)
        assert len(pool._idle) == 1


def test_no_more_are_kept_idle_than_was_said() -> None:
    pool = PlanePool(idle_max=2)
    lent = [pool.take(4, 6) for _ in range(5)]
    for planes in lent:
        pool.give_back(planes)
    assert len(pool._idle) == 2


def test_planes_of_somebody_else_are_not_taken() -> None:
    pool = PlanePool()
    plane = np.zeros((4, 6), np.float32)
    pool.give_back((plane, plane, plane))
    stack = np.zeros((4, 4, 6), np.float32)
    pool.give_back((stack[0], stack[1], stack[2]))
    assert len(pool._idle) == 0
