"""Who comes first, where a task may go, and how much a client may ask for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kwaflux_core.errors import SettingsError, TooManyRequests
from kwaflux_core.protocol.messages import Urgency
from kwaflux_server.scheduler.events import Task

__all__ = ["ATTEMPTS", "SchedulerLimits", "has_room", "may_retry", "order", "preference", "refusal"]

ATTEMPTS = 2
"""How many workers may break under a task: it is retried once, then reported."""

_RANKS: dict[Urgency, int] = {"interactive": 0, "sequence": 1, "batch": 2}


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """Hold what one client may have in flight, and how long a worker may ignore a revoke.

    Args:
        client_requests: Single requests of one client; frames of jobs don't count, for they are
            fed a few at a time.
        client_bytes: Bytes of pixels of one client. One task is let in whatever its size: how
            large a frame may be is another limit.
        revoke_patience_s: How long a worker may hold a revoked task before it is restarted.

    Raises:
        SettingsError: A limit that would let nothing in.
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

    The class decides first. Inside a class, what a broken worker gave back goes before all else;
    then the client that was served longest ago; then, for one client, first come first served,
    which keeps the frames of a job in order.

    Args:
        task: The task that waits.
        turn: When its client was last served in this class, as a count that grows; 0 for never.
        serial: When the task arrived, as a count that grows.
    """
    return (_RANKS[task.urgency], task.attempts == 0, turn, serial)


def has_room(task: Task, *, held: Collection[Task], slots: int) -> bool:
    """Tell whether a worker that holds these tasks may be given one more.

    Sequence and batch tasks share the slots. One slot more is kept for an interactive task, so
    that it reaches the worker at once whatever is read ahead there.

    A worker broke under a *suspect* once. Two suspects never share a worker, and a suspect frame
    of a sequence or batch shares it with nothing but fresh interactive tasks: should it break
    the next worker too, it takes no innocent frame with it for good.
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
    """Return the key that sorts the workers with room: the smallest is the best.

    Not the one that broke under this task, then one that is warm for its flow, then the one
    that holds least.
    """
    return (broke_under_it, task.flow not in flows, held_count)


def may_retry(task: Task) -> bool:
    """Tell whether a task is tried again; ``attempts`` counts what just broke under it too."""
    return task.attempts < ATTEMPTS


def refusal(
    task: Task, *, in_flight: Collection[Task], limits: SchedulerLimits
) -> TooManyRequests | None:
    """Return why a client's task is refused, or None when it is let in.

    Args:
        task: The task that asks to be let in.
        in_flight: What the client has in flight already.
        limits: What it may have.
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
            f"client {task.client!r} holds {held_bytes} bytes of pixels in flight and asks for "
            f"{task.bytes_held} more, the server allows {limits.client_bytes}",
            hint="wait for answers before sending more pixels",
        )
    return None
