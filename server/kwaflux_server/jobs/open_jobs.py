"""The jobs under way: opened from a request, fed frame by frame, closed.

Owns the running jobs' feeds and the look at the disk that a job begins with. Must not know
sockets, sessions or the scheduler.
"""

from __future__ import annotations

import secrets

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import RequestError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.sequence import Sequence, plan
from kwaflux_core.images.exr.read import COMPRESSIONS
from kwaflux_core.images.io import check_source, check_target, is_movie
from kwaflux_core.protocol.messages import (
    Failed,
    JobAccepted,
    JobDone,
    JobEvent,
    Render,
    Rendered,
    Submit,
)
from kwaflux_server.gateway.path_guard import PathGuard, check_render
from kwaflux_server.jobs.job_feed import AnyPath, JobFeed
from kwaflux_server.movie.color_tags import untagged
from kwaflux_server.movie.probe import Look, MovieFacts

__all__ = ["JobDesk"]


class JobDesk:
    """Hold the jobs under way under their names.

    Words about a job that is closed already (late answers) are ignored.

    Args:
        guard: Confines the paths of sources and targets.
        window: How many frames of a job may wait or run at a time.
        frame_bytes_max: The largest frame of a movie that is accepted.
    """

    def __init__(self, guard: PathGuard, *, window: int, frame_bytes_max: int) -> None:
        self._guard = guard
        self._window = window
        self._frame_bytes_max = frame_bytes_max
        self._feeds: dict[str, JobFeed] = {}

    def look(self, submit: Submit) -> Look | None:
        """Begin to look at a job's source if it is a movie; None if it is a sequence.

        Its result goes to ``open``.

        Raises:
            PathNotAllowed: Source or target lie outside the server's roots.
            RequestError: What is asked for cannot be what was meant.
            ImageError: The target cannot be written.
        """
        if not is_movie(submit.source):
            return None
        self._check(submit)
        return Look(submit.source, frame_bytes_max=self._frame_bytes_max)

    def open(
        self, submit: Submit, flow: BoundFlow, *, movie: MovieFacts | None = None
    ) -> JobAccepted:
        """Plan a job and open it.

        Args:
            submit: What is asked for.
            flow: Its flow.
            movie: What the look at its source found, where that is a movie.

        Raises:
            PathNotAllowed: Source or target lie outside the server's roots.
            RequestError: The range, the source or the target cannot be what was meant.
            ImageError: The source has no file at all, or the target no folder.
        """
        self._check(submit)
        clip: dict[int, AnyPath]
        if movie is None:
            tasks = plan(submit.source, submit.target, submit.frames)
            source = Sequence.parse(submit.source)
            clip = {frame: source.path(frame) for frame in source.frames_on_disk()}
        else:
            if not submit.colorspace and not movie.interop_id:
                raise untagged(submit.source, movie.tags)
            tasks = plan(submit.source, submit.target, submit.frames, movie_frames=movie.frames)
            clip = dict.fromkeys(movie.frames, submit.source)
        job = f"j{secrets.token_hex(4)}"
        feed = JobFeed(
            job,
            submit,
            tasks=tasks,
            clip=clip,
            window=self._window,
            frames_before=flow.frames_before,
            frames_after=flow.frames_after,
        )
        self._feeds[job] = feed
        return feed.accepted()

    def _check(self, submit: Submit) -> None:
        self._guard.check(submit.source)
        self._guard.check(submit.target)
        _check_said(submit)

    def next_frames(self, job: str) -> list[Render]:
        """Hand out the frames that may be rendered now."""
        feed, requests = self._feeds.get(job), []
        while feed is not None and (request := feed.next_frame()) is not None:
            requests.append(request)
        return requests

    def check(self, request: Render) -> None:
        """Refuse a frame whose files, every link resolved, lie outside the server's roots.

        Raises:
            PathNotAllowed: They do.
            RequestError: The target is the source.
        """
        check_render(request, guard=self._guard, session="")

    def started(self, job: str, frame: int) -> JobEvent | None:
        """Return the event of a frame that a worker began."""
        feed = self._feeds.get(job)
        return None if feed is None else feed.started(frame)

    def finished(self, job: str, frame: int, answer: Rendered | Failed) -> JobEvent | None:
        """Take back a frame with its answer; return its event."""
        feed = self._feeds.get(job)
        return None if feed is None else feed.finished(frame, answer)

    def cancel(self, job: str) -> list[JobEvent]:
        """Cancel the frames that were not handed out yet; return their events."""
        feed = self._feeds.get(job)
        return [] if feed is None else feed.cancel()

    def done(self, job: str) -> JobDone | None:
        """Return the message that ends a job, or None while frames are left."""
        feed = self._feeds.get(job)
        return None if feed is None else feed.done()

    def close(self, job: str) -> None:
        """Forget a job."""
        self._feeds.pop(job, None)


def _check_said(submit: Submit) -> None:
    """Refuse what can be seen to be wrong before the first frame: once, and not frame by frame."""
    check_source(submit.source)
    check_target(submit.target)
    if submit.colorspace:
        ColorConfig.default().resolve(submit.colorspace)
    if submit.compression and submit.compression.lower() not in COMPRESSIONS:
        raise RequestError(
            f"there is no compression {submit.compression!r}",
            hint=f"choose one of: {', '.join(COMPRESSIONS)}",
        )
