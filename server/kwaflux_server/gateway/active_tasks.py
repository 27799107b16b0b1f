"""Records of active tasks, jobs and plans: every request that still needs an answer.

Maps each session's request to its task, job or unfinished plan, and each task to its request, parts
and answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from kwaflux_core.errors import ProtocolError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.protocol.messages import (
    Failed,
    InlinePixels,
    Judge,
    Judged,
    Render,
    Rendered,
    ShmPixels,
)
from kwaflux_server.gateway.router_sockets import Parts
from kwaflux_server.jobs.plan_processes import PendingPlan
from kwaflux_server.scheduler.events import Task

__all__ = ["ActiveJob", "ActivePlan", "ActiveTask", "ActiveTasks", "models_of"]


@dataclass(slots=True)
class ActiveTask:
    """A task between its arrival and its release.

    Args:
        session: Name of the session.
        request_id: Id of the client's request; for a frame of a job, the job's.
        request: The request.
        parts: The raw parts of the request.
        job: The job it belongs to, or empty.
        answer: The worker's answer, None until it arrives.
        answer_parts: The raw parts of the answer.
    """

    session: str
    request_id: int
    request: Render | Judge
    parts: Parts
    job: str
    answer: Rendered | Judged | Failed | None = None
    answer_parts: Parts = ()


@dataclass(frozen=True, slots=True)
class ActiveJob:
    """A job: its session, its name, and the models its frames need in memory."""

    session: str
    request_id: int
    job: str
    models: str


@dataclass(frozen=True, slots=True)
class ActivePlan:
    """A submission that is being planned."""

    session: str
    request_id: int
    flow: BoundFlow
    pending: PendingPlan


class ActiveTasks:
    """The active tasks, jobs and plans, by task id and by session and request id."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._tasks: dict[int, ActiveTask] = {}
        self._single: dict[tuple[str, int], int] = {}
        self._jobs: dict[tuple[str, int], ActiveJob] = {}
        self._plans: dict[tuple[str, int], ActivePlan] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, task_id: int) -> ActiveTask | None:
        return self._tasks.get(task_id)

    def check_unused(self, session: str, request_id: int) -> None:
        """Refuse a request id that an active request of the session has.

        Raises:
            ProtocolError: The id is in use.
        """
        key = (session, request_id)
        if key in self._single or key in self._jobs or key in self._plans:
            raise ProtocolError(
                f"the id {request_id} belongs to an active request",
                hint="use a new id for every request",
            )

    # --- tasks ------------------------------------------------------------------------------

    def admit(
        self,
        session: str,
        request_id: int,
        request: Render | Judge,
        parts: Parts,
        *,
        models: str,
        job: str = "",
    ) -> Task:
        """Add a frame, or the judging of a job's shots; return its task for the scheduler."""
        task_id = next(self._ids)
        self._tasks[task_id] = ActiveTask(session, request_id, request, parts, job)
        if not job:
            self._single[session, request_id] = task_id
        if isinstance(request, Judge):
            urgency = request.submit.urgency
            return Task(task_id, session, request_id, urgency, job=job, flow=models)
        return Task(
            task_id,
            session,
            request_id,
            request.urgency,
            node=request.node,
            job=job,
            bytes_held=_bytes_held(request),
            flow=models,
        )

    def finish(self, task_id: int) -> ActiveTask | None:
        """Remove and return a task; None if there is none."""
        task = self._tasks.pop(task_id, None)
        if task is not None and not task.job:
            self._single.pop((task.session, task.request_id), None)
        return task

    def note_answer(self, task_id: int, answer: Rendered | Judged | Failed, parts: Parts) -> None:
        """Store a worker's answer until the scheduler releases the task."""
        task = self._tasks.get(task_id)
        if task is not None:
            task.answer, task.answer_parts = answer, parts

    def ids(self) -> tuple[int, ...]:
        """Return the ids of all tasks."""
        return tuple(self._tasks)

    def drop_frames_of_jobs(self) -> None:
        """Remove the frames of all jobs."""
        self._tasks = {key: task for key, task in self._tasks.items() if not task.job}

    # --- jobs -------------------------------------------------------------------------------

    def open_job(self, session: str, request_id: int, *, job: str, models: str) -> ActiveJob:
        """Add an accepted job."""
        active = ActiveJob(session, request_id, job, models)
        self._jobs[session, request_id] = active
        return active

    def job(self, session: str, request_id: int) -> ActiveJob | None:
        """Return the job of a request, or None."""
        return self._jobs.get((session, request_id))

    def close_job(self, job: ActiveJob) -> None:
        """Remove a job; its frames stay, as tasks."""
        self._jobs.pop((job.session, job.request_id), None)

    def jobs_of(self, session: str) -> tuple[ActiveJob, ...]:
        """Return the jobs of a session."""
        return tuple(job for (name, _), job in self._jobs.items() if name == session)

    # --- plans ------------------------------------------------------------------------------

    def begin_plan(self, plan: ActivePlan) -> None:
        """Add a submission that is being planned."""
        self._plans[plan.session, plan.request_id] = plan

    def ended_plans(self) -> Iterator[ActivePlan]:
        """Remove and return the submissions whose plan is ready or has failed."""
        for key, plan in list(self._plans.items()):
            if plan.pending.is_done():
                del self._plans[key]
                yield plan

    def plan_files(self) -> tuple[int, ...]:
        """Return the file descriptors that become readable when a plan may be ready."""
        return tuple(plan.pending.fileno() for plan in self._plans.values())

    def cancel_plan(self, session: str, request_id: int) -> bool:
        """Cancel the plan of a request; return whether there was one."""
        plan = self._plans.pop((session, request_id), None)
        if plan is not None:
            plan.pending.end()
        return plan is not None

    def drop_plans(self, session: str) -> tuple[int, ...]:
        """Cancel all plans of a session; return the ids of their requests."""
        ids = tuple(request_id for name, request_id in self._plans if name == session)
        for request_id in ids:
            self.cancel_plan(session, request_id)
        return ids


def models_of(flow: BoundFlow) -> str:
    """Return the key of a flow's models: flows with equal keys need the same models."""
    return ",".join(sorted({step.card.id for step in flow.steps}))


def _bytes_held(request: Render) -> int:
    """Return the bytes of pixels that a request holds in memory."""
    total = 0
    for source in request.sources:
        if isinstance(source.pixels, (ShmPixels, InlinePixels)):
            x0, y0, x1, y1 = source.pixels.planes.window
            total += (x1 - x0) * (y1 - y0) * len(source.pixels.planes.channels) * 4
    return total
