"""Embedded rendering: the worker's engine in the caller's process, without a server."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator
from typing import TypeAlias

from kwaflux_core.errors import RequestError
from kwaflux_core.flows.flow import Flow
from kwaflux_core.frames.shot_profile import ShotProfile
from kwaflux_core.images.io import is_movie
from kwaflux_core.protocol.failures import failure_of
from kwaflux_core.protocol.messages import (
    Cancel,
    Failed,
    JobDone,
    JobEvent,
    Judge,
    Judged,
    Message,
    Render,
    Rendered,
    Started,
    Submit,
)
from kwaflux_core.settings.settings import ServerSettings
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.rendering.device import Device
from kwaflux_server.jobs.job_plan import JobPlan, plan_job
from kwaflux_server.jobs.open_jobs import OpenJobs
from kwaflux_server.jobs.plan_processes import JobPlanner
from kwaflux_server.path_guard import PathGuard
from kwaflux_server.worker.process import WorkerOptions, make_engine
from kwaflux_server.worker.rings import AttachedRings

__all__ = ["EmbeddedJob", "embedded_options", "judge_here"]

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
        self._running: dict[int, Render | Judge] = {}
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
            for request in self._jobs.next_requests(job):
                task_id = next(self._ids)
                self._running[task_id] = request
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
            request, event = self._running[task_id], None
            if not isinstance(answer, Started):
                del self._running[task_id]
            if isinstance(request, Judge):
                if isinstance(answer, (Judged, Failed)):
                    yield from self._jobs.judged(job, answer)
            elif isinstance(answer, Started):
                event = self._jobs.started(job, request.frame)
            elif isinstance(answer, (Rendered, Failed)):
                event = self._jobs.finished(job, request.frame, answer)
            if event is not None:
                yield event

    def _put(self, task_id: int, message: Message, parts: tuple[memoryview, ...]) -> None:
        self._answers.put((task_id, message))


def embedded_options(settings: ServerSettings) -> WorkerOptions:
    """Return the options of a worker in this process: on the first of the settings' devices."""
    device = settings.devices[0]
    return WorkerOptions(
        Device.available()[0] if device == "auto" else device,
        precision=settings.precision,
        tile_px=settings.tile_px,
        memory_budget_bytes=settings.memory_budget_bytes,
        frame_bytes_max=settings.frame_bytes_max,
    )


def judge_here(submit: Submit, *, file: str, options: WorkerOptions) -> ShotProfile:
    """Judge the shots of a job's frames in this process, and write their profile to a file.

    Raises:
        KwafluxError: The flow, the source or the device is invalid, or the file cannot be written.
    """
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    engine = make_engine(
        options,
        name="embedded",
        rings=AttachedRings(""),
        put=lambda task_id, message, parts: answers.put((task_id, message)),
    )
    engine.submit(1, Judge(submit, _planned(submit, options).to_json(), file))
    thread = threading.Thread(target=engine.run, name="compute")
    thread.start()
    try:
        while True:
            _, answer = answers.get()
            if isinstance(answer, Failed):
                raise failure_of(answer)
            if isinstance(answer, Judged):
                return ShotProfile.parse(answer.profile)
    finally:
        engine.stop()
        thread.join()
        engine.close()


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
