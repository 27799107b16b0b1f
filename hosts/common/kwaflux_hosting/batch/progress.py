"""The progress of a range, which its threads write and the interface reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

__all__ = [
    "FrameProgress",
    "FrameState",
    "Progress",
    "ProgressCounts",
    "TransportName",
    "WorkState",
]

FrameState: TypeAlias = Literal["waiting", "running", "good", "attention", "failed"]
WorkState: TypeAlias = Literal["waiting", "connecting", "running", "done", "failed", "cancelled"]
TransportName: TypeAlias = Literal["", "path", "bytes"]

_OVER: Final = ("done", "failed", "cancelled")
_ENDED: Final = ("good", "attention", "failed")


@dataclass(frozen=True, slots=True)
class FrameProgress:
    """Tell of one frame: its state, and why, or what effects decided of it."""

    state: FrameState = "waiting"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Tell how far a work is.

    Args:
        state: ``done`` when every frame has ended, whatever came of each; ``failed`` when the
            whole could not go on: then ``message`` and ``hint`` say why.
        frames: Every frame's own state, in order.
        done: Frames that have ended.
        kept: Of these, frames that were good already and were not sent.
        message: A sentence for the person.
        hint: What the person can do.
        transport: How the frames travel; empty until it is known.
        frames_per_s: Since the first frame was sent.
    """

    frames: Mapping[int, FrameProgress]
    state: WorkState = "waiting"
    done: int = 0
    kept: int = 0
    message: str = ""
    hint: str = ""
    transport: TransportName = ""
    frames_per_s: float = 0.0

    @property
    def total(self) -> int:
        """How many frames were asked for."""
        return len(self.frames)

    @property
    def fraction(self) -> float:
        """How much is done, from 0 to 1."""
        return self.done / self.total if self.total else 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in _OVER

    @property
    def is_good(self) -> bool:
        """Whether every frame is good."""
        return self.state == "done" and len(self.in_state("good")) == self.total

    def in_state(self, state: FrameState) -> tuple[int, ...]:
        """Return the frames that are in a state, in order."""
        return tuple(number for number, frame in self.frames.items() if frame.state == state)

    def summary(self) -> str:
        """Return how many frames came to what: ``48 good, 2 failed``."""
        kinds: tuple[FrameState, ...] = ("good", "attention", "failed", "running", "waiting")
        counts = ((len(self.in_state(kind)), kind) for kind in kinds)
        words = {"attention": "need attention", "running": "under way", "waiting": "not done"}
        return ", ".join(f"{count} {words.get(kind, kind)}" for count, kind in counts if count)


class ProgressCounts:
    """Keep the states of a work's frames.

    Thread: any.
    """

    def __init__(self, frames: Iterable[int]) -> None:
        self._lock = threading.Lock()
        self._frames = dict.fromkeys(frames, FrameProgress())
        self._state: WorkState = "waiting"
        self._message = self._hint = ""
        self._transport: TransportName = ""
        self._done = self._kept = 0
        self._began_s: float | None = None
        self._ended_s: float | None = None
        self._made: Progress | None = None

    def snapshot(self) -> Progress:
        """Return how far it is; the same object until something changes."""
        with self._lock:
            if self._made is None:
                self._made = Progress(
                    frames=MappingProxyType(dict(self._frames)),
                    state=self._state,
                    done=self._done,
                    kept=self._kept,
                    message=self._message,
                    hint=self._hint,
                    transport=self._transport,
                    frames_per_s=self._speed(),
                )
            return self._made

    def say(self, message: str, *, state: WorkState | None = None, hint: str = "") -> None:
        """Tell the person something, and what the whole has come to."""
        with self._lock:
            self._message, self._hint, self._made = message, hint, None
            self._state = state or self._state

    def start_transport(self, transport: TransportName) -> None:
        """Note how frames travel: they are sent from now on."""
        with self._lock:
            self._transport, self._began_s, self._made = transport, time.monotonic(), None

    def put(
        self, frame: int, state: FrameState, *, reason: str = "", is_kept: bool = False
    ) -> None:
        """Note what became of a frame."""
        with self._lock:
            was_ended = self._frames[frame].state in _ENDED
            self._frames[frame] = FrameProgress(state, reason)
            self._done += (state in _ENDED) - was_ended
            self._kept += is_kept
            self._ended_s, self._made = time.monotonic(), None

    def release_running(self) -> None:
        """Let frames that were under way when all ended wait again."""
        with self._lock:
            for frame, known in self._frames.items():
                if known.state == "running":
                    self._frames[frame] = FrameProgress()
            self._made = None

    def _speed(self) -> float:
        sent = self._done - self._kept
        if self._began_s is None or self._ended_s is None or sent < 1:
            return 0.0
        return sent / max(self._ended_s - self._began_s, 1e-6)
