"""The plan of a job: the frames of its source, the frames to render, and their targets.

``plan_job`` reads the disk and runs in a separate process (``plan_child``), so that an
unresponsive share blocks no other job. Its result is small: runs of frame numbers, no paths.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import RequestError
from kwaflux_core.frames.sequence import FrameTask, Sequence, plan
from kwaflux_core.images.exr.read import COMPRESSIONS
from kwaflux_core.images.io import check_source, check_target, is_movie
from kwaflux_core.protocol.messages import Submit
from kwaflux_server.path_guard import PathGuard

__all__ = ["JobPlan", "plan_job"]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """The frames of a job.

    Args:
        frames: The frames to render, in order.
        clip: Every frame of the source, ascending; any of them may be read as a neighbor.
        is_movie: Whether the source is a movie.
    """

    frames: tuple[int, ...]
    clip: tuple[int, ...]
    is_movie: bool

    def to_json(self) -> str:
        """Return the plan as JSON; frames are written as runs of first, last and step."""
        return json.dumps(
            {
                "frames": _runs(self.frames),
                "clip": _runs(self.clip),
                "is_movie": self.is_movie,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> JobPlan:
        """Read a plan that ``to_json`` wrote."""
        record = json.loads(text)
        return cls(_frames(record["frames"]), _frames(record["clip"]), record["is_movie"])

    def tasks(self, submit: Submit) -> tuple[FrameTask, ...]:
        """Return source and target of every frame to render. Reads no disk."""
        source, target = self._source(submit), Sequence.parse(submit.target)
        return tuple(
            FrameTask(frame, source.path(frame), target.path(frame)) for frame in self.frames
        )

    def clip_paths(self, submit: Submit) -> Mapping[int, str]:
        """Return the path of every frame of the source. Reads no disk."""
        source = self._source(submit)
        return {frame: source.path(frame) for frame in self.clip}

    def _source(self, submit: Submit) -> Sequence:
        # A movie's name is not a pattern: "take#2.mov".
        if self.is_movie:
            return Sequence(*os.path.split(submit.source))
        return Sequence.parse(submit.source)


def plan_job(submit: Submit, *, guard: PathGuard, frame_bytes_max: int) -> JobPlan:
    """Check the source and the target of a job and return its plan. Reads the disk.

    Args:
        submit: The request; its paths are absolute.
        guard: Confines the paths of source and target.
        frame_bytes_max: The largest frame of a movie that is accepted.

    Raises:
        PathNotAllowed: Source or target lie outside the server's roots.
        RequestError: The range, the source or the target is invalid.
        ImageError: The source is missing or unreadable, or the target's folder is missing.
    """
    guard.check(submit.source)
    guard.check(submit.target)
    _check_options(submit)
    if is_movie(submit.source):
        return _plan_movie(submit, frame_bytes_max=frame_bytes_max)
    tasks = plan(submit.source, submit.target, submit.frames)
    clip = Sequence.parse(submit.source).frames_on_disk()
    return JobPlan(tuple(task.frame for task in tasks), clip, is_movie=False)


def _plan_movie(submit: Submit, *, frame_bytes_max: int) -> JobPlan:
    from kwaflux_server.movie.color_tags import untagged
    from kwaflux_server.movie.probe import probe_movie

    movie = probe_movie(submit.source, frame_bytes_max=frame_bytes_max)
    if not submit.options.colorspace and not movie.interop_id:
        raise untagged(submit.source, movie.tags)
    tasks = plan(submit.source, submit.target, submit.frames, movie_frames=movie.frames)
    return JobPlan(tuple(task.frame for task in tasks), tuple(movie.frames), is_movie=True)


def _check_options(submit: Submit) -> None:
    """Reject invalid targets once, before the first frame, not frame by frame."""
    check_source(submit.source)
    check_target(submit.target)
    colorspace, compression = submit.options.colorspace, submit.options.compression
    if colorspace:
        ColorConfig.default().resolve(colorspace)
    if compression and compression.lower() not in COMPRESSIONS:
        raise RequestError(
            f"there is no compression {compression!r}",
            hint=f"choose one of: {', '.join(COMPRESSIONS)}",
        )


def _runs(frames: Iterable[int]) -> list[list[int]]:
    """Return frames as runs ``[first, last, step]``, in their order."""
    runs: list[list[int]] = []
    for frame in frames:
        run = runs[-1] if runs else None
        if run is not None and run[0] == run[1] and frame != run[1]:
            run[1:] = [frame, frame - run[0]]
        elif run is not None and run[2] and frame == run[1] + run[2]:
            run[1] = frame
        else:
            runs.append([frame, frame, 0])
    return runs


def _frames(runs: Iterable[list[int]]) -> tuple[int, ...]:
    frames: list[int] = []
    for first, last, step in runs:
        frames += [first] if step == 0 else range(first, last + (1 if step > 0 else -1), step)
    return tuple(frames)
