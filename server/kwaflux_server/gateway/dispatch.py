"""From requests to workers and back: the scheduler's hands.

Owns the live tasks: their requests, their parts, their answers. Turns what happens into the
scheduler's events and carries out its actions. Decides nothing itself. Must not import torch.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable

from kwaflux_core.errors import Cancelled, KwafluxError, ProtocolError, WorkerError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.protocol.codec import Envelope
from kwaflux_core.protocol.failures import failed
from kwaflux_core.protocol.messages import (
    Beat,
    Cancel,
    Failed,
    Message,
    Render,
    Rendered,
    Started,
    Submit,
    WorkerReady,
)
from kwaflux_server.gateway.active_task import LiveTask, bytes_held, models_of
from kwaflux_server.gateway.router_sockets import Parts, Switchboard
from kwaflux_server.gateway.session import Session, Sessions
from kwaflux_server.gateway.supervisor import Supervisor
from kwaflux_server.jobs.open_jobs import JobDesk
from kwaflux_server.jobs.pending_probes import Looks, Waiting
from kwaflux_server.movie.probe import MovieFacts
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
    Task,
    TaskArrived,
    TaskFailed,
    TaskFinished,
    TaskStarted,
    Tick,
    WorkerJoined,
    WorkerLost,
)
from kwaflux_server.scheduler.state import Scheduler

__all__ = ["Dispatcher"]

_LOG = logging.getLogger("kwaflux.server.dispatch")


class Dispatcher:
    """Carry requests to workers and answers to clients.

    Args:
        switchboard: The sockets.
        scheduler: Decides.
        sessions: Who waits for what.
        supervisor: The workers.
        jobs: The frame ranges under way.
        slots: Tasks that a worker holds at a time.
        clock: Seconds that never run backwards.

    Thread: the gateway's.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        *,
        scheduler: Scheduler,
        sessions: Sessions,
        supervisor: Supervisor,
        jobs: JobDesk,
        slots: int,
        clock: Callable[[], float],
    ) -> None:
        self._switchboard = switchboard
        self._scheduler = scheduler
        self._sessions = sessions
        self._supervisor = supervisor
        self._jobs = jobs
        self._slots = slots
        self._clock = clock
        self._live: dict[int, LiveTask] = {}
        self._models: dict[str, str] = {}
        self._looks = Looks()
        self._task_ids = itertools.count(1)
        self._events: deque[Event] = deque()
        self._is_handling = False

    # --- from clients -----------------------------------------------------------------------

    def join(self, session: Session) -> None:
        """Take in a new session."""
        self._handle(ClientJoined(session.name))

    def leave(self, session: Session) -> None:
        """Drop the work of a session that is gone."""
        self._looks.drop(session.name)
        for job in session.jobs.values():
            self._close_job(job)
        self._handle(ClientLeft(session.name))

    def render(
        self, session: Session, request_id: int, request: Render, flow: BoundFlow, parts: Parts
    ) -> None:
        """Take a single frame.

        Raises:
            ProtocolError: The id belongs to a request that still runs.
        """
        self._check_unused(session, request_id)
        self._arrive(session, request_id, request, parts, job="", models=models_of(flow))

    def submit(self, session: Session, request_id: int, submit: Submit, flow: BoundFlow) -> None:
        """Take a frame range and accept it; a movie is looked at first, and accepted by ``tick``.

        Raises:
            ProtocolError: The id belongs to a request that still runs.
            RequestError: The range, the source or the target cannot be what was meant.
        """
        self._check_unused(session, request_id)
        look = self._jobs.look(submit)
        if look is None:
            self._accept(session, request_id, submit, flow, movie=None)
        else:
            self._looks.begin(Waiting(session.name, request_id, submit, flow), look)

    def _accept(
        self,
        session: Session,
        request_id: int,
        submit: Submit,
        flow: BoundFlow,
        *,
        movie: MovieFacts | None,
    ) -> None:
        accepted = self._jobs.open(submit, flow, movie=movie)
        session.jobs[request_id] = accepted.job
        self._models[accepted.job] = models_of(flow)
        _LOG.info("job %s: %s through %s", accepted.job, submit.source, flow.to_text())
        self.tell(session, accepted, request_id)
        self._feed(session, request_id, accepted.job)

    def cancel(self, session: Session, request_id: int) -> None:
        """Cancel a request or a job of a session; unknown ids are ignored."""
        if self._looks.cancel(session.name, request_id):
            self.tell(session, failed(Cancelled("the request was cancelled")), request_id)
            return
        job = session.jobs.get(request_id)
        if job is None:
            self._handle(CancelTask(session.name, request_id))
            return
        for event in self._jobs.cancel(job):
            self.tell(session, event, request_id)
        self._handle(CancelJob(session.name, job))
        self._feed(session, request_id, job)

    def tell(self, session: Session, message: Message, request_id: int, parts: Parts = ()) -> None:
        """Send to a client; one that cannot be reached is heard of no more, and dropped."""
        if not self._switchboard.to_client(session.identity, message, request_id, parts):
            session.heard_s = float("-inf")

    # --- from workers -----------------------------------------------------------------------

    def from_worker(self, worker: str, envelope: Envelope) -> None:
        """Take a worker's word; words of a worker that was lost are ignored."""
        if not self._supervisor.knows(worker):
            return
        task_id = envelope.request_id
        match envelope.message:
            case WorkerReady() as ready:
                if self._supervisor.noted(ready):
                    _LOG.info("worker %s is ready on %s", worker, ready.device_label)
                    self._handle(WorkerJoined(worker, self._slots, ready.device))
            case Started():
                self._handle(TaskStarted(task_id, worker))
                self._tell_started(task_id)
            case Rendered() as rendered:
                self._note_answer(task_id, rendered, envelope.parts)
                self._handle(TaskFinished(task_id, worker))
            case Failed() as failure:
                self._note_answer(task_id, failure, ())
                self._handle(TaskFailed(task_id, worker, failure.code, failure.retryable))
            case message:
                _LOG.error("worker %s sent %s", worker, message.kind)

    def say_to_workers(self, message: Message) -> None:
        """Send a message to every worker that is ready."""
        for info in self._supervisor.infos():
            if info.is_ready:
                self._switchboard.to_worker(info.name, message, 0)

    # --- time -------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look after the workers and what takes too long."""
        for lost in self._supervisor.poll():
            self._handle(WorkerLost(lost.name, lost.reason))
        self._accept_movies()
        if self._supervisor.is_hopeless and self._live:
            self.fail_all(WorkerError("no worker could be started; see the server's log"))
        self._handle(Tick())

    def beat(self) -> None:
        """Tell every client and worker that the server lives."""
        for session in self._sessions:
            self.tell(session, Beat(), 0)
        self.say_to_workers(Beat())

    def snapshot(self) -> Snapshot:
        """Count the tasks."""
        return self._scheduler.snapshot()

    def fail_all(self, error: KwafluxError) -> None:
        """Answer every live task with an error, and have the scheduler forget them."""
        while self._live:  # a job's next frames arrive as its others end
            for task_id in list(self._live):
                self._release(task_id, failed(error))
        for session in self._sessions:
            self._handle(ClientLeft(session.name))
            self._handle(ClientJoined(session.name))

    def drain(self) -> None:
        """Hand out nothing more; what the workers hold is finished. Once or more often."""
        self._handle(Drain())

    def end(self, error: KwafluxError) -> None:
        """Answer all that is left with an error, each job as a whole."""
        for session in self._sessions:
            for request_id in self._looks.drop(session.name):
                self.tell(session, failed(error), request_id)
            jobs, session.jobs = session.jobs, {}
            for request_id, job in jobs.items():
                self._close_job(job)
                self.tell(session, failed(error), request_id)
        self._live = {task_id: live for task_id, live in self._live.items() if not live.job}
        self.fail_all(error)

    # --- the scheduler's actions ------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        """Hand an event to the scheduler, after those whose actions are still carried out."""
        self._events.append(event)
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._events:
                event = self._events.popleft()
                for action in self._scheduler.handle(event, now_s=self._clock()):
                    self._act(action)
        finally:
            self._is_handling = False

    def _act(self, action: Action) -> None:
        match action:
            case Assign(task_id, worker):
                live = self._live.get(task_id)
                if live is not None:
                    self._switchboard.to_worker(worker, live.request, task_id, live.parts)
            case Revoke(task_id, worker):
                self._switchboard.to_worker(worker, Cancel(task_id), 0)
            case Release(task_id, outcome, error):
                self._release(task_id, error, is_silent=outcome == "client_gone")
            case Reject(task_id, code, message, hint):
                self._release(task_id, Failed(code, message, hint, retryable=True))
            case RestartWorker(worker):
                _LOG.warning("worker %s does not answer; it is started again", worker)
                self._supervisor.restart(worker)

    def _release(self, task_id: int, error: Failed | None, *, is_silent: bool = False) -> None:
        live = self._live.pop(task_id, None)
        session = None if live is None else self._sessions.named(live.session)
        if live is None or session is None or is_silent:
            return
        answer = error or live.answer or failed(WorkerError("the worker gave no answer"))
        if not live.job:
            session.tasks.pop(live.request_id, None)
            parts = live.answer_parts if answer is live.answer else ()
            self.tell(session, answer, live.request_id, parts)
            return
        _log_frame(live.job, live.request.frame, answer)
        event = self._jobs.finished(live.job, live.request.frame, answer)
        if event is not None:
            self.tell(session, event, live.request_id)
            self._feed(session, live.request_id, live.job)

    # --- tasks ------------------------------------------------------------------------------

    def _accept_movies(self) -> None:
        """Accept the jobs whose movies have been looked at, or say why not."""
        for waiting, found in self._looks.ended():
            session = self._sessions.named(waiting.session)
            if session is None:
                continue
            request_id = waiting.request_id
            try:
                if isinstance(found, KwafluxError):
                    raise found
                self._accept(session, request_id, waiting.submit, waiting.flow, movie=found)
            except KwafluxError as error:
                self.tell(session, failed(error), request_id)

    def _check_unused(self, session: Session, request_id: int) -> None:
        is_waiting = self._looks.is_waiting(session.name, request_id)
        if is_waiting or request_id in session.tasks or request_id in session.jobs:
            raise ProtocolError(
                f"the id {request_id} belongs to a request that still runs",
                hint="give every request an id of its own",
            )

    def _close_job(self, job: str) -> None:
        self._jobs.close(job)
        self._models.pop(job, None)

    def _arrive(
        self,
        session: Session,
        request_id: int,
        request: Render,
        parts: Parts,
        *,
        job: str,
        models: str,
    ) -> None:
        task_id = next(self._task_ids)
        self._live[task_id] = LiveTask(session.name, request_id, request, parts, job)
        if not job:
            session.tasks[request_id] = task_id
        task = Task(
            task_id,
            session.name,
            request_id,
            request.urgency,
            node=request.node,
            job=job,
            bytes_held=bytes_held(request),
            flow=models,
        )
        self._handle(TaskArrived(task))

    def _feed(self, session: Session, request_id: int, job: str) -> None:
        """Let the next frames of a job arrive, and close it once none is left."""
        while requests := self._jobs.next_frames(job):
            for request in requests:
                try:
                    self._jobs.check(request)
                except KwafluxError as error:
                    event = self._jobs.finished(job, request.frame, failed(error))
                    if event is not None:
                        self.tell(session, event, request_id)
                else:
                    models = self._models[job]
                    self._arrive(session, request_id, request, (), job=job, models=models)
        done = self._jobs.done(job)
        if done is not None and session.jobs.get(request_id) == job:
            self._close_job(job)
            del session.jobs[request_id]
            self.tell(session, done, request_id)

    def _note_answer(self, task_id: int, answer: Rendered | Failed, parts: Parts) -> None:
        live = self._live.get(task_id)
        if live is not None:
            live.answer, live.answer_parts = answer, parts

    def _tell_started(self, task_id: int) -> None:
        live = self._live.get(task_id)
        session = None if live is None else self._sessions.named(live.session)
        if live is not None and session is not None and live.job:
            event = self._jobs.started(live.job, live.request.frame)
            if event is not None:
                self.tell(session, event, live.request_id)


def _log_frame(job: str, frame: int, answer: Rendered | Failed) -> None:
    """Log what a person will want to know of a job's frame afterwards."""
    if isinstance(answer, Rendered):
        for text in answer.attention:
            _LOG.warning("job %s frame %d needs attention: %s", job, frame, text)
        if answer.measured:
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in answer.measured.items())
            _LOG.info("job %s frame %d: %s", job, frame, numbers)
    elif answer.code != "cancelled":
        _LOG.warning("job %s frame %d: %s", job, frame, answer.message)
