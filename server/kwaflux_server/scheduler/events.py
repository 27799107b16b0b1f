"""What the scheduler hears and what it says: tasks, events and actions.

A task arrives, waits, is assigned to a worker, and is released; or it is rejected at the door.
Every task that arrives gets exactly one ``Release`` or ``Reject``, and that is the last word on it:
no worker holds it any more, so nothing will read its sources or write its target again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from kwaflux_core.errors import SettingsError
from kwaflux_core.protocol.messages import Failed, Urgency

__all__ = [
    "Action",
    "Assign",
    "CancelJob",
    "CancelTask",
    "ClientJoined",
    "ClientLeft",
    "Drain",
    "Event",
    "Outcome",
    "Reject",
    "Release",
    "RestartWorker",
    "Revoke",
    "Snapshot",
    "Task",
    "TaskArrived",
    "TaskFailed",
    "TaskFinished",
    "TaskStarted",
    "TaskUndelivered",
    "Tick",
    "WorkerJoined",
    "WorkerLost",
]

Outcome: TypeAlias = Literal["done", "failed", "cancelled", "superseded", "client_gone"]


@dataclass(frozen=True, slots=True)
class Task:
    """Describe one frame to render, as far as its place in the queue depends on it.

    Args:
        task_id: The gateway's number for it, never used twice.
        client: Who asked.
        request_id: The number the client asked with; the frames of a job share their job's.
        urgency: The class it waits in.
        node: Who asks inside the client. A newer interactive task of a node replaces older ones;
            empty: it replaces nothing.
        job: The job it is a frame of; empty for a single request.
        bytes_held: Memory its pixels take until it is released (shared or inside a message).
        flow: What should be warm where it runs; equal text means the same models.
        attempts: How many workers broke under it so far.
    """

    task_id: int
    client: str
    request_id: int
    urgency: Urgency
    node: str = ""
    job: str = ""
    bytes_held: int = 0
    flow: str = ""
    attempts: int = 0


# --- events: what happened ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientJoined:
    """A client opened a session and may send tasks."""

    client: str


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """A client went away; nobody waits for its tasks."""

    client: str


@dataclass(frozen=True, slots=True)
class TaskArrived:
    """A client asked for a frame, or its job's turn came."""

    task: Task


@dataclass(frozen=True, slots=True)
class CancelTask:
    """A client takes back what it asked for with this number."""

    client: str
    request_id: int


@dataclass(frozen=True, slots=True)
class CancelJob:
    """A client takes back every frame of a job."""

    client: str
    job: str


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A worker is ready to hold tasks.

    Args:
        worker: Its name. A worker that was restarted may have the name of the one that was lost.
        slots: How many tasks it holds at a time (one computes, the others are read or written).
        device: What it computes on.

    Raises:
        SettingsError: Fewer slots than one.
    """

    worker: str
    slots: int
    device: str = ""

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise SettingsError(
                f"worker {self.worker!r} offers {self.slots} slots", hint="give it at least one"
            )


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker process is gone: it crashed, was killed, or closed its connection."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A worker began to compute a task."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class TaskUndelivered:
    """A task could not be sent to the worker it was assigned to: the worker cannot be reached."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """A worker delivered a task's result and let go of the task."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A worker gave a task up, revoked ones included, and let go of it."""

    task_id: int
    worker: str
    error_code: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """The server stops: what workers hold is finished, and nothing more is handed out."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; nothing else happened."""


Event: TypeAlias = (
    ClientJoined
    | ClientLeft
    | TaskArrived
    | CancelTask
    | CancelJob
    | WorkerJoined
    | WorkerLost
    | TaskStarted
    | TaskUndelivered
    | TaskFinished
    | TaskFailed
    | Drain
    | Tick
)


# --- actions: what to do about it -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assign:
    """Send the task to the worker."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class Revoke:
    """Tell the worker to drop the task, or to stop it at the next tile, and to say so."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class Release:
    """Answer the client and forget the task.

    ``error`` is the answer where the scheduler knows it. It is None for a task that is done, for
    a client that is gone, and where the worker's own failure is the answer.
    """

    task_id: int
    outcome: Outcome
    error: Failed | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the task at the door with this error, and forget it."""

    task_id: int
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class RestartWorker:
    """Kill the worker and start a fresh one; report ``WorkerLost`` as for any other death."""

    worker: str


Action: TypeAlias = Assign | Revoke | Release | Reject | RestartWorker


# --- what a status page shows ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Count the tasks that wait, those that workers hold, and how tasks ended since the start."""

    waiting: int
    running: int
    done: int
    failed: int
