"""The dispatcher: carries requests to workers and answers to clients, as the scheduler decides.

Owns the queue of the scheduler's events, which are handled one by one. Must not decide anything
itself, import torch or read a disk.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from kwaflux_core.errors import Cancelled, KwafluxError, WorkerError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.protocol.codec import Envelope
from kwaflux_core.protocol.failures import failed
from kwaflux_core.protocol.messages import (
    Beat,
    Cancel,
    Failed,
    JobEvent,
    Judge,
    Judged,
    Message,
    Render,
    Rendered,
    Started,
    Submit,
    WorkerReady,
)
from kwaflux_server.gateway.active_tasks import ActiveJob, ActivePlan, ActiveTasks, models_of
from kwaflux_server.gateway.router_sockets import Parts, RouterSockets
from kwaflux_server.gateway.session import Session, Sessions
from kwaflux_server.gateway.supervisor import Supervisor
from kwaflux_server.jobs.open_jobs import OpenJobs
from kwaflux_server.jobs.plan_processes import JobPlanner
from kwaflux_server.scheduler.events import (
    Action,
    Assign,
    CancelJob,
    CancelTask,
    ClientJoined,
    ClientLeft,
    Drain,
    Event,
    Reject,
    Release,
    RestartWorker,
    Revoke,
    Snapshot,
    TaskArrived,
    TaskFailed,
    TaskFinished,
    TaskStarted,
    TaskUndelivered,
    Tick,
    WorkerJoined,
    WorkerLost,
)
from kwaflux_server.scheduler.scheduler import Scheduler

__all__ = ["Dispatcher"]

_LOG = logging.getLogger("kwaflux.server.dispatch")


class Dispatcher:
    """Carry requests to workers and answers to clients.

    Args:
        sockets: The gateway's sockets.
        scheduler: Decides which worker renders which task, and when.
        sessions: The clients that are connected.
        supervisor: The workers.
        planner: Plans jobs in child processes.
        jobs: The open jobs.
        slots: Tasks that a worker holds at a time.
        clock: Monotonic time in seconds.

    Thread: the gateway's.
    """

    def __init__(
        self,
        sockets: RouterSockets,
        *,
        scheduler: Scheduler,
        sessions: Sessions,
        supervisor: Supervisor,
        planner: JobPlanner,
        jobs: OpenJobs,
        slots: int,
        clock: Callable[[], float],
    ) -> None:
        self._sockets = sockets
        self._scheduler = scheduler
        self._sessions = sessions
        self._supervisor = supervisor
        self._planner = planner
        self._jobs = jobs
        self._slots = slots
        self._clock = clock
        self._active = ActiveTasks()
        self._events: deque[Event] = deque()

    # --- from clients -----------------------------------------------------------------------

    def join(self, session: Session) -> None:
        """Register a new session."""
        self._settle(ClientJoined(session.name))

    def leave(self, session: Session) -> None:
        """Cancel the work of a closed session."""
        self._active.drop_plans(session.name)
        for job in self._active.jobs_of(session.name):
            self._close_job(job)
        self._settle(ClientLeft(session.name))

    def render(
        self, session: Session, request_id: int, request: Render, flow: BoundFlow, parts: Parts
    ) -> None:
        """Accept a single frame.

        Raises:
            ProtocolError: The id belongs to an active request.
        """
        self._active.check_unused(session.name, request_id)
        models = models_of(flow)
        task = self._active.admit(session.name, request_id, request, parts, models=models)
        self._settle(TaskArrived(task))

    def submit(self, session: Session, request_id: int, submit: Submit, flow: BoundFlow) -> None:
        """Start planning a job; ``tick`` accepts it once the plan is ready.

        Raises:
            ProtocolError: The id belongs to an active request.
            Unavailable: Too many jobs are being planned already.
        """
        self._active.check_unused(session.name, request_id)
        pending = self._planner.begin(submit)
        self._active.begin_plan(ActivePlan(session.name, request_id, flow, pending))

    def cancel(self, session: Session, request_id: int) -> None:
        """Cancel a request or a job of a session; unknown ids are ignored."""
        if self._active.cancel_plan(session.name, request_id):
            self.tell(session, failed(Cancelled("the request was cancelled")), request_id)
            return
        job = self._active.job(session.name, request_id)
        if job is None:
            self._settle(CancelTask(session.name, request_id))
            return
        for event in self._jobs.cancel(job.job):
            self.tell(session, event, request_id)
        self._settle(CancelJob(session.name, job.job))
        self._feed(session, job)
        self._settle()

    def tell(self, session: Session, message: Message, request_id: int, parts: Parts = ()) -> None:
        """Send to a client; a client that cannot be reached counts as silent from now on."""
        if not self._sockets.to_client(session.identity, message, request_id, parts):
            session.heard_s = float("-inf")

    # --- from workers -----------------------------------------------------------------------

    def from_worker(self, worker: str, envelope: Envelope) -> None:
        """Handle a worker's message; messages of a lost worker are ignored."""
        if not self._supervisor.knows(worker):
            return
        task_id = envelope.request_id
        match envelope.message:
            case WorkerReady() as ready:
                if self._supervisor.noted(ready):
                    _LOG.info("worker %s is ready on %s", worker, ready.device_label)
                    self._settle(WorkerJoined(worker, self._slots, ready.device))
            case Started():
                self._settle(TaskStarted(task_id, worker))
                self._tell_started(task_id)
            case Rendered() | Judged() as answer:
                self._active.note_answer(task_id, answer, envelope.parts)
                self._settle(TaskFinished(task_id, worker))
            case Failed() as failure:
                self._active.note_answer(task_id, failure, ())
                self._settle(TaskFailed(task_id, worker, failure.code, failure.retryable))
            case message:
                _LOG.error("worker %s sent %s", worker, message.kind)

    def say_to_workers(self, message: Message) -> None:
        """Send a message to every worker that is ready."""
        for info in self._supervisor.infos():
            if info.is_ready:
                self._sockets.to_worker(info.name, message, 0)

    # --- time -------------------------------------------------------------------------------

    def tick(self) -> None:
        """Handle ended workers, finished plans, and timeouts."""
        for lost in self._supervisor.poll():
            self._settle(WorkerLost(lost.name, lost.reason))
        for plan in self._active.ended_plans():
            self._accept(plan)
        if self._supervisor.is_hopeless and len(self._active):
            self.fail_all(WorkerError("no worker could be started; see the server's log"))
        self._settle(Tick())

    def plan_files(self) -> tuple[int, ...]:
        """Return the file descriptors that call for a ``tick`` when they become readable."""
        return self._active.plan_files()

    def beat(self) -> None:
        """Send a heartbeat to every client and worker."""
        for session in self._sessions:
            self.tell(session, Beat(), 0)
        self.say_to_workers(Beat())

    def snapshot(self) -> Snapshot:
        """Count the tasks."""
        return self._scheduler.snapshot()

    def fail_all(self, error: KwafluxError) -> None:
        """Answer every task with an error, and remove it from the scheduler."""
        while len(self._active):  # the next frames of a job arrive as earlier ones end
            for task_id in self._active.ids():
                self._release(task_id, failed(error))
        for session in self._sessions:
            self._events += (ClientLeft(session.name), ClientJoined(session.name))
        self._settle()

    def drain(self) -> None:
        """Assign no more tasks; workers finish those they hold. Idempotent."""
        self._settle(Drain())

    def end(self, error: KwafluxError) -> None:
        """Answer all remaining requests with an error, each job as a whole."""
        for session in self._sessions:
            for request_id in self._active.drop_plans(session.name):
                self.tell(session, failed(error), request_id)
            for job in self._active.jobs_of(session.name):
                self._close_job(job)
                self.tell(session, failed(error), job.request_id)
        self._active.drop_frames_of_jobs()
        self.fail_all(error)
        self._planner.close()

    # --- the scheduler's actions ------------------------------------------------------------

    def _settle(self, *events: Event) -> None:
        """Handle events one by one, including those that the scheduler's actions cause."""
        self._events += events
        while self._events:
            event = self._events.popleft()
            for action in self._scheduler.handle(event, now_s=self._clock()):
                self._act(action)

    def _act(self, action: Action) -> None:
        """Carry out an action. Events that it causes are queued, not handled here."""
        match action:
            case Assign(task_id, worker):
                self._assign(task_id, worker)
            case Revoke(task_id, worker):
                self._sockets.to_worker(worker, Cancel(task_id), 0)
            case Release(task_id, outcome, error):
                self._release(task_id, error, is_silent=outcome == "client_gone")
            case Reject(task_id, code, message, hint):
                self._release(task_id, Failed(code, message, hint, retryable=True))
            case RestartWorker(worker):
                _LOG.warning("worker %s does not answer; restarting it", worker)
                self._supervisor.restart(worker)

    def _assign(self, task_id: int, worker: str) -> None:
        task = self._active[task_id]
        if task is None:
            return
        if not self._sockets.to_worker(worker, task.request, task_id, task.parts):
            self._events.append(TaskUndelivered(task_id, worker))

    def _release(self, task_id: int, error: Failed | None, *, is_silent: bool = False) -> None:
        task = self._active.finish(task_id)
        session = None if task is None else self._sessions.named(task.session)
        if task is None or session is None or is_silent:
            return
        answer = error or task.answer or failed(WorkerError("the worker gave no answer"))
        if not task.job:
            parts = task.answer_parts if answer is task.answer else ()
            self.tell(session, answer, task.request_id, parts)
            return
        events = self._events_of(task.job, task.request, answer)
        for event in events:
            self.tell(session, event, task.request_id)
        job = self._active.job(task.session, task.request_id)
        if job is not None:
            self._feed(session, job)

    def _events_of(
        self, job: str, request: Render | Judge, answer: Rendered | Judged | Failed
    ) -> list[JobEvent]:
        """Return the events of a job that the answer to one of its requests causes."""
        if isinstance(request, Judge):
            if isinstance(answer, Rendered):
                raise WorkerError("a worker rendered where it was to judge")
            return self._jobs.judged(job, answer)
        if isinstance(answer, Judged):
            raise WorkerError("a worker judged where it was to render")
        _log_frame(job, request.frame, answer)
        event = self._jobs.finished(job, request.frame, answer)
        return [] if event is None else [event]

    # --- jobs -------------------------------------------------------------------------------

    def _accept(self, plan: ActivePlan) -> None:
        """Open the job of a plan, or answer with the plan's error."""
        session = self._sessions.named(plan.session)
        submit, request_id = plan.pending.submit, plan.request_id
        try:
            job_plan = plan.pending.result()
            if session is None:
                return
            accepted = self._jobs.open(submit, plan.flow, job_plan)
        except KwafluxError as error:
            if session is not None:
                self.tell(session, failed(error), request_id)
            return
        models = models_of(plan.flow)
        job = self._active.open_job(session.name, request_id, job=accepted.job, models=models)
        _LOG.info("job %s: %s through %s", accepted.job, submit.source, plan.flow.to_text())
        self.tell(session, accepted, request_id)
        self._feed(session, job)
        self._settle()

    def _close_job(self, job: ActiveJob) -> None:
        self._jobs.close(job.job)
        self._active.close_job(job)

    def _feed(self, session: Session, job: ActiveJob) -> None:
        """Queue the next frames of a job, and close the job when none is left."""
        for request in self._jobs.next_requests(job.job):
            task = self._active.admit(
                job.session, job.request_id, request, (), models=job.models, job=job.job
            )
            self._events.append(TaskArrived(task))
        done = self._jobs.done(job.job)
        if done is not None and self._active.job(job.session, job.request_id) is job:
            self._close_job(job)
            self.tell(session, done, job.request_id)

    def _tell_started(self, task_id: int) -> None:
        task = self._active[task_id]
        session = None if task is None else self._sessions.named(task.session)
        if task is None or session is None or not task.job:
            return
        if isinstance(task.request, Render):
            event = self._jobs.started(task.job, task.request.frame)
            if event is not None:
                self.tell(session, event, task.request_id)


def _log_frame(job: str, frame: int, answer: Rendered | Failed) -> None:
    """Log the warnings and the error of a job's frame."""
    if isinstance(answer, Rendered):
        for text in answer.report.attention:
            _LOG.warning("job %s frame %d needs attention: %s", job, frame, text)
        for text in answer.report.decisions:
            _LOG.info("job %s frame %d: %s", job, frame, text)
    elif answer.code != "cancelled":
        _LOG.warning("job %s frame %d: %s", job, frame, answer.message)
