"""The rules of the scheduler, one by one."""

from __future__ import annotations

import pytest

from kwaflux_core.errors import SettingsError
from kwaflux_core.protocol.messages import Urgency
from kwaflux_server.scheduler.events import Task
from kwaflux_server.scheduler.policy import (
    ATTEMPTS,
    SchedulerLimits,
    has_room,
    may_retry,
    order,
    preference,
    refusal,
)


def task(
    urgency: Urgency = "batch", *, attempts: int = 0, job: str = "", bytes_held: int = 0
) -> Task:
    return Task(1, "ann", 1, urgency, attempts=attempts, job=job, bytes_held=bytes_held)


LOOK, FRAME = task("interactive"), task("batch")
SUSPECT_LOOK, SUSPECT_FRAME = task("interactive", attempts=1), task("sequence", attempts=1)


# --- order ----------------------------------------------------------------------------------


def test_the_class_decides_before_all_else() -> None:
    best_of_batch = order(task("batch", attempts=1), turn=0, serial=0)
    worst_of_sequence = order(task("sequence"), turn=99, serial=99)
    worst_of_interactive = order(task("interactive"), turn=99, serial=99)
    assert worst_of_interactive < worst_of_sequence < best_of_batch


def test_what_a_broken_worker_gave_back_goes_before_the_rest_of_its_class() -> None:
    assert order(SUSPECT_LOOK, turn=9, serial=9) < order(LOOK, turn=0, serial=0)


def test_who_was_served_longest_ago_goes_before_who_came_first() -> None:
    assert order(FRAME, turn=1, serial=9) < order(FRAME, turn=2, serial=1)


def test_one_clients_tasks_go_in_the_order_they_came() -> None:
    assert order(FRAME, turn=1, serial=1) < order(FRAME, turn=1, serial=2)


# --- room -----------------------------------------------------------------------------------


@pytest.mark.parametrize("newcomer", [LOOK, FRAME, SUSPECT_LOOK, SUSPECT_FRAME])
def test_an_empty_worker_has_room_for_anything(newcomer: Task) -> None:
    assert has_room(newcomer, held=[], slots=1)


@pytest.mark.parametrize(
    ("newcomer", "held", "expected"),
    [
        (FRAME, [FRAME], True),
        (FRAME, [FRAME, FRAME], False),
        (FRAME, [LOOK, FRAME], False),
        (LOOK, [FRAME, FRAME], True),
        (LOOK, [LOOK, LOOK], True),
        (LOOK, [FRAME, FRAME, LOOK], False),
        (SUSPECT_LOOK, [FRAME, FRAME], True),
        (SUSPECT_LOOK, [SUSPECT_FRAME], False),
        (SUSPECT_LOOK, [SUSPECT_LOOK], False),
        (SUSPECT_FRAME, [FRAME], False),
        (SUSPECT_FRAME, [LOOK], True),
        (SUSPECT_FRAME, [LOOK, LOOK], False),
        (SUSPECT_FRAME, [SUSPECT_LOOK], False),
        (FRAME, [SUSPECT_FRAME], False),
        (FRAME, [SUSPECT_LOOK], False),
        (LOOK, [SUSPECT_FRAME], True),
    ],
)
def test_room_on_a_worker_of_two_slots(newcomer: Task, held: list[Task], expected: bool) -> None:
    assert has_room(newcomer, held=held, slots=2) is expected


# --- preference -----------------------------------------------------------------------------


def test_a_worker_that_did_not_break_is_better_than_a_warm_one_is_better_than_an_idle_one() -> None:
    frame = Task(1, "ann", 1, "batch", flow="denoise")
    cold_idle = preference(frame, flows=("upscale",), held_count=0, broke_under_it=False)
    warm_busy = preference(frame, flows=("denoise",), held_count=3, broke_under_it=False)
    warm_idle = preference(frame, flows=("denoise",), held_count=0, broke_under_it=False)
    warm_broken = preference(frame, flows=("denoise",), held_count=0, broke_under_it=True)
    assert warm_idle < warm_busy < cold_idle < warm_broken


# --- retries --------------------------------------------------------------------------------


def test_a_task_is_tried_twice_and_not_three_times() -> None:
    assert ATTEMPTS == 2
    assert may_retry(task(attempts=1))
    assert not may_retry(task(attempts=2))


# --- limits ---------------------------------------------------------------------------------


def test_a_client_may_have_as_many_requests_as_the_limit_and_no_more() -> None:
    limits = SchedulerLimits(client_requests=2)
    assert refusal(LOOK, in_flight=[LOOK], limits=limits) is None
    error = refusal(LOOK, in_flight=[LOOK, LOOK], limits=limits)
    assert error is not None
    assert error.retryable
    assert error.hint


def test_frames_of_jobs_neither_count_as_requests_nor_are_refused_for_them() -> None:
    limits = SchedulerLimits(client_requests=1)
    frame = task(job="night")
    assert refusal(LOOK, in_flight=[frame] * 50, limits=limits) is None
    assert refusal(frame, in_flight=[LOOK], limits=limits) is None


@pytest.mark.parametrize(
    ("held", "asked", "is_let_in"),
    [
        (0, 1000, True),
        (60, 40, True),
        (60, 41, False),
        (1000, 0, True),
        (1000, 1, False),
    ],
)
def test_bytes_in_flight_are_bounded(held: int, asked: int, is_let_in: bool) -> None:
    error = refusal(
        task(bytes_held=asked),
        in_flight=[task(bytes_held=held)],
        limits=SchedulerLimits(client_bytes=100),
    )
    assert (error is None) is is_let_in


@pytest.mark.parametrize("name", ["client_requests", "client_bytes", "revoke_patience_s"])
def test_a_limit_that_would_let_nothing_in_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        SchedulerLimits(**{name: 0})
