"""Judge the shots of a job: find them, and estimate of each what the flow needs to know.

A shot is looked at as a whole, whatever part of it a job renders, so that a chunk, a single frame
and a resumed job get the same estimates.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import partial

from kwaflux_core.errors import ImageError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.sequence import Sequence as FileSequence
from kwaflux_core.frames.shot_profile import NO_PROFILE, Shot, ShotProfile
from kwaflux_core.protocol.messages import Judge, PathTarget, Render
from kwaflux_models.rendering.flow_renderer import Checkpoint
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.shot_cuts import BLACK, Thumbnail, shot_around, thumbnail
from kwaflux_server.jobs.job_feed import sources_of
from kwaflux_server.jobs.job_plan import JobPlan
from kwaflux_server.worker.frame_io import Frames

__all__ = ["ShotJudge"]

_LOG = logging.getLogger("kwaflux.server.worker")


class ShotJudge:
    """Judge the shots of one job.

    Args:
        request: The request.
        flow: The flow of its job.
        loras: The flow's LoRAs.
        renderer: Measures frames.
        frames: Reads them.
        pool: Gives planes.
        checkpoint: Called between frames and tiles: more urgent work may be done inside it, and
            what it raises ends the judging.

    Thread: the one that computes.
    """

    def __init__(
        self,
        request: Judge,
        flow: BoundFlow,
        *,
        loras: Sequence[LoraStack | None],
        renderer: FrameRenderer,
        frames: Frames,
        pool: PlanePool,
        checkpoint: Checkpoint,
    ) -> None:
        self._submit = request.submit
        self._plan = JobPlan.from_json(request.plan)
        self._flow = flow
        self._estimates = renderer.estimates(flow, loras, scratch=pool.take, checkpoint=checkpoint)
        self._frames = frames
        self._checkpoint = checkpoint
        self._paths = self._plan.clip_paths(self._submit)
        self._thumbnails: dict[int, Thumbnail] = {}

    def profile(self) -> ShotProfile:
        """Return the profile of the shots that the job renders frames of.

        What the job's own profile says is kept; what it does not say is estimated.

        Raises:
            RequestError: The job's own profile is invalid.
        """
        submit = self._submit
        given = ShotProfile.parse(submit.profile) if submit.profile else NO_PROFILE
        if not self._estimates.missing({}):
            return given
        shots: list[Shot] = []
        for frame in sorted(self._plan.frames):
            if any(shot.first <= frame <= shot.last for shot in shots):
                continue
            shot = given.shot_of(frame)
            if shot is None or not shot.first <= frame <= shot.last:
                around = shot_around(frame, self._plan.clip, self._look)
                effects = {} if shot is None else shot.effects
                shot = Shot(around[0], around[-1], (), effects)
            frames = [at for at in self._plan.clip if shot.first <= at <= shot.last]
            shots.append(self._estimates.shot(shot, frames, partial(self._read, shot)))
            _LOG.info("frames %d-%d: %s", shot.first, shot.last, _numbers(shots[-1]))
        return ShotProfile(tuple(shots), os.path.basename(submit.source), self._flow.to_text())

    def _read(self, shot: Shot, frame: int) -> Mapping[int, Plate]:
        return self._frames.plates(self._render_of(frame, shot))

    def _look(self, frame: int) -> Thumbnail:
        """Return the thumbnail of a frame; of one that cannot be read, that of the one before."""
        found = self._thumbnails.get(frame)
        if found is None:
            self._checkpoint()
            try:
                found = thumbnail(self._frames.plates(self._render_of(frame, None))[frame])
            except ImageError:
                before = bisect_left(self._plan.clip, frame) - 1
                found = self._look(self._plan.clip[before]) if before >= 0 else BLACK
            self._thumbnails[frame] = found
        return found

    def _render_of(self, frame: int, shot: Shot | None) -> Render:
        """Return the request that reads a frame as the job reads it; without a shot, it alone."""
        submit, flow = self._submit, self._flow
        sources = sources_of(
            frame,
            self._paths[frame],
            clip=self._paths,
            shot=shot,
            frames_before=0 if shot is None else flow.frames_before,
            frames_after=0 if shot is None else flow.frames_after,
        )
        target = PathTarget(FileSequence.parse(submit.target).path(frame))
        return Render(submit.flow, frame, sources, target, submit.options)


def _numbers(shot: Shot) -> str:
    """Return the estimates of a shot for the log, without their tables."""
    return ", ".join(
        f"{effect}.{name} {value}"
        for effect, record in shot.effects.items()
        for name, value in record.items()
        if isinstance(value, (int, float))
    )
