"""The scheduler, as lists of events against lists of actions: order, slots, clients."""

from __future__ import annotations

import pytest

from kwaflux_core.errors import SettingsError
from kwaflux_core.protocol.messages import Urgency
from kwaflux_server.scheduler.events import (
    Assign,
    CancelJob,
    CancelTask,
    ClientJoined,
    ClientLeft,
    Release,
    Revoke,
    Task,
    TaskArrived,
    TaskFailed,
    TaskFinished,
    TaskStarted,
    WorkerJoined,
)
from kwaflux_testing.scheduler_desk import Desk, assigned, batch, error_of, look, outcomes

# --- the plain transport -------------------------------------------------------------------------


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


def test_a_flow_that_is_used_again_and_again_does_not_push_others_out() -> None:
    desk = Desk(slots=9, workers="v")
    desk.say(batch(0, flow="rare"), *(batch(number, flow="often") for number in range(1, 7)))
    desk.say(WorkerJoined("w", 9))
    assert desk.say(batch(10, flow="rare")) == [Assign(10, "v")]


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


def test_a_client_that_comes_back_has_not_been_served() -> None:
    desk = Desk()
    desk.say(batch(1), TaskFinished(1, "w"), batch(2, "bob"), TaskFinished(2, "w"))
    desk.say(ClientLeft("bob"), ClientJoined("bob"), look(3), look(4))
    desk.say(batch(5), batch(6, "bob"))
    assert assigned(desk.say(TaskFinished(3, "w"), TaskFinished(4, "w"))) == [6]
