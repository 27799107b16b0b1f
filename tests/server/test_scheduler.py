"""The scheduler, as lists of events against lists of actions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from kwaflux_core.errors import SettingsError
from kwaflux_core.protocol.messages import Failed, Urgency
from kwaflux_server.scheduler.policy import SchedulerLimits
from kwaflux_server.scheduler.state import Scheduler
from kwaflux_server.scheduler.vocabulary import (
    Action,
    Assign,
    CancelJob,
    CancelTask,
    ClientJoined,
    ClientLeft,
    Event,
    Reject,
    Release,
    RestartWorker,
    Revoke,
    Task,
    TaskArrived,
    TaskFailed,
    TaskFinished,
    TaskStarted,
    Tick,
    WorkerJoined,
    WorkerLoad,
    WorkerLost,
)


class Desk:
    """A scheduler with clients ``ann`` and ``bob``, and one worker ``w`` unless told otherwise."""

    def __init__(self, *, slots: int = 1, workers: str = "w", **limits: float) -> None:
        self.scheduler = Scheduler(replace(SchedulerLimits(), **limits))  # type: ignore[arg-type]
        self.say(ClientJoined("ann"), ClientJoined("bob"))
        self.say(*(WorkerJoined(worker, slots, "cpu") for worker in workers))

    def say(self, *events: Event, at_s: float = 0.0) -> list[Action]:
        """Return the actions of all these events in order."""
        handled = (self.scheduler.handle(event, now_s=at_s) for event in events)
        return list(itertools.chain.from_iterable(handled))


def batch(task_id: int, client: str = "ann", *, job: str = "job", flow: str = "") -> TaskArrived:
    return TaskArrived(Task(task_id, client, 1000, "batch", job=job, flow=flow))


def look(task_id: int, client: str = "ann", *, node: str = "", bytes_held: int = 0) -> TaskArrived:
    return TaskArrived(
        Task(task_id, client, task_id, "interactive", node=node, bytes_held=bytes_held)
    )


def outcomes(actions: list[Action]) -> list[tuple[int, str]]:
    return [(each.task_id, each.outcome) for each in actions if isinstance(each, Release)]


def assigned(actions: list[Action]) -> list[int]:
    return [each.task_id for each in actions if isinstance(each, Assign)]


def error_of(actions: list[Action]) -> Failed:
    (release,) = (each for each in actions if isinstance(each, Release))
    assert release.error is not None
    return release.error


# --- the plain road -------------------------------------------------------------------------


def test_a_task_is_assigned_started_finished_and_released() -> None:
    desk = Desk()
    assert desk.say(look(1)) == [Assign(1, "w")]
    assert desk.say(TaskStarted(1, "w")) == []
    assert desk.say(TaskFinished(1, "w")) == [Release(1, "done")]


def test_a_task_waits_until_a_worker_joins() -> None:
    desk = Desk(workers="")
    assert desk.say(look(1)) == []
    assert desk.say(WorkerJoined("w", 1)) == [Assign(1, "w")]


def test_the_workers_own_failure_is_final_and_is_the_answer() -> None:
    desk = Desk()
    desk.say(look(1))
    assert desk.say(TaskFailed(1, "w", "image_unreadable", False)) == [Release(1, "failed")]


def test_a_failure_that_is_retryable_but_not_the_workers_is_final_too() -> None:
    desk = Desk()
    desk.say(look(1))
    assert desk.say(TaskFailed(1, "w", "out_of_memory", True)) == [Release(1, "failed")]


# --- who comes first ------------------------------------------------------------------------


def test_interactive_goes_before_sequence_before_batch() -> None:
    desk = Desk(workers="")
    urgencies: tuple[Urgency, ...] = ("batch", "sequence", "interactive")
    for task_id, urgency in enumerate(urgencies):
        desk.say(TaskArrived(Task(task_id, "ann", task_id, urgency)))
    assert assigned(desk.say(WorkerJoined("w", 3))) == [2, 1, 0]


def test_clients_take_turns_inside_a_class() -> None:
    desk = Desk(workers="")
    desk.say(batch(1), batch(2), batch(3), batch(4, "bob"), batch(5, "bob"))
    assert assigned(desk.say(WorkerJoined("w", 5))) == [1, 4, 2, 5, 3]


def test_a_client_that_comes_late_does_not_wait_for_another_ones_backlog() -> None:
    desk = Desk()
    desk.say(*(batch(task_id) for task_id in range(10)))
    desk.say(batch(10, "bob"))
    assert desk.say(TaskFinished(0, "w")) == [Release(0, "done"), Assign(10, "w")]


def test_a_turn_in_one_class_does_not_cost_a_turn_in_another() -> None:
    desk = Desk(workers="")
    desk.say(look(1), batch(2), batch(3, "bob"))
    assert assigned(desk.say(WorkerJoined("w", 3))) == [1, 2, 3]


def test_the_frames_of_a_job_go_out_in_order() -> None:
    desk = Desk(slots=2)
    actions = desk.say(*(batch(task_id) for task_id in range(5)))
    for task_id in range(5):
        actions += desk.say(TaskFinished(task_id, "w"))
    assert assigned(actions) == [0, 1, 2, 3, 4]


# --- slots ----------------------------------------------------------------------------------


def test_a_worker_holds_as_many_frames_as_it_has_slots() -> None:
    desk = Desk(slots=3)
    assert assigned(desk.say(*(batch(task_id) for task_id in range(5)))) == [0, 1, 2]
    assert desk.say(TaskFinished(1, "w")) == [Release(1, "done"), Assign(3, "w")]


def test_an_interactive_task_reaches_a_worker_whose_slots_are_full() -> None:
    desk = Desk(slots=2)
    desk.say(batch(1), batch(2), batch(3))
    assert desk.say(look(4)) == [Assign(4, "w")]
    assert desk.say(look(5)) == []


def test_the_interactive_slot_is_never_filled_with_a_frame() -> None:
    desk = Desk(slots=1)
    desk.say(look(1), batch(2))
    assert desk.say(TaskFinished(1, "w")) == [Release(1, "done"), Assign(2, "w")]
    assert desk.say(batch(3)) == []


def test_frames_spread_over_all_workers() -> None:
    desk = Desk(slots=1, workers="vw")
    assert desk.say(batch(1), batch(2), batch(3)) == [Assign(1, "v"), Assign(2, "w")]


def test_a_task_goes_to_the_worker_that_holds_least() -> None:
    desk = Desk(slots=4, workers="vw")
    assert desk.say(batch(1), batch(2, flow="x"), batch(3, flow="y")) == [
        Assign(1, "v"),
        Assign(2, "w"),
        Assign(3, "v"),
    ]


def test_a_task_goes_where_its_flow_is_warm_even_if_another_holds_less() -> None:
    desk = Desk(slots=2, workers="vw")
    desk.say(batch(1, flow="denoise"), batch(2, flow="upscale"), batch(3, flow="deblur"))
    desk.say(TaskFinished(1, "v"), TaskFinished(3, "v"))
    assert desk.say(batch(4, flow="upscale")) == [Assign(4, "w")]
    assert desk.say(batch(5, flow="denoise")) == [Assign(5, "v")]


def test_a_full_warm_worker_is_not_waited_for() -> None:
    desk = Desk(slots=1, workers="vw")
    desk.say(batch(1, flow="denoise"))
    assert desk.say(batch(2, flow="denoise")) == [Assign(2, "w")]


def test_a_worker_is_taken_to_be_warm_for_its_last_flows_only() -> None:
    desk = Desk(slots=9, workers="v")
    desk.say(*(batch(number, flow=f"flow {number}") for number in range(5)))
    desk.say(WorkerJoined("w", 9))
    assert desk.say(batch(10, flow="flow 1")) == [Assign(10, "v")]
    assert desk.say(batch(11, flow="flow 0")) == [Assign(11, "w")]


def test_a_worker_without_slots_is_refused() -> None:
    with pytest.raises(SettingsError, match="0 slots"):
        WorkerJoined("w", 0)


# --- the latest wins ------------------------------------------------------------------------


def test_a_newer_look_replaces_one_that_waits() -> None:
    desk = Desk(workers="")
    desk.say(look(1, node="Kwaflux1"))
    actions = desk.say(look(2, node="Kwaflux1"))
    assert outcomes(actions) == [(1, "superseded")]
    assert error_of(actions).code == "cancelled"
    assert desk.say(WorkerJoined("w", 1)) == [Assign(2, "w")]


def test_a_newer_look_stops_one_that_runs_which_ends_when_the_worker_let_go() -> None:
    desk = Desk()
    desk.say(look(1, node="Kwaflux1"))
    assert desk.say(look(2, node="Kwaflux1")) == [Revoke(1, "w"), Assign(2, "w")]
    actions = desk.say(TaskFailed(1, "w", "cancelled", False))
    assert outcomes(actions) == [(1, "superseded")]
    assert error_of(actions).code == "cancelled"


def test_scrubbing_keeps_two_looks_on_the_worker_and_none_in_the_queue_but_the_latest() -> None:
    desk = Desk()
    actions = desk.say(*(look(frame, node="Kwaflux1") for frame in range(20)))
    assert assigned(actions) == [0, 1]
    assert desk.scheduler.snapshot().waiting == 1
    assert assigned(desk.say(TaskFailed(0, "w", "cancelled", False))) == [19]


@pytest.mark.parametrize(
    "newer",
    [
        look(2, node="Kwaflux2"),
        look(2, "bob", node="Kwaflux1"),
        look(2),
        TaskArrived(Task(2, "ann", 2, "sequence", node="Kwaflux1")),
    ],
    ids=["another node", "another client", "no node", "not interactive"],
)
def test_a_look_is_replaced_by_none_but_its_own_nodes(newer: TaskArrived) -> None:
    desk = Desk(workers="")
    desk.say(look(1, node="Kwaflux1"))
    assert desk.say(newer) == []


def test_looks_without_a_node_do_not_replace_each_other() -> None:
    desk = Desk(workers="")
    assert desk.say(look(1), look(2)) == []


# --- cancel ---------------------------------------------------------------------------------


def test_a_waiting_task_that_is_cancelled_is_released_at_once() -> None:
    desk = Desk(workers="")
    desk.say(look(1))
    actions = desk.say(CancelTask("ann", 1))
    assert outcomes(actions) == [(1, "cancelled")]
    assert error_of(actions).code == "cancelled"


def test_a_running_task_that_is_cancelled_is_revoked_and_released_when_let_go_of() -> None:
    desk = Desk()
    desk.say(look(1))
    assert desk.say(CancelTask("ann", 1)) == [Revoke(1, "w")]
    assert outcomes(desk.say(TaskFailed(1, "w", "cancelled", False))) == [(1, "cancelled")]


def test_whatever_a_revoked_task_failed_with_it_ends_as_cancelled() -> None:
    desk = Desk()
    desk.say(look(1), CancelTask("ann", 1))
    assert outcomes(desk.say(TaskFailed(1, "w", "worker", True))) == [(1, "cancelled")]


def test_a_cancel_that_comes_too_late_leaves_the_result_as_it_is() -> None:
    desk = Desk()
    desk.say(look(1), CancelTask("ann", 1))
    assert desk.say(TaskFinished(1, "w")) == [Release(1, "done")]


def test_a_revoked_task_takes_its_slot_until_the_worker_let_go_of_it() -> None:
    desk = Desk()
    desk.say(batch(1), CancelJob("ann", "job"))
    assert desk.say(batch(2, job="next")) == []
    assert assigned(desk.say(TaskFailed(1, "w", "cancelled", False))) == [2]


def test_to_cancel_twice_is_to_cancel_once() -> None:
    desk = Desk()
    desk.say(look(1), look(2), look(3), CancelTask("ann", 1), CancelTask("ann", 3))
    assert desk.say(CancelTask("ann", 1), CancelTask("ann", 3)) == []


def test_nobody_cancels_what_another_client_asked_for() -> None:
    desk = Desk(workers="")
    desk.say(look(1), batch(2))
    assert desk.say(CancelTask("bob", 1), CancelJob("bob", "job")) == []


def test_to_cancel_a_job_is_to_cancel_its_frames_and_no_others() -> None:
    desk = Desk()
    desk.say(batch(1), batch(2), batch(3, job="other"), look(4))
    actions = desk.say(CancelJob("ann", "job"))
    assert outcomes(actions) == [(2, "cancelled")]
    assert Revoke(1, "w") in actions
    assert desk.scheduler.snapshot().waiting == 1


def test_to_cancel_the_number_a_job_was_asked_with_is_to_cancel_its_frames() -> None:
    desk = Desk(workers="")
    desk.say(batch(1), batch(2))
    assert outcomes(desk.say(CancelTask("ann", 1000))) == [(1, "cancelled"), (2, "cancelled")]


# --- clients that go away -------------------------------------------------------------------


def test_the_work_of_a_client_that_left_is_dropped() -> None:
    desk = Desk()
    desk.say(batch(1), batch(2), batch(3, "bob"))
    assert desk.say(ClientLeft("ann")) == [Revoke(1, "w"), Release(2, "client_gone")]
    assert desk.say(TaskFailed(1, "w", "cancelled", False)) == [
        Release(1, "client_gone"),
        Assign(3, "w"),
    ]


def test_a_client_that_left_while_its_task_was_revoked_is_gone() -> None:
    desk = Desk()
    desk.say(look(1), CancelTask("ann", 1))
    assert desk.say(ClientLeft("ann")) == []
    assert desk.say(TaskFailed(1, "w", "cancelled", False)) == [Release(1, "client_gone")]


def test_a_task_of_a_client_that_is_not_there_is_released_unserved() -> None:
    desk = Desk()
    assert desk.say(look(1, "carol")) == [Release(1, "client_gone")]
    assert desk.say(ClientLeft("ann"), look(2, "ann")) == [Release(2, "client_gone")]


def test_a_client_may_come_back() -> None:
    desk = Desk()
    desk.say(ClientLeft("ann"), ClientJoined("ann"))
    assert desk.say(look(1)) == [Assign(1, "w")]


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
    assert desk.scheduler.snapshot().workers == (WorkerLoad("w", "cpu", 1, 1, True),)


def test_a_restart_for_a_revoked_task_costs_the_others_no_attempt() -> None:
    desk = Desk(slots=2)
    desk.say(batch(1))
    for task_id in (10, 11, 12):
        desk.say(look(task_id), CancelTask("ann", task_id))
        desk.say(Tick(), at_s=30.0 * task_id)
        actions = desk.say(WorkerLost("w", "restarted"))
        assert outcomes(actions) == [(task_id, "cancelled")]
        assert desk.say(WorkerJoined("w", 2)) == [Assign(1, "w")]


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
    assert (counts.waiting, counts.running, counts.computing) == (1, 3, 1)
    desk.say(TaskFinished(4, "w"), TaskFailed(1, "w", "image", False), look(5), look(6), look(7))
    desk.say(CancelTask("ann", 6), ClientLeft("ann"), TaskFinished(2, "w"))
    counts = desk.scheduler.snapshot()
    assert (counts.done, counts.failed, counts.rejected) == (2, 1, 1)
    assert (counts.waiting, counts.running, counts.computing) == (0, 2, 0)
    desk.say(WorkerLost("w", "gone"))
    counts = desk.scheduler.snapshot()
    assert (counts.running, counts.cancelled, counts.workers) == (0, 3, ())
