"""The engine: reads, computes and writes tasks, the most urgent first.

Owns the threads of a worker: readers, writers, and the one that computes, which is the caller of
``run``. Between tiles a render calls a checkpoint, which renders a more urgent task or ends a
cancelled one. Must not know sockets: a worker process and ``kwaflux enhance --embedded`` run the
same engine.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import Cancelled, KwafluxError, OutOfMemory, WorkerError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import BoundFlow, Flow
from kwaflux_core.frames.shot_profile import Shot, ShotProfile
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.failures import failed
from kwaflux_core.protocol.messages import (
    URGENCIES,
    Failed,
    Judge,
    Judged,
    Render,
    Rendered,
    Started,
    Urgency,
)
from kwaflux_models.catalog.user_models import OwnModels
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer, RenderedFrame
from kwaflux_models.rendering.lora_stacks import LoraStack, lora_record, resolve_loras
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_models.rendering.shot_decisions import NO_DECISIONS
from kwaflux_server.worker.frame_io import Fetched, Frames, Parts
from kwaflux_server.worker.provenance import Provenance
from kwaflux_server.worker.shot_judge import ShotJudge

__all__ = ["Answer", "Engine"]

_LOG = logging.getLogger("kwaflux.server.worker")

_Message: TypeAlias = "Rendered | Judged | Failed | Started"
Answer: TypeAlias = Callable[[int, _Message, tuple[memoryview, ...]], None]
"""Receives the answer to a task: its id, the message, the parts. Called from any thread."""

_NO_NAMES: Mapping[str, Flow] = MappingProxyType({})
_READERS = 2
_WRITERS = 2


@dataclass(slots=True)
class _Task:
    id: int
    is_cancelled: bool = field(default=False, kw_only=True)


@dataclass(slots=True)
class _RenderTask(_Task):
    request: Render
    parts: Parts
    fetched: Fetched | None = None
    provenance: Provenance | None = None
    loras: tuple[LoraStack | None, ...] = ()
    compute_s: float = 0.0


@dataclass(slots=True)
class _JudgeTask(_Task):
    request: Judge


@dataclass(order=True, slots=True)
class _Entry:
    order: int
    number: int
    task: _Task = field(compare=False)


_AnyTask = TypeVar("_AnyTask", bound=_Task)


@dataclass(slots=True)
class _Checkpoint:
    """Between tiles: end a cancelled task, and compute more urgent ones.

    ``others_s`` are the seconds that those took.
    """

    task: _Task
    more_urgent: Callable[[], _Entry | None]
    compute: Callable[[_Entry], None]
    others_s: float = 0.0

    def __call__(self) -> None:
        if self.task.is_cancelled:
            raise Cancelled("the request was cancelled")
        while (urgent := self.more_urgent()) is not None:
            left_s = time.perf_counter()
            self.compute(urgent)
            self.others_s += time.perf_counter() - left_s


class Engine:
    """Render tasks on one device.

    Args:
        renderer: Computes frames; used only by the thread that calls ``run``.
        frames: Fetches and delivers pixels.
        cards: The cards of the installed effects.
        named: The flows of the installed presets, by their ids.
        answer: Receives the answers.
        version: Version of Kwaflux, for the provenance.
        own: The user's models, among them the LoRAs that flows name.

    Thread: ``submit``, ``cancel`` and ``stop`` from any; ``run`` from one.
    """

    def __init__(
        self,
        renderer: FrameRenderer,
        *,
        frames: Frames,
        pool: PlanePool,
        cards: Mapping[str, Card],
        answer: Answer,
        version: str,
        named: Mapping[str, Flow] = _NO_NAMES,
        own: OwnModels | None = None,
    ) -> None:
        self._renderer = renderer
        self._frames = frames
        self._pool = pool
        self._answer = answer
        self._version = version
        self._own = own
        self._tasks: dict[int, _Task] = {}
        self._ready: list[_Entry] = []
        self._numbers = itertools.count()
        self._condition = threading.Condition()
        self._is_stopping = False
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="write")
        self._bind = lru_cache(maxsize=256)(lambda text: Flow.parse(text).bind(cards, named=named))

    @property
    def device(self) -> Device:
        """The device that computes frames."""
        return self._renderer.context.device

    @property
    def config(self) -> ColorConfig:
        """The OCIO config that defines colorspaces."""
        return self._renderer.context.config

    def submit(self, task_id: int, request: Render | Judge, parts: Parts = ()) -> None:
        """Accept a task; every task gets an answer through ``answer``."""
        if isinstance(request, Judge):
            judge = _JudgeTask(task_id, request)
            with self._condition:
                self._tasks[task_id] = judge
            self._make_ready(judge, request.submit.urgency)
            return
        task = _RenderTask(task_id, request, parts)
        with self._condition:
            self._tasks[task_id] = task
        if self._frames.is_immediate(request):
            self._guarded(task, self._fetch)
        else:
            self._readers.submit(self._guarded, task, self._fetch)

    def cancel(self, task_id: int) -> None:
        """Cancel a task; it ends within one tile. Unknown ids are ignored."""
        with self._condition:
            task = self._tasks.get(task_id)
            if task is None:
                return
            task.is_cancelled = True
            others = [entry for entry in self._ready if entry.task is not task]
            was_waiting = len(others) < len(self._ready)
            heapq.heapify(others)
            self._ready = others
        if was_waiting:
            self._finish(task, failed(Cancelled("the request was cancelled")), ())

    def stop(self) -> None:
        """End ``run`` after the current task."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()

    def close(self) -> None:
        """Wait until all results are written; call it after ``run`` has returned."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._writers.shutdown(wait=True)

    def run(self) -> None:
        """Compute tasks as they become ready, until ``stop``."""
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._ready or self._is_stopping)
                if self._is_stopping:
                    return
                entry = heapq.heappop(self._ready)
            self._compute(entry)
            del entry  # release its memory before waiting for the next task

    def _compute(self, entry: _Entry) -> None:
        """Render a task; more urgent ones that become ready meanwhile come first."""
        task = entry.task
        if isinstance(task, _JudgeTask):
            self._guarded(task, lambda judged: self._judge(judged, entry.order))
        elif isinstance(task, _RenderTask):
            self._compute_frame(task, entry.order)

    def _compute_frame(self, task: _RenderTask, order: int) -> None:
        if task.request.urgency != "interactive":
            self._answer(task.id, Started(), ())

        def render(task: _RenderTask) -> None:
            frame = self._render(task, order)
            if self._is_direct(task.request):
                self._deliver(task, frame)
            else:
                self._writers.submit(
                    self._guarded, task, lambda written: self._deliver(written, frame)
                )

        self._guarded(task, render)

    def _judge(self, task: _JudgeTask, order: int) -> None:
        """Estimate the shots of a job, and write what was found beside its results."""
        flow = self._bind(task.request.submit.flow)
        judge = ShotJudge(
            task.request,
            flow,
            loras=resolve_loras(flow, self._own),
            renderer=self._renderer,
            frames=self._frames,
            pool=self._pool,
            checkpoint=self._checkpoint(task, order),
        )
        profile = judge.profile()
        if profile.shots:
            self._frames.write_profile(task.request.file, profile)
        self._finish(task, Judged(profile.to_text()), ())

    def _checkpoint(self, task: _Task, order: int) -> _Checkpoint:
        return _Checkpoint(task, lambda: self._more_urgent(order), self._compute)

    def _render(self, task: _RenderTask, order: int) -> RenderedFrame:
        request, fetched = task.request, task.fetched
        if fetched is None or task.provenance is None:
            raise WorkerError("a task was computed before its pixels were fetched")
        begun_s, checkpoint = time.perf_counter(), self._checkpoint(task, order)
        checkpoint()
        flow, shot = self._bind(request.flow), task.provenance.shot
        decided = NO_DECISIONS
        if shot is not None:
            decided = self._renderer.estimates(flow, task.loras).decisions(shot.effects)
        frame = self._renderer.render(
            flow,
            fetched.plates,
            frame=request.frame,
            scratch=self._pool.take,
            final=lambda height, width: self._frames.final_planes(request, height, width),
            region=None if request.region is None else Box(*request.region),
            loras=task.loras,
            decided=decided,
            checkpoint=checkpoint,
        )
        task.compute_s = time.perf_counter() - begun_s - checkpoint.others_s
        return frame

    def _more_urgent(self, order: int) -> _Entry | None:
        with self._condition:
            if self._ready and self._ready[0].order < order:
                return heapq.heappop(self._ready)
        return None

    def _fetch(self, task: _RenderTask) -> None:
        if task.is_cancelled:
            raise Cancelled("the request was cancelled")
        flow: BoundFlow = self._bind(task.request.flow)
        task.loras = resolve_loras(flow, self._own)
        task.provenance = Provenance(
            task.request,
            flow,
            self.device,
            self.config.name,
            self._version,
            lora_record(task.loras),
            _shot(task.request),
        )
        task.fetched = self._frames.fetch(task.request, flow, task.parts, task.provenance)
        if task.fetched.skipped is not None:
            self._finish(task, task.fetched.skipped, ())
            return
        self._make_ready(task, task.request.urgency)

    def _make_ready(self, task: _Task, urgency: Urgency) -> None:
        entry = _Entry(URGENCIES.index(urgency), next(self._numbers), task)
        with self._condition:
            heapq.heappush(self._ready, entry)
            self._condition.notify()

    def _deliver(self, task: _RenderTask, frame: RenderedFrame) -> None:
        if task.fetched is None or task.provenance is None:
            raise WorkerError("a task was delivered before it was fetched")
        if task.is_cancelled:
            raise Cancelled("the request was cancelled")
        delivery = self._frames.deliver(
            task.request, task.fetched, frame, task.provenance, compute_s=task.compute_s
        )
        self._frames.give_back(task.request, frame)
        self._finish(task, delivery.message, delivery.parts)

    def _is_direct(self, request: Render) -> bool:
        return request.target.by in ("shm", "inline")

    def _guarded(self, task: _AnyTask, stage: Callable[[_AnyTask], None]) -> None:
        """Run a stage of a task; any exception becomes the task's answer."""
        try:
            stage(task)
        except KwafluxError as error:
            self._finish(task, failed(error), ())
        except MemoryError as error:
            self._finish(task, failed(OutOfMemory(f"memory ran out: {error}")), ())
        except Exception as error:
            _LOG.exception("unexpected error in task %d", task.id)
            text = f"{type(error).__name__}: {error}"
            self._finish(task, failed(WorkerError(f"unexpected error in the worker: {text}")), ())

    def _finish(
        self, task: _Task, message: Rendered | Judged | Failed, parts: tuple[memoryview, ...]
    ) -> None:
        with self._condition:
            self._tasks.pop(task.id, None)
        self._answer(task.id, message, parts)


def _shot(request: Render) -> Shot | None:
    """Return what a request's profile says of its frame's shot."""
    return ShotProfile.parse(request.profile).shot_of(request.frame) if request.profile else None
