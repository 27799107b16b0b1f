"""The scheduler as a state machine: ``handle`` takes one event and returns actions.

Owns the waiting tasks, the tasks of each worker, and the turns of clients. Must not know sockets,
pixels, threads or clocks: the gateway reports events with their time and carries out the actions.
Events and actions are in ``events``, the rules in ``policy``.

The states of a task::

    arrives --> waits --> is held by a worker --> is released
       |          ^ |               |
    rejected      | +-- dropped ----+--> released: done, failed, cancelled, ...
                  +--- its worker is lost, once

A held task that is dropped (cancelled, superseded, its session closed) is *revoked*: the worker
gets a request to stop it, and it is released when the worker no longer holds it. After an answer
nothing uses the task's pixels, and the client may reuse their memory.

Events may come late or twice: an event for an unknown task, or from a worker that does not hold the
task, changes nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from kwaflux_core.errors import Cancelled, WorkerError
from kwaflux_core.protocol.failures import failed
from kwaflux_core.protocol.messages import Failed, Urgency
from kwaflux_server.scheduler import policy
from kwaflux_server.scheduler.events import (
    Action,
    Assign,
    CancelJob,
    CancelTask,
    ClientJoined,
    ClientLeft,
    Drain,
    Event,
    Outcome,
    Reject,
    Release,
    RestartWorker,
    Revoke,
    Snapshot,
    Task,
    TaskArrived,
    TaskFailed,
    TaskFinished,
    TaskUndelivered,
    Tick,
    WorkerJoined,
    WorkerLost,
)
from kwaflux_server.scheduler.policy import SchedulerLimits

__all__ = ["Scheduler"]

_FLOWS_REMEMBERED = 4
"""Number of flows whose models a worker is assumed to have loaded: its most recent ones."""


@dataclass(slots=True)
class _Entry:
    """The state of one task from its arrival to its release."""

    task: Task
    serial: int
    worker: _Worker | None = None  # its worker; None while it waits
    ending: Release | None = None  # set when it is revoked: its outcome once the worker stops
    revoked_at_s: float = 0.0
    broken_worker: str | None = None  # workers lost while they held it


@dataclass(slots=True)
class _Worker:
    """The state of one worker process, with the tasks it holds."""

    name: str
    slots: int
    device: str
    held: dict[int, _Entry] = field(default_factory=dict)
    flows: deque[str] = field(default_factory=lambda: deque(maxlen=_FLOWS_REMEMBERED))
    is_restarting: bool = False

    def take(self, entry: _Entry) -> None:
        """Add a task, and note its models as loaded."""
        entry.worker = self
        self.held[entry.task.task_id] = entry
        if entry.task.flow in self.flows:
            self.flows.remove(entry.task.flow)
        self.flows.append(entry.task.flow)

    def let_go(self, entry: _Entry) -> None:
        """Remove a task."""
        del self.held[entry.task.task_id]
        entry.worker = None


class Scheduler:
    """Decide which worker renders which task, and when.

    Thread: one at a time; it belongs to the gateway's loop.
    """

    def __init__(self, limits: SchedulerLimits | None = None) -> None:
        self._limits = limits or SchedulerLimits()
        self._clients: set[str] = set()
        self._workers: dict[str, _Worker] = {}
        self._entries: dict[int, _Entry] = {}  # every task not yet released
        self._turns: dict[tuple[str, Urgency], int] = {}  # when a client was last served
        self._counts: Counter[str] = Counter()
        self._serial = 0
        self._is_draining = False

    def handle(self, event: Event, *, now_s: float) -> list[Action]:
        """Handle one event; return the actions, in order.

        Carry out all actions before handling the next event.

        Args:
            event: The event.
            now_s: Its time, in seconds of a monotonic clock.
        """
        return [*self._react(event, now_s), *self._assign_waiting()]

    def snapshot(self) -> Snapshot:
        """Return the numbers of tasks, for the server's status."""
        count = self._counts
        held = [entry for entry in self._entries.values() if entry.worker is not None]
        return Snapshot(
            waiting=len(self._entries) - len(held),
            running=len(held),
            done=count["done"],
            failed=count["failed"],
        )

    def _react(self, event: Event, now_s: float) -> Iterator[Action]:
        match event:
            case ClientJoined(client):
                self._clients.add(client)
            case ClientLeft(client):
                yield from self._client_left(client, now_s)
            case TaskArrived(task):
                yield from self._task_arrived(task, now_s)
            case CancelTask(client, request_id):
                entries = (e for e in self._of_client(client) if e.task.request_id == request_id)
                yield from self._cancel(entries, now_s)
            case CancelJob(client, job):
                frames = (e for e in self._of_client(client) if e.task.job == job)
                yield from self._cancel(frames, now_s)
            case WorkerJoined(worker, slots, device):
                self._workers.setdefault(worker, _Worker(worker, slots, device))
            case WorkerLost(worker, reason):
                yield from self._worker_lost(worker, reason)
            case TaskUndelivered(task_id, worker):
                yield from self._task_undelivered(task_id, worker)
            case TaskFinished(task_id, worker):
                yield from self._task_finished(task_id, worker)
            case TaskFailed():
                yield from self._task_failed(event)
            case Drain():
                self._is_draining = True
            case Tick():
                yield from self._restart_the_deaf(now_s)

    # --- clients ----------------------------------------------------------------------------

    def _task_arrived(self, task: Task, now_s: float) -> Iterator[Action]:
        if task.task_id in self._entries:
            return
        if task.client not in self._clients:
            yield self._count(Release(task.task_id, "client_gone"))
            return
        older = [entry for entry in self._of_client(task.client) if _supersedes(task, entry)]
        in_flight = [e.task for e in self._of_client(task.client) if e not in older]
        if error := policy.refusal(task, in_flight=in_flight, limits=self._limits):
            yield Reject(task.task_id, error.code, error.message, error.hint)
            return
        newer = failed(Cancelled(f"a newer request of node {task.node!r} replaced this one"))
        for entry in older:
            yield from self._drop(entry, "superseded", newer, now_s)
        self._entries[task.task_id] = _Entry(task, self._next_serial())

    def _client_left(self, client: str, now_s: float) -> Iterator[Action]:
        self._clients.discard(client)
        for entry in self._of_client(client):
            yield from self._drop(entry, "client_gone", None, now_s)
        for turn in [turn for turn in self._turns if turn[0] == client]:
            del self._turns[turn]

    def _cancel(self, entries: Iterable[_Entry], now_s: float) -> Iterator[Action]:
        error = failed(Cancelled("the request was cancelled by its client"))
        for entry in entries:
            yield from self._drop(entry, "cancelled", error, now_s)

    def _drop(
        self, entry: _Entry, outcome: Outcome, error: Failed | None, now_s: float
    ) -> Iterator[Action]:
        """End a task early: at once if it waits, else when its worker has stopped it."""
        is_revoked = entry.ending is not None
        entry.ending = Release(entry.task.task_id, outcome, error)
        if entry.worker is None:
            yield self._release(entry, entry.ending)
        elif not is_revoked:
            entry.revoked_at_s = now_s
            yield Revoke(entry.task.task_id, entry.worker.name)

    # --- workers ----------------------------------------------------------------------------

    def _task_finished(self, task_id: int, worker: str) -> Iterator[Action]:
        if entry := self._held(task_id, worker):
            # A revoke that came too late changes nothing: the result is complete.
            yield self._release(entry, Release(task_id, "done"))

    def _task_failed(self, event: TaskFailed) -> Iterator[Action]:
        if entry := self._held(event.task_id, event.worker):
            failure = Release(event.task_id, "failed")
            if event.retryable and event.error_code == WorkerError.code:
                yield from self._worker_broke(self._workers[event.worker], entry, failure)
            else:
                yield self._release(entry, entry.ending or failure)

    def _task_undelivered(self, task_id: int, worker: str) -> Iterator[Action]:
        """Queue the task again, ahead of its class, and restart its worker."""
        entry = self._held(task_id, worker)
        if entry is None:
            return
        holder = self._workers[worker]
        if not holder.is_restarting:
            holder.is_restarting = True
            yield RestartWorker(worker)
        if entry.ending:
            yield self._release(entry, entry.ending)
        else:
            holder.let_go(entry)

    def _worker_lost(self, name: str, reason: str) -> Iterator[Action]:
        worker = self._workers.pop(name, None)
        if worker is None:
            return
        for entry in list(worker.held.values()):
            error = WorkerError(
                f"two workers were lost while they held the frame, last {name!r} ({reason})",
                hint="read the server's log, and try the frame alone",
                worker=name,
            )
            failure = Release(entry.task.task_id, "failed", failed(error))
            yield from self._worker_broke(worker, entry, failure)

    def _worker_broke(self, worker: _Worker, entry: _Entry, failure: Release) -> Iterator[Action]:
        """Queue a task again, ahead of its class, or end it if it was already retried."""
        # A worker killed because of a revoked task does not count against its other tasks.
        fault = 0 if worker.is_restarting else 1
        task = replace(entry.task, attempts=entry.task.attempts + fault)
        if entry.ending or not policy.may_retry(task):
            yield self._release(entry, entry.ending or failure)
            return
        worker.let_go(entry)
        entry.task, entry.broken_worker = task, worker.name

    def _restart_the_deaf(self, now_s: float) -> Iterator[Action]:
        """Restart the workers that did not answer a revoke in time."""
        for worker in self._workers.values():
            deadline_s = now_s - self._limits.revoke_patience_s
            is_deaf = any(e.ending and e.revoked_at_s <= deadline_s for e in worker.held.values())
            if is_deaf and not worker.is_restarting:
                worker.is_restarting = True
                yield RestartWorker(worker.name)

    # --- assignment -------------------------------------------------------------------------

    def _assign_waiting(self) -> Iterator[Action]:
        """Assign tasks in order, until no worker has a free slot for the next one."""
        while not self._is_draining and (
            entry := min(self._waiting(), key=self._order, default=None)
        ):
            worker = self._best_worker(entry)
            if worker is None:
                return
            worker.take(entry)
            self._turns[entry.task.client, entry.task.urgency] = self._next_serial()
            yield Assign(entry.task.task_id, worker.name)

    def _best_worker(self, entry: _Entry) -> _Worker | None:
        """Return the best worker for a waiting task, or None while all are full."""
        task = entry.task

        def has_room(worker: _Worker) -> bool:
            held = [other.task for other in worker.held.values()]
            return not worker.is_restarting and policy.has_room(task, held=held, slots=worker.slots)

        def preference(worker: _Worker) -> tuple[bool, bool, int]:
            return policy.preference(
                task,
                flows=worker.flows,
                held_count=len(worker.held),
                broke_under_it=worker.name == entry.broken_worker,
            )

        return min(filter(has_room, self._workers.values()), key=preference, default=None)

    def _order(self, entry: _Entry) -> tuple[int, bool, int, int]:
        turn = self._turns.get((entry.task.client, entry.task.urgency), 0)
        return policy.order(entry.task, turn=turn, serial=entry.serial)

    # --- bookkeeping ------------------------------------------------------------------------

    def _waiting(self) -> Iterator[_Entry]:
        return (entry for entry in self._entries.values() if entry.worker is None)

    def _of_client(self, client: str) -> list[_Entry]:
        return [entry for entry in self._entries.values() if entry.task.client == client]

    def _held(self, task_id: int, worker: str) -> _Entry | None:
        worker_state = self._workers.get(worker)
        return worker_state.held.get(task_id) if worker_state else None

    def _release(self, entry: _Entry, release: Release) -> Release:
        del self._entries[entry.task.task_id]
        if entry.worker is not None:
            entry.worker.let_go(entry)
        return self._count(release)

    def _count(self, release: Release) -> Release:
        self._counts[release.outcome] += 1
        return release

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial


def _supersedes(task: Task, older: _Entry) -> bool:
    """Return whether a new task of the same client replaces an older one (latest wins)."""
    return (
        task.urgency == older.task.urgency == "interactive"
        and task.node != ""
        and task.node == older.task.node
        and older.ending is None
    )
