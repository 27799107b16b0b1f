"""Everything the gateway has promised an answer to: tasks, jobs and plans under way.

Owns, for each session's request, what it became (a task, a job, a plan that is being made), and for
each task its request, parts and answer. Must not know sockets, the scheduler or the disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from kwaflux_core.errors import ProtocolError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.protocol.messages import Failed, InlinePixels, Render, Rendered, ShmPixels
from kwaflux_server.gateway.router_sockets import Parts
from kwaflux_server.jobs.plan_processes import PendingPlan
from kwaflux_server.scheduler.events import Task

__all__ = ["ActiveJob", "ActivePlan", "ActiveTask", "ActiveTasks", "models_of"]


@dataclass(slots=True)
class ActiveTask:
    """Hold a task between its arrival and its release.

    Args:
        session: Whose it is.
        request_id: Under which id it was asked for; of a job's frame, the job's.
        request: What is asked for.
        parts: What came with it.
        job: The job it belongs to, or empty.
        answer: The worker's answer, once it came.
        answer_parts: What came with that.
    """

    session: str
    request_id: int
    request: Render
    parts: Parts
    job: str
    answer: Rendered | Failed | None = None
    answer_parts: Parts = ()


@dataclass(frozen=True, slots=True)
class ActiveJob:
    """Hold a job: whose it is, its name, and the models its frames want warm."""

    session: str
    request_id: int
    job: str
    models: str


@dataclass(frozen=True, slots=True)
class ActivePlan:
    """Hold a submission whose plan is being made."""

    session: str
    request_id: int
    flow: BoundFlow
    pending: PendingPlan


class ActiveTasks:
    """Hold what is under way, by task and by each session's request id."""

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
        """Refuse an id that a request of the session still has.

        Raises:
            ProtocolError: It does.
        """
        key = (session, request_id)
        if key in self._single or key in self._jobs or key in self._plans:
            raise ProtocolError(
                f"the id {request_id} belongs to a request that still runs",
                hint="give every request an id of its own",
            )

    # --- tasks ------------------------------------------------------------------------------

    def admit(
        self,
        session: str,
        request_id: int,
        request: Render,
        parts: Parts,
        *,
        models: str,
        job: str = "",
    ) -> Task:
        """Take a frame; return what the scheduler must know of it."""
        task_id = next(self._ids)
        self._tasks[task_id] = ActiveTask(session, request_id, request, parts, job)
        if not job:
            self._single[session, request_id] = task_id
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
        """Take a task out; None where there is none."""
        task = self._tasks.pop(task_id, None)
        if task is not None and not task.job:
            self._single.pop((task.session, task.request_id), None)
        return task

    def note_answer(self, task_id: int, answer: Rendered | Failed, parts: Parts) -> None:
        """Keep a worker's answer until the scheduler releases the task."""
        task = self._tasks.get(task_id)
        if task is not None:
            task.answer, task.answer_parts = answer, parts

    def ids(self) -> tuple[int, ...]:
        """Return the ids of all tasks."""
        return tuple(self._tasks)

    def drop_frames_of_jobs(self) -> None:
        """Forget the frames of all jobs."""
        self._tasks = {key: task for key, task in self._tasks.items() if not task.job}

    # --- jobs -------------------------------------------------------------------------------

    def open_job(self, session: str, request_id: int, *, job: str, models: str) -> ActiveJob:
        """Take a job that was accepted."""
        active = ActiveJob(session, request_id, job, models)
        self._jobs[session, request_id] = active
        return active

    def job(self, session: str, request_id: int) -> ActiveJob | None:
        """Return the job that a request became, or None."""
        return self._jobs.get((session, request_id))

    def close_job(self, job: ActiveJob) -> None:
        """Forget a job; its frames are tasks of their own."""
        self._jobs.pop((job.session, job.request_id), None)

    def jobs_of(self, session: str) -> tuple[ActiveJob, ...]:
        """Return the jobs of a session."""
        return tuple(job for (name, _), job in self._jobs.items() if name == session)

    # --- plans ------------------------------------------------------------------------------

    def begin_plan(self, plan: ActivePlan) -> None:
        """Take a submission whose plan is being made."""
        self._plans[plan.session, plan.request_id] = plan

    def ended_plans(self) -> Iterator[ActivePlan]:
        """Take out the submissions whose plan is made, or has failed."""
        for key, plan in list(self._plans.items()):
            if plan.pending.is_done():
                del self._plans[key]
                yield plan

    def plan_files(self) -> tuple[int, ...]:
        """Return the descriptors that become readable when a plan may be made."""
        return tuple(plan.pending.fileno() for plan in self._plans.values())

    def cancel_plan(self, session: str, request_id: int) -> bool:
        """Give up the plan of a request; tell whether there was one."""
        plan = self._plans.pop((session, request_id), None)
        if plan is not None:
            plan.pending.end()
        return plan is not None

    def drop_plans(self, session: str) -> tuple[int, ...]:
        """Give up all plans of a session; return the ids of their requests."""
        ids = tuple(request_id for name, request_id in self._plans if name == session)
        for request_id in ids:
            self.cancel_plan(session, request_id)
        return ids


def models_of(flow: BoundFlow) -> str:
    """Return what must be warm for a flow, as one text: equal texts want the same models."""
    return ",".join(sorted({step.card.id for step in flow.steps}))


def _bytes_held(request: Render) -> int:
    """Return the bytes of pixels that a request holds in memory."""
    total = 0
    for source in request.sources:
        if isinstance(source.pixels, (ShmPixels, InlinePixels)):
            x0, y0, x1, y1 = source.pixels.planes.window
            total += (x1 - x0) * (y1 - y0) * len(source.pixels.planes.channels) * 4
    return total
