"""The scheduler's vocabulary: tasks, events and actions.

A task arrives, waits, is assigned to a worker, and is released; or it is rejected on arrival.
Every task gets exactly one ``Release`` or ``Reject``. After it no worker holds the task, so nothing
reads its sources or writes its target any more.
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
    """One frame to render: the properties that scheduling depends on.

    Args:
        task_id: The gateway's number of the task, never reused.
        client: The client.
        request_id: The client's request id; the frames of a job share their job's.
        urgency: The urgency class.
        node: The client's node. A newer interactive task of a node replaces older ones; an empty
            name replaces nothing.
        job: The job it is a frame of; empty for a single request.
        bytes_held: Memory of its pixels until it is released (shared or inside a message).
        flow: Key of the models it needs; equal keys mean the same models.
        attempts: Number of workers lost so far while they held it.
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
    """A client closed its session; its tasks are not needed any more."""

    client: str


@dataclass(frozen=True, slots=True)
class TaskArrived:
    """A client requested a frame, or a job handed out its next one."""

    task: Task


@dataclass(frozen=True, slots=True)
class CancelTask:
    """A client cancelled the request with this id."""

    client: str
    request_id: int


@dataclass(frozen=True, slots=True)
class CancelJob:
    """A client cancelled every frame of a job."""

    client: str
    job: str


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A worker is ready to hold tasks.

    Args:
        worker: Its name. A restarted worker may have the name of the lost one.
        slots: Number of tasks it holds at a time (one computes, the others are read or written).
        device: Its device.

    Raises:
        SettingsError: Less than one slot.
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
    """A worker process ended: it crashed, was killed, or closed its connection."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A worker started to compute a task."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class TaskUndelivered:
    """A task could not be sent to its worker: the worker cannot be reached."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """A worker delivered a task's result and no longer holds the task."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A worker failed a task, or stopped a revoked one, and no longer holds it."""

    task_id: int
    worker: str
    error_code: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """The server shuts down: workers finish the tasks they hold, and no more are assigned."""


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
    """Have the worker drop the task, or stop it at the next tile, and report that."""

    task_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class Release:
    """Answer the client and remove the task.

    ``error`` is the answer if the scheduler decides it. It is None for a task that is done, for a
    closed session, and if the worker's error is the answer.
    """

    task_id: int
    outcome: Outcome
    error: Failed | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the task on arrival with this error."""

    task_id: int
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class RestartWorker:
    """Kill the worker and start a new one; report ``WorkerLost`` as for a crash."""

    worker: str


Action: TypeAlias = Assign | Revoke | Release | Reject | RestartWorker


# --- what a status page shows ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Numbers of waiting tasks, of tasks held by workers, and of ended tasks since the start."""

    waiting: int
    running: int
    done: int
    failed: int
