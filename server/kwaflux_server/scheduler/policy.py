"""Scheduling policy: the order of tasks, the choice of worker, the limits of a client."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kwaflux_core.errors import SettingsError, TooManyRequests
from kwaflux_core.protocol.messages import URGENCIES
from kwaflux_server.scheduler.events import Task

__all__ = ["ATTEMPTS", "SchedulerLimits", "has_room", "may_retry", "order", "preference", "refusal"]

ATTEMPTS = 2
"""Number of workers that a task may lose: it is retried once, then reported as failed."""


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """The limits of a client, and the deadline for a revoke.

    Args:
        client_requests: Single requests in flight per client; frames of jobs don't count, because
            they are fed a few at a time.
        client_bytes: Bytes of pixels in flight per client. A client's first task is admitted
            whatever its size: the size of a frame has its own limit.
        revoke_patience_s: Seconds that a worker may hold a revoked task before it is restarted.

    Raises:
        SettingsError: A limit is not above 0.
    """

    client_requests: int = 64
    client_bytes: int = 4 << 30
    revoke_patience_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("client_requests", "client_bytes", "revoke_patience_s"):
            if getattr(self, name) <= 0:
                raise SettingsError(
                    f"the limit {name} is {getattr(self, name)}", hint="give a number above 0"
                )


def order(task: Task, *, turn: int, serial: int) -> tuple[int, bool, int, int]:
    """Return the key that sorts waiting tasks: the smallest is next.

    The urgency class comes first. Within a class, tasks of a lost worker come first; then the
    client that was served longest ago; then, for one client, the order of arrival, which keeps the
    frames of a job in order.

    Args:
        task: The waiting task.
        turn: Counter value at which its client was last served in this class; 0 for never.
        serial: Counter value at which the task arrived.
    """
    return (URGENCIES.index(task.urgency), task.attempts == 0, turn, serial)


def has_room(task: Task, *, held: Collection[Task], slots: int) -> bool:
    """Return whether a worker that holds these tasks may get one more.

    Sequence and batch tasks share the slots. One extra slot is reserved for an interactive task, so
    that it reaches the worker at once, whatever the worker reads ahead.

    A *suspect* is a task whose worker was lost once. Two suspects never share a worker, and a
    suspect of a sequence or batch shares it only with interactive tasks on their first attempt: if
    it crashes the next worker too, no other task reaches its limit of attempts.
    """
    has_suspect = any(other.attempts for other in held)
    if task.urgency == "interactive":
        return len(held) <= slots and not (task.attempts and has_suspect)
    if task.attempts and any(other.urgency != "interactive" for other in held):
        return False
    return len(held) < slots and not has_suspect


def preference(
    task: Task, *, flows: Collection[str], held_count: int, broke_under_it: bool
) -> tuple[bool, bool, int]:
    """Return the key that sorts the workers with a free slot: the smallest is the best.

    First any but the one lost with this task, then one with its models loaded, then the one that
    holds the fewest tasks.
    """
    return (broke_under_it, task.flow not in flows, held_count)


def may_retry(task: Task) -> bool:
    """Return whether a task is retried; ``attempts`` includes the worker that was just lost."""
    return task.attempts < ATTEMPTS


def refusal(
    task: Task, *, in_flight: Collection[Task], limits: SchedulerLimits
) -> TooManyRequests | None:
    """Return the error that refuses a client's task, or None if it is admitted.

    Args:
        task: The new task.
        in_flight: The client's tasks in flight.
        limits: The limits.
    """
    requests = sum(1 for other in in_flight if not other.job)
    if not task.job and requests >= limits.client_requests:
        return TooManyRequests(
            f"client {task.client!r} has {requests} requests in flight, "
            f"the server allows {limits.client_requests}",
            hint="wait for answers before sending more, or submit the range as one job",
        )
    held_bytes = sum(other.bytes_held for other in in_flight)
    if held_bytes and task.bytes_held > max(limits.client_bytes - held_bytes, 0):
        return TooManyRequests(
            f"client {task.client!r} has {held_bytes} bytes of pixels in flight and sends "
            f"{task.bytes_held} more, the server allows {limits.client_bytes}",
            hint="wait for answers before sending more pixels",
        )
    return None
