"""Embedded rendering: the worker's engine in the caller's process, without a server."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator
from typing import TypeAlias

from kwaflux_core.errors import RequestError
from kwaflux_core.flows.flow import Flow
from kwaflux_core.images.io import is_movie
from kwaflux_core.protocol.messages import (
    Cancel,
    Failed,
    JobDone,
    JobEvent,
    Message,
    Rendered,
    Started,
    Submit,
)
from kwaflux_models.catalog.registry import Registry
from kwaflux_server.jobs.job_plan import JobPlan, plan_job
from kwaflux_server.jobs.open_jobs import OpenJobs
from kwaflux_server.jobs.plan_processes import JobPlanner
from kwaflux_server.path_guard import PathGuard
from kwaflux_server.worker.process import WorkerOptions, make_engine
from kwaflux_server.worker.rings import AttachedRings

__all__ = ["EmbeddedJob"]

Answer: TypeAlias = tuple[int, Message]
_CANCEL = -1


class EmbeddedJob:
    """Render a job in this process.

    Args:
        submit: The request; its paths are absolute.
        options: The device and its limits.
        frames_in_flight: Number of frames that are read, computed or written at a time.

    Raises:
        KwafluxError: The flow, the range or the device is invalid.

    Thread: one; the engine starts its own threads.
    """

    def __init__(self, submit: Submit, *, options: WorkerOptions, frames_in_flight: int) -> None:
        registry = Registry.discover()
        flow = Flow.parse(submit.flow).bind(registry.cards, named=registry.named_flows)
        self._jobs = OpenJobs(window=frames_in_flight)
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._accepted = self._jobs.open(submit, flow, _planned(submit, options))
        self._engine = make_engine(options, name="embedded", rings=AttachedRings(""), put=self._put)
        self._ids = itertools.count(1)
        self._running: dict[int, int] = {}
        self._done: JobDone | None = None

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames to render, in order."""
        return self._accepted.frames

    def result(self) -> JobDone:
        """Return the outcome of the job.

        Raises:
            RequestError: The job has not ended: its events were not read to the end.
        """
        if self._done is None:
            raise RequestError("the job has not ended", hint="read its events first")
        return self._done

    def events(self) -> Iterator[JobEvent]:
        """Render every frame; yield its events."""
        thread = threading.Thread(target=self._engine.run, name="compute")
        thread.start()
        try:
            yield from self._events()
        finally:
            self._engine.stop()
            thread.join()
            self._engine.close()

    def cancel(self) -> None:
        """Cancel the remaining frames; their events still follow. Any thread."""
        self._put(_CANCEL, Cancel(_CANCEL), ())

    def _events(self) -> Iterator[JobEvent]:
        job = self._accepted.job
        while True:
            for request in self._jobs.next_frames(job):
                task_id = next(self._ids)
                self._running[task_id] = request.frame
                self._engine.submit(task_id, request)
            self._done = self._jobs.done(job)
            if self._done is not None:
                return
            task_id, answer = self._answers.get()
            yield from self._told(job, task_id, answer)

    def _told(self, job: str, task_id: int, answer: Message) -> Iterator[JobEvent]:
        if task_id == _CANCEL:
            yield from self._jobs.cancel(job)
            for running in self._running:
                self._engine.cancel(running)
        elif task_id in self._running:
            frame, event = self._running[task_id], None
            if isinstance(answer, Started):
                event = self._jobs.started(job, frame)
            elif isinstance(answer, (Rendered, Failed)):
                del self._running[task_id]
                event = self._jobs.finished(job, frame, answer)
            if event is not None:
                yield event

    def _put(self, task_id: int, message: Message, parts: tuple[memoryview, ...]) -> None:
        self._answers.put((task_id, message))


def _planned(submit: Submit, options: WorkerOptions) -> JobPlan:
    """Plan a job here; a movie's in a child process, which a damaged file may crash."""
    if not is_movie(submit.source):
        guard = PathGuard(options.roots)
        return plan_job(submit, guard=guard, frame_bytes_max=options.frame_bytes_max)
    planner = JobPlanner(options.roots, frame_bytes_max=options.frame_bytes_max)
    try:
        return planner.begin(submit).result()
    finally:
        planner.close()
