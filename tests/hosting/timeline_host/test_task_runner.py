"""A task is run to its end, and closed by whatever is raised meanwhile."""

from __future__ import annotations

import pytest

from kwaflux_hosting.timeline_host.task_runner import Task, run_task


def _task(messages: list[str], closed: list[bool]) -> Task[int]:
    try:
        yield from messages
    finally:
        closed.append(True)
    return 7


def test_a_task_runs_to_its_end_and_a_repeated_message_is_shown_once() -> None:
    said: list[str] = []
    assert run_task(_task(["one", "one", "two", "one"], []), say=said.append, tick_s=0) == 7
    assert said == ["one", "two", "one"]


def test_what_is_raised_meanwhile_closes_the_task() -> None:
    closed: list[bool] = []

    def interrupt(message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task(_task(["one", "two"], closed), say=interrupt, tick_s=0)
    assert closed == [True]
