"""The enhancement of a node: the host renders batches of its frames, the server enhances them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from kwaflux_core.errors import Cancelled, HostError, KwafluxError
from kwaflux_core.frames.shot_profile import profile_path
from kwaflux_hosting.batch.file_patterns import expand_view
from kwaflux_hosting.batch.range_render import (
    FrameProgress,
    FrameState,
    OpenClient,
    Progress,
    RangeRender,
)
from kwaflux_hosting.batch.results_index import RenderRequest
from kwaflux_hosting.exchange_folder import ExchangeFolder

if TYPE_CHECKING:
    from kwaflux_core.client.client import Client

__all__ = ["EnhanceRequest", "NodeEnhance", "RenderFrame", "State", "opener"]

_POLL_S: Final = 0.1
_END_S: Final = 60.0
_BATCH_FRAMES: Final = 48
_NAMED: Final = 3
_ENDED: Final = ("good", "attention", "failed")


def opener(name: str, environ: Mapping[str, str]) -> OpenClient:
    """Return what opens a client for a work, with the settings of an environment."""

    def open_client(say: Callable[[str], None], cancel: threading.Event) -> Client:
        from kwaflux_hosting.server_link.local_server import connect

        return connect(say=say, cancel=cancel, name=name, environ=environ)

    return open_client


class RenderFrame(Protocol):
    """Render one frame of the host's plate to a file, losslessly."""

    def __call__(self, frame: int, *, pattern: str, view: str) -> None:
        """Do it.

        Raises:
            Cancelled: The person pressed Cancel.
            HostError: This frame cannot be rendered; the others may.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhanceRequest:
    """Say what is to be done.

    Args:
        order: What is asked for each frame.
        pattern: Of the results, with ``%V`` where views have files of their own.
        todo: The frames of each view that are missing or out of date.
        total: How many frames were asked for, with those that are up to date.
        span: The frames that the plate has.
        around: How many frames before and after a frame the flow reads.
        source_key: What the source of every frame is.
        is_redone: Whether results that are good are made again.
    """

    order: RenderRequest
    pattern: str
    todo: Mapping[str, Sequence[int]]
    total: int
    span: range
    around: tuple[int, int]
    source_key: str
    is_redone: bool = False

    @property
    def count(self) -> int:
        """How many frames are to be done."""
        return sum(map(len, self.todo.values()))


@dataclass(frozen=True, slots=True)
class State:
    """Tell how far it is: a sentence, a share from 0 to 1, and how many frames have ended."""

    text: str
    fraction: float
    ended: int


class NodeEnhance:
    """Do what is asked; ``run`` it in a thread of its own, or where nothing else has to go on.

    Args:
        asked: What.
        render: Renders a frame.
        look: Called ten times a second, and after each frame, with how far it is; returns whether
            the person pressed Cancel.
        open_client: Opens the client.

    Attributes:
        outcomes: What came of each (view, frame) that ended.
        problem: What ended it all, where something did.

    Thread: ``cancel`` from any.
    """

    def __init__(
        self,
        asked: EnhanceRequest,
        *,
        render: RenderFrame,
        look: Callable[[State], bool],
        open_client: OpenClient,
    ) -> None:
        self.asked = asked
        self.outcomes: dict[tuple[str, int], FrameProgress] = {}
        self.problem = ""
        self._render, self._look_at, self._open_client = render, look, open_client
        self._rendered = 0
        self._profiles: dict[str, str] = {}
        self._cancel = threading.Event()

    def run(self) -> None:
        """Do it; return when it is over, whatever happened."""
        try:
            for view, frames in self.asked.todo.items():
                for start in range(0, len(frames), _BATCH_FRAMES):
                    self._batch(view, frames[start : start + _BATCH_FRAMES])
        except Cancelled:
            self._cancel.set()
        except KwafluxError as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - a node was deleted, a project closed
            self.problem = f"{type(error).__name__}: {error}"

    def cancel(self) -> None:
        """End it; the server hears of it within a second, and what is done stays done."""
        self._cancel.set()

    def in_state(self, state: FrameState) -> list[str]:
        """Return the frames that ended in a state, each with its reason."""
        many = len(self.asked.todo) > 1
        return [
            f"{frame}{f' {view}' if many else ''}{found.reason and f': {found.reason}'}"
            for (view, frame), found in self.outcomes.items()
            if found.state == state
        ]

    @property
    def exit_status(self) -> int:
        """As of ``kwaflux enhance``: 0 all good, 1 some need attention, 2 nothing could be done."""
        kept = self.asked.total - self.asked.count
        if kept + len(self.in_state("good")) == self.asked.total:
            return 0
        return 1 if kept or self.in_state("good") or self.in_state("attention") else 2

    def summary(self) -> str:
        """Return what came of it, in a sentence."""
        good = len(self.in_state("good")) + self.asked.total - self.asked.count
        parts = [f"{good} of {self.asked.total} frames are ready"]
        told: tuple[tuple[FrameState, str], ...] = (
            ("attention", "need attention"),
            ("failed", "failed"),
        )
        for state, words in told:
            if found := self.in_state(state):
                more = "; ..." if len(found) > _NAMED else ""
                parts.append(f"{len(found)} {words} ({'; '.join(found[:_NAMED])}{more})")
        parts += list(dict.fromkeys(filter(None, map(self._good_reason, self.outcomes))))[:_NAMED]
        if self.problem:
            parts.append(self.problem)
        elif len(self.outcomes) < self.asked.count:
            parts.append("cancelled")
        return ", ".join(parts)

    def _good_reason(self, key: tuple[str, int]) -> str:
        """Return what effects decided of a frame that is good."""
        found = self.outcomes[key]
        return found.reason if found.state == "good" else ""

    def _batch(self, view: str, batch: Sequence[int]) -> None:
        target = expand_view(self.asked.pattern, view)
        with ExchangeFolder.make(os.path.dirname(target)) as folder:
            source = folder.pattern("plate.%08d.exr")
            rendered = [n for n in batch if self._is_rendered(n, source, view=view)]
            before, after = self.asked.around
            beside = {m for n in rendered for m in range(n - before, n + after + 1)} - set(batch)
            for frame in sorted(beside.intersection(self.asked.span)):
                self._is_rendered(frame, source, view=view, is_neighbor=True)
            if not rendered:
                return
            work = RangeRender(
                self.asked.order,
                source=source,
                target=target,
                frames=rendered,
                source_keys=dict.fromkeys(rendered, self.asked.source_key),
                open_client=self._open_client,
                is_redone=self.asked.is_redone,
                profile=self._profiles.get(view) or self._kept_profile(target),
            )
            self._follow(work, view)
        self._profiles[view] = _written_profile(target)

    def _kept_profile(self, target: str) -> str:
        """Return the profile that earlier results were made with, while some of them are kept."""
        return _written_profile(target) if self.asked.count < self.asked.total else ""

    def _is_rendered(
        self, frame: int, pattern: str, *, view: str, is_neighbor: bool = False
    ) -> bool:
        """Have a frame rendered; a bad one costs no other."""
        self._look(None)
        try:
            self._render(frame, pattern=pattern, view=view)
        except HostError as error:
            if not is_neighbor:
                self.outcomes[view, frame] = FrameProgress("failed", str(error))
            return False
        self._rendered += not is_neighbor
        return True

    def _follow(self, work: RangeRender, view: str) -> None:
        try:
            with work:
                while not (found := work.wait(_POLL_S)).is_over:
                    self._look(found)
        finally:
            found = work.wait(_END_S)
            for frame, told in found.frames.items():
                if told.state in _ENDED:
                    self.outcomes[view, frame] = told
        self._look(None)
        if found.state == "failed":
            raise HostError(found.message, hint=found.hint)

    def _look(self, found: Progress | None) -> None:
        ended = len(self.outcomes) + (found.done if found is not None else 0)
        count = max(self.asked.count, 1)
        text = f"{ended} of {count} frames done, {self._rendered} rendered"
        if found is not None:
            rate = f", {found.frames_per_s:.1f} frames/s"
            text = text + rate if found.frames_per_s else f"{found.message}: {text}"
        state = State(text, min(1.0, (self._rendered + ended) / (2 * count)), ended)
        if self._look_at(state) or self._cancel.is_set():
            raise Cancelled("the run was cancelled")


def _written_profile(target: str) -> str:
    """Return the shot profile beside results; empty if there is none."""
    try:
        with open(profile_path(target), encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError):
        return ""
