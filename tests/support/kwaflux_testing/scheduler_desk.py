"""A scheduler on a desk: events in by hand, actions out to look at. Knows no clock of its own."""

from __future__ import annotations

import itertools
from dataclasses import replace

from kwaflux_core.protocol.messages import Failed
from kwaflux_server.scheduler.events import (
    Action,
    Assign,
    ClientJoined,
    Event,
    Release,
    Task,
    TaskArrived,
    WorkerJoined,
)
from kwaflux_server.scheduler.policy import SchedulerLimits
from kwaflux_server.scheduler.scheduler import Scheduler

__all__ = ["Desk", "assigned", "batch", "error_of", "look", "outcomes"]


class Desk:
    """Hold a scheduler with clients ``ann`` and ``bob``; a worker per letter of ``workers``."""

    def __init__(self, *, slots: int = 1, workers: str = "w", **limits: float) -> None:
        self.scheduler = Scheduler(replace(SchedulerLimits(), **limits))  # type: ignore[arg-type]
        self.say(ClientJoined("ann"), ClientJoined("bob"))
        self.say(*(WorkerJoined(worker, slots, "cpu") for worker in workers))

    def say(self, *events: Event, at_s: float = 0.0) -> list[Action]:
        """Return the actions of all these events in order."""
        handled = (self.scheduler.handle(event, now_s=at_s) for event in events)
        return list(itertools.chain.from_iterable(handled))


def batch(task_id: int, client: str = "ann", *, job: str = "job", flow: str = "") -> TaskArrived:
    """Let a frame of a job arrive."""
    return TaskArrived(Task(task_id, client, 1000, "batch", job=job, flow=flow))


def look(task_id: int, client: str = "ann", *, node: str = "", bytes_held: int = 0) -> TaskArrived:
    """Let an interactive request arrive, under its own number."""
    return TaskArrived(
        Task(task_id, client, task_id, "interactive", node=node, bytes_held=bytes_held)
    )


def outcomes(actions: list[Action]) -> list[tuple[int, str]]:
    """Return what was released, and how it ended."""
    return [(each.task_id, each.outcome) for each in actions if isinstance(each, Release)]


def assigned(actions: list[Action]) -> list[int]:
    """Return what was assigned, in order."""
    return [each.task_id for each in actions if isinstance(each, Assign)]


def error_of(actions: list[Action]) -> Failed:
    """Return the error of the only release."""
    (release,) = (each for each in actions if isinstance(each, Release))
    assert release.error is not None
    return release.error
