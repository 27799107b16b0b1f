"""The scheduler when something breaks: workers, revokes, limits, words out of place."""

from __future__ import annotations

import itertools

import pytest

from kwaflux_server.scheduler.events import (
    Assign,
    CancelJob,
    CancelTask,
    ClientJoined,
    ClientLeft,
    Event,
    Reject,
    Release,
    RestartWorker,
    Task,
    TaskArrived,
    TaskFailed,
    TaskFinished,
    TaskStarted,
    TaskUndelivered,
    Tick,
    WorkerJoined,
    WorkerLost,
)
from kwaflux_testing.scheduler_desk import Desk, assigned, batch, error_of, look, outcomes

# --- workers that go away -------------------------------------------------------------------


def test_what_a_lost_worker_held_is_tried_once_more_on_a_fresh_one() -> None:
    desk = Desk()
    desk.say(look(1))
    assert desk.say(WorkerLost("w", "signal 9")) == []
    assert desk.say(WorkerJoined("w", 1)) == [Assign(1, "w")]
    assert desk.say(TaskFinished(1, "w")) == [Release(1, "done")]


def test_a_task_that_loses_two_workers_fails() -> None:
    desk = Desk()
    desk.say(look(1), WorkerLost("w", "signal 9"), WorkerJoined("x", 1))
    actions = desk.say(WorkerLost("x", "signal 11"))
    assert outcomes(actions) == [(1, "failed")]
    error = error_of(actions)
    assert (error.code, error.retryable) == ("worker", True)
    assert error.fields == {"worker": "x"}
    assert "signal 11" in error.message
    assert desk.say(WorkerJoined("y", 1)) == []


def test_the_workers_own_fault_is_retried_once_like_a_lost_worker() -> None:
    desk = Desk()
    desk.say(look(1))
    assert desk.say(TaskFailed(1, "w", "worker", True)) == [Assign(1, "w")]
    assert desk.say(TaskFailed(1, "w", "worker", True)) == [Release(1, "failed")]


def test_a_retry_prefers_a_worker_that_did_not_break_under_it() -> None:
    desk = Desk(workers="vw", slots=2)
    desk.say(TaskArrived(Task(1, "ann", 1, "interactive", flow="denoise")))
    desk.say(batch(2))
    assert desk.say(TaskFailed(1, "v", "worker", True)) == [Assign(1, "w")]


def test_what_is_retried_goes_before_the_rest_of_its_class_but_not_before_a_higher_one() -> None:
    desk = Desk()
    desk.say(batch(1), batch(2), batch(3, "bob"))
    desk.say(WorkerLost("w", "gone"), look(4))
    assert assigned(desk.say(WorkerJoined("w", 1))) == [4]
    assert assigned(desk.say(TaskFinished(4, "w"))) == [1]


def test_a_frame_that_kills_workers_fails_alone() -> None:
    desk = Desk(slots=3)
    desk.say(batch(1), batch(2), batch(3), batch(4))  # frame 2 kills every worker that reads it
    desk.say(WorkerLost("w", "signal 11"))
    done, failed = [], []
    for number in range(20):
        actions = desk.say(WorkerJoined(f"w{number}", 3))
        while held := assigned(actions):
            if 2 in held:
                failed += outcomes(desk.say(WorkerLost(f"w{number}", "signal 11")))
                break
            actions = list(
                itertools.chain.from_iterable(
                    desk.say(TaskFinished(task_id, f"w{number}")) for task_id in held
                )
            )
            done += [task_id for task_id, _ in outcomes(actions)]
        else:
            break
    assert failed == [(2, "failed")]
    assert done == [1, 3, 4]


def test_a_look_passes_a_frame_that_is_retried_alone() -> None:
    desk = Desk(slots=2)
    desk.say(batch(1), batch(2), WorkerLost("w", "gone"))
    assert assigned(desk.say(WorkerJoined("w", 2))) == [1]
    assert assigned(desk.say(look(3))) == [3]


def test_a_lost_workers_revoked_task_ends_as_it_was_to_end() -> None:
    desk = Desk()
    desk.say(look(1), CancelTask("ann", 1))
    assert outcomes(desk.say(WorkerLost("w", "signal 9"))) == [(1, "cancelled")]


def test_a_lost_workers_late_answers_are_ignored() -> None:
    desk = Desk()
    desk.say(look(1), WorkerLost("w", "silent"), WorkerJoined("x", 1))
    assert desk.say(TaskFinished(1, "w"), TaskFailed(1, "w", "worker", True)) == []
    assert desk.say(TaskFinished(1, "x")) == [Release(1, "done")]


def test_a_task_that_could_not_be_sent_waits_again_and_its_worker_is_restarted() -> None:
    desk = Desk()
    assert assigned(desk.say(look(1))) == [1]
    assert desk.say(TaskUndelivered(1, "w")) == [RestartWorker("w")]
    assert desk.say(TaskUndelivered(1, "w")) == []
    assert assigned(desk.say(WorkerLost("w", "killed"), WorkerJoined("x", 1))) == [1]
    # It never reached the first worker: the second may still break under it once.
    assert assigned(desk.say(WorkerLost("x", "signal 9"), WorkerJoined("y", 1))) == [1]


def test_a_task_that_was_revoked_and_could_not_be_sent_ends_as_it_was_to_end() -> None:
    desk = Desk()
    desk.say(look(1), CancelTask("ann", 1))
    assert outcomes(desk.say(TaskUndelivered(1, "w"))) == [(1, "cancelled")]


# --- workers that do not listen -------------------------------------------------------------


def test_a_worker_that_ignores_a_revoke_is_restarted_once_patience_ends() -> None:
    desk = Desk(revoke_patience_s=30.0)
    desk.say(look(1))
    desk.say(CancelTask("ann", 1), at_s=100.0)
    assert desk.say(Tick(), at_s=129.9) == []
    assert desk.say(Tick(), at_s=130.0) == [RestartWorker("w")]
    assert desk.say(Tick(), at_s=200.0) == []
    assert outcomes(desk.say(WorkerLost("w", "restarted"), at_s=201.0)) == [(1, "cancelled")]


def test_patience_is_counted_from_the_first_revoke() -> None:
    desk = Desk(revoke_patience_s=30.0)
    desk.say(look(1), CancelTask("ann", 1))
    desk.say(ClientLeft("ann"), at_s=29.0)
    assert desk.say(Tick(), at_s=30.0) == [RestartWorker("w")]


def test_a_worker_that_answered_a_revoke_is_left_alone() -> None:
    desk = Desk()
    desk.say(look(1), CancelTask("ann", 1), TaskFailed(1, "w", "cancelled", False))
    assert desk.say(Tick(), at_s=1000.0) == []


def test_a_long_render_that_nobody_revoked_is_left_alone() -> None:
    desk = Desk()
    desk.say(look(1), TaskStarted(1, "w"))
    assert desk.say(Tick(), at_s=10_000.0) == []


def test_a_worker_that_is_being_restarted_gets_nothing() -> None:
    desk = Desk()
    desk.say(look(1), CancelTask("ann", 1))
    desk.say(Tick(), at_s=30.0)
    assert desk.say(look(2), at_s=31.0) == []


def test_a_restart_for_a_revoked_task_costs_the_others_no_attempt() -> None:
    desk = Desk(slots=2)
    desk.say(batch(1))
    for task_id in (10, 11, 12):
        desk.say(look(task_id), CancelTask("ann", task_id))
        desk.say(Tick(), at_s=30.0 * task_id)
        actions = desk.say(WorkerLost("w", "restarted"))
        assert outcomes(actions) == [(task_id, "cancelled")]
        assert desk.say(WorkerJoined("w", 2)) == [Assign(1, "w")]


# --- what comes late, twice or from nowhere -------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        ClientJoined("ann"),
        ClientLeft("carol"),
        look(1),
        CancelTask("ann", 99),
        CancelJob("ann", "none"),
        WorkerJoined("w", 4, "cuda:0"),
        WorkerLost("z", "gone"),
        TaskStarted(99, "w"),
        TaskStarted(1, "z"),
        TaskFinished(99, "w"),
        TaskFinished(1, "z"),
        TaskFinished(2, "w"),
        TaskFinished(2, ""),
        TaskFailed(99, "w", "worker", True),
        TaskFailed(1, "z", "worker", True),
        TaskFailed(2, "", "image", False),
        Tick(),
    ],
    ids=repr,
)
def test_an_event_about_nothing_changes_nothing(event: Event) -> None:
    desk = Desk()
    desk.say(look(1), batch(2), batch(3))
    before = desk.scheduler.snapshot()
    assert desk.say(event) == []
    assert desk.scheduler.snapshot() == before


def test_a_task_that_finished_does_not_finish_again() -> None:
    desk = Desk()
    desk.say(look(1), TaskFinished(1, "w"))
    assert desk.say(TaskFinished(1, "w"), TaskFailed(1, "w", "worker", True)) == []
    assert desk.scheduler.snapshot().done == 1


# --- the status page ------------------------------------------------------------------------


def test_a_snapshot_counts_what_is_and_what_was() -> None:
    desk = Desk(slots=2, client_requests=2)
    desk.say(batch(1), batch(2), batch(3), look(4), TaskStarted(4, "w"))
    counts = desk.scheduler.snapshot()
    assert (counts.waiting, counts.running) == (1, 3)
    desk.say(TaskFinished(4, "w"), TaskFailed(1, "w", "image", False), look(5), look(6), look(7))
    desk.say(CancelTask("ann", 6), ClientLeft("ann"), TaskFinished(2, "w"))
    counts = desk.scheduler.snapshot()
    assert (counts.done, counts.failed) == (2, 1)
    assert (counts.waiting, counts.running) == (0, 2)
    desk.say(WorkerLost("w", "gone"))
    assert desk.scheduler.snapshot().running == 0


# --- limits ---------------------------------------------------------------------------------


def test_more_requests_than_the_limit_are_rejected() -> None:
    desk = Desk(client_requests=2)
    desk.say(look(1), look(2))
    (reject,) = desk.say(look(3))
    assert isinstance(reject, Reject)
    assert (reject.task_id, reject.code) == (3, "too_many_requests")
    assert "'ann' has 2 requests" in reject.message
    assert "job" in reject.hint
    desk.say(TaskFinished(1, "w"))
    actions = desk.say(look(4, "bob"), look(5))
    assert not any(isinstance(each, Reject) for each in actions)


def test_the_frames_of_a_job_do_not_count_as_requests() -> None:
    desk = Desk(client_requests=1)
    actions = desk.say(look(1), *(batch(task_id) for task_id in range(2, 30)))
    assert not any(isinstance(each, Reject) for each in actions)


def test_more_bytes_than_the_limit_are_rejected() -> None:
    desk = Desk(client_bytes=100)
    desk.say(look(1, bytes_held=60))
    (reject,) = desk.say(look(2, bytes_held=41))
    assert isinstance(reject, Reject)
    assert reject.code == "too_many_requests"
    assert "60 bytes" in reject.message
    assert desk.say(look(3, bytes_held=40)) == [Assign(3, "w")]


def test_one_task_is_let_in_whatever_its_size() -> None:
    desk = Desk(client_bytes=100)
    assert desk.say(look(1, bytes_held=1000)) == [Assign(1, "w")]


def test_a_task_without_pixels_is_let_in_beside_one_that_fills_the_limit() -> None:
    desk = Desk(slots=2, client_bytes=100)
    desk.say(look(1, bytes_held=1000))
    assert desk.say(batch(2)) == [Assign(2, "w")]


def test_a_revoked_look_holds_its_bytes_until_the_worker_let_go_of_it() -> None:
    desk = Desk(client_bytes=100)
    desk.say(look(1, node="n", bytes_held=60), look(2, node="n", bytes_held=60))
    (reject,) = desk.say(look(3, node="n", bytes_held=60))
    assert isinstance(reject, Reject)
    desk.say(TaskFailed(1, "w", "cancelled", False))
    assert Assign(4, "w") in desk.say(look(4, node="n", bytes_held=60))


def test_a_replaced_look_makes_room_for_its_successor() -> None:
    desk = Desk(workers="", client_requests=1, client_bytes=100)
    desk.say(look(1, node="n", bytes_held=100))
    assert outcomes(desk.say(look(2, node="n", bytes_held=100))) == [(1, "superseded")]


def test_a_look_that_is_rejected_replaces_nothing() -> None:
    desk = Desk(workers="", client_bytes=100)
    desk.say(look(1, node="n", bytes_held=10), look(2, bytes_held=90))
    (reject,) = desk.say(look(3, node="n", bytes_held=50))
    assert isinstance(reject, Reject)
    assert assigned(desk.say(WorkerJoined("w", 2))) == [1, 2]
