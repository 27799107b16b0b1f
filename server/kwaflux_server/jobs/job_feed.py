"""The feed of a job: has its shots judged, hands out its frames and counts how they end.

Reads no disk; the files were listed when the job was planned.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from kwaflux_core.errors import Cancelled, KwafluxError, RequestError, SettingsError
from kwaflux_core.frames.neighbors import neighbor_frames
from kwaflux_core.frames.shot_profile import NO_PROFILE, Shot, ShotProfile
from kwaflux_core.protocol.messages import (
    Failed,
    JobAccepted,
    JobDone,
    JobEvent,
    Judge,
    Judged,
    PathPixels,
    PathTarget,
    Render,
    Rendered,
    Source,
    Submit,
)

__all__ = ["AnyPath", "FrameTask", "JobFeed", "neighbor_frames", "sources_of"]

AnyPath: TypeAlias = "str | os.PathLike[str]"
_State: TypeAlias = Literal["started", "failed", "cancelled"]


class FrameTask(Protocol):
    """One frame of a job, as ``kwaflux_core.frames.sequence`` plans it."""

    @property
    def frame(self) -> int:
        """The absolute frame number."""

    @property
    def source_path(self) -> AnyPath:
        """The source file."""

    @property
    def target_path(self) -> AnyPath:
        """The target file."""


class JobFeed:
    """Hand out the frames of one job, a bounded number at a time, and count how they end.

    Args:
        job: The job's name.
        submit: The client's request.
        tasks: The frames to render, in the order they are handed out.
        clip: Path of every frame of the source on disk, including the handles around the range.
        window: Largest number of frames in flight.
        frames_before: Number of earlier frames the flow reads.
        frames_after: Number of later frames the flow reads.
        judge: The request for the job's shot profile, answered before the first frame is handed
            out; None if the flow has nothing to judge.

    Raises:
        RequestError: A frame is planned twice.
        SettingsError: The window is less than 1.

    Thread: one at a time; it belongs to the gateway's loop.
    """

    def __init__(
        self,
        job: str,
        submit: Submit,
        *,
        tasks: Sequence[FrameTask],
        clip: Mapping[int, AnyPath],
        window: int,
        frames_before: int = 0,
        frames_after: int = 0,
        judge: Judge | None = None,
    ) -> None:
        frames = tuple(task.frame for task in tasks)
        if len(set(frames)) != len(frames):
            raise RequestError(
                f"job {job!r} has a frame twice", hint="list each frame of the range once"
            )
        if window < 1:
            raise SettingsError(
                f"job {job!r} may have {window} frames in flight", hint="allow at least one"
            )
        self.job = job
        self._submit = submit
        self._tasks = tuple(tasks)
        self._frames = frames
        self._clip = clip
        self._window = window
        self._frames_before = frames_before
        self._frames_after = frames_after
        self._judge = judge
        self._is_judging = False
        self._profile = ShotProfile.parse(submit.profile) if submit.profile else NO_PROFILE
        self._next = 0
        self._out: dict[int, FrameTask] = {}
        self._ended: Counter[str] = Counter()
        self._with_attention = 0

    def accepted(self) -> JobAccepted:
        """Return the message that opens the job."""
        return JobAccepted(self.job, self._frames)

    def next_request(self) -> Render | Judge | None:
        """Return the next request: the one for the shot profile, then each frame.

        None while the profile is awaited, the window is full or no frame is left.
        """
        if self._is_judging:
            return None
        if self._judge is not None and self._next < len(self._tasks):
            self._is_judging = True
            return self._judge
        if self._next == len(self._tasks) or len(self._out) >= self._window:
            return None
        task = self._tasks[self._next]
        self._next += 1
        self._out[task.frame] = task
        submit = self._submit
        return Render(
            flow=submit.flow,
            frame=task.frame,
            sources=sources_of(
                task.frame,
                task.source_path,
                clip=self._clip,
                shot=self._profile.shot_of(task.frame),
                frames_before=self._frames_before,
                frames_after=self._frames_after,
            ),
            target=PathTarget(os.fspath(task.target_path)),
            options=submit.options,
            urgency=submit.urgency,
            profile=self._profile_of(task.frame),
        )

    def judged(self, answer: Judged | Failed) -> list[JobEvent]:
        """Take the answer to the request for the shot profile.

        Where it failed, all frames fail: they would be judged each by itself.
        """
        self._is_judging, self._judge = False, None
        if isinstance(answer, Judged):
            self._profile = ShotProfile.parse(answer.profile)
            return []
        return self._end_waiting("cancelled" if answer.code == Cancelled.code else "failed", answer)

    def started(self, frame: int) -> JobEvent:
        """Return the event of a frame that a worker starts; again for each retry.

        Raises:
            KwafluxError: The frame is not in flight.
        """
        self._task_out(frame)
        return self._event(frame, "started")

    def finished(self, frame: int, answer: Rendered | Failed) -> JobEvent:
        """End a frame with its answer; return the client's event.

        Raises:
            KwafluxError: The frame is not in flight.
        """
        task = self._task_out(frame)
        del self._out[frame]
        if isinstance(answer, Rendered):
            self._ended[answer.state] += 1
            self._with_attention += bool(answer.report.attention)
            return JobEvent(
                self.job,
                frame,
                answer.state,
                path=os.fspath(task.target_path),
                done=self._ended.total(),
                total=len(self._tasks),
                report=answer.report,
            )
        if answer.code == Cancelled.code:
            self._ended["cancelled"] += 1
            return self._event(frame, "cancelled")
        self._ended["failed"] += 1
        return self._event(frame, "failed", error=answer)

    def cancel(self) -> list[JobEvent]:
        """Cancel the frames that are not handed out yet; return their events.

        Frames in flight end when their answers arrive. Idempotent.
        """
        return self._end_waiting("cancelled", None)

    def _end_waiting(self, state: _State, error: Failed | None) -> list[JobEvent]:
        """End the frames that are not handed out yet; return their events."""
        events: list[JobEvent] = []
        for task in self._tasks[self._next :]:
            self._ended[state] += 1
            events.append(self._event(task.frame, state, error=error))
        self._next = len(self._tasks)
        return events

    def _profile_of(self, frame: int) -> str:
        profile = self._profile.of_frame(frame)
        return profile.to_text() if profile.shots else ""

    def done(self) -> JobDone | None:
        """Return the message that closes the job, or None while frames are left."""
        if self._ended.total() < len(self._tasks):
            return None
        ended = self._ended
        return JobDone(
            self.job,
            done=ended["done"],
            skipped=ended["skipped"],
            failed=ended["failed"],
            cancelled=ended["cancelled"],
            attention=self._with_attention,
        )

    def _task_out(self, frame: int) -> FrameTask:
        if frame not in self._out:
            raise KwafluxError(f"frame {frame} of job {self.job!r} is not being rendered")
        return self._out[frame]

    def _event(self, frame: int, state: _State, *, error: Failed | None = None) -> JobEvent:
        """Return an event; its ``done`` counts all frames that ended, failed ones included."""
        ended, total = self._ended.total(), len(self._tasks)
        return JobEvent(self.job, frame, state, done=ended, total=total, error=error)


def sources_of(
    frame: int,
    path: AnyPath,
    *,
    clip: Mapping[int, AnyPath],
    shot: Shot | None,
    frames_before: int,
    frames_after: int,
) -> tuple[Source, ...]:
    """Return a frame, on disk or not, and the neighbors that a flow reads, oldest first.

    Args:
        frame: The frame's number.
        path: Its file.
        clip: Path of every frame of the source.
        shot: The frame's shot, if it is known: frames beyond its cuts are no neighbors.
        frames_before: Number of earlier frames the flow reads.
        frames_after: Number of later frames the flow reads.
    """
    there: Container[int] = clip
    if shot is not None and shot.first <= frame <= shot.last:
        reached = range(
            max(shot.first, frame - frames_before - frames_after),
            min(shot.last, frame + frames_before + frames_after) + 1,
        )
        there = [at for at in reached if at in clip]
    around = neighbor_frames(
        frame, frames_before=frames_before, frames_after=frames_after, all_frames=there
    )
    paths = {at: clip[at] for at in around} | {frame: path}
    return tuple(Source(at, PathPixels(os.fspath(paths[at]))) for at in sorted(paths))
