"""The open jobs: opened from a plan, fed frame by frame, closed."""

from __future__ import annotations

import secrets

from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.shot_profile import profile_path
from kwaflux_core.protocol.messages import (
    Failed,
    JobAccepted,
    JobDone,
    JobEvent,
    Judge,
    Judged,
    Render,
    Rendered,
    Submit,
)
from kwaflux_server.jobs.job_feed import JobFeed
from kwaflux_server.jobs.job_plan import JobPlan

__all__ = ["OpenJobs"]


class OpenJobs:
    """The open jobs by name. Late answers for closed jobs are ignored.

    Args:
        window: Largest number of frames of a job that wait or run at a time.
    """

    def __init__(self, *, window: int) -> None:
        self._window = window
        self._feeds: dict[str, JobFeed] = {}

    def open(self, submit: Submit, flow: BoundFlow, plan: JobPlan) -> JobAccepted:
        """Open a job; if its flow judges, its shots are judged first.

        Args:
            submit: The request.
            flow: Its flow.
            plan: Its plan.

        Raises:
            RequestError: The plan contains a frame twice.
        """
        job = f"j{secrets.token_hex(4)}"
        feed = JobFeed(
            job,
            submit,
            tasks=plan.tasks(submit),
            clip=plan.clip_paths(submit),
            window=self._window,
            frames_before=flow.frames_before,
            frames_after=flow.frames_after,
            judge=_judge(submit, flow, plan),
        )
        self._feeds[job] = feed
        return feed.accepted()

    def next_requests(self, job: str) -> list[Render | Judge]:
        """Return the requests that may be carried out now."""
        feed, requests = self._feeds.get(job), []
        while feed is not None and (request := feed.next_request()) is not None:
            requests.append(request)
        return requests

    def judged(self, job: str, answer: Judged | Failed) -> list[JobEvent]:
        """Take the answer to the request for a job's shot profile; return the events it causes."""
        feed = self._feeds.get(job)
        return [] if feed is None else feed.judged(answer)

    def started(self, job: str, frame: int) -> JobEvent | None:
        """Return the event of a frame that a worker starts."""
        feed = self._feeds.get(job)
        return None if feed is None else feed.started(frame)

    def finished(self, job: str, frame: int, answer: Rendered | Failed) -> JobEvent | None:
        """End a frame with its answer; return its event."""
        feed = self._feeds.get(job)
        return None if feed is None else feed.finished(frame, answer)

    def cancel(self, job: str) -> list[JobEvent]:
        """Cancel the frames that are not handed out yet; return their events."""
        feed = self._feeds.get(job)
        return [] if feed is None else feed.cancel()

    def done(self, job: str) -> JobDone | None:
        """Return the message that ends a job, or None while frames are left."""
        feed = self._feeds.get(job)
        return None if feed is None else feed.done()

    def close(self, job: str) -> None:
        """Remove a job."""
        self._feeds.pop(job, None)


def _judge(submit: Submit, flow: BoundFlow, plan: JobPlan) -> Judge | None:
    """Return the request for a job's shot profile; None where no shot has a second frame."""
    is_judged = any(step.card.measures for step in flow.without_identities().steps)
    if not is_judged or len(plan.clip) < 2:
        return None
    return Judge(submit, plan.to_json(), profile_path(submit.target))
