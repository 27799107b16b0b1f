"""Judge the shots of a job: find them, and estimate of each what the flow needs to know.

A shot is looked at as a whole, whatever part of it a job renders, so that a chunk, a single frame
and a resumed job get the same estimates.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from kwaflux_core.errors import ImageError
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.sequence import Sequence as FileSequence
from kwaflux_core.frames.shot_profile import NO_PROFILE, Record, Shot, ShotProfile
from kwaflux_core.protocol.messages import Judge, PathTarget, Render
from kwaflux_models.rendering.effect_api import Measured
from kwaflux_models.rendering.flow_renderer import Checkpoint
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_models.rendering.shot_cuts import BLACK, Thumbnail, shot_around, thumbnail
from kwaflux_models.rendering.shot_estimates import ShotEstimates
from kwaflux_server.jobs.job_feed import sources_of
from kwaflux_server.jobs.job_plan import JobPlan
from kwaflux_server.worker.frame_io import Frames

__all__ = ["ShotJudge"]

_LOG = logging.getLogger("kwaflux.server.worker")
_FRAMES = 5
"""Frames of a shot that are measured."""


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
        self._estimates: ShotEstimates = renderer.estimates(flow, loras)
        self._frames = frames
        self._pool = pool
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
            shots.append(self._judged(shot))
        return ShotProfile(tuple(shots), os.path.basename(submit.source), self._flow.to_text())

    def _judged(self, shot: Shot) -> Shot:
        """Return a shot with the estimates that it lacks."""
        records: dict[str, Record] = dict(shot.effects)
        judged = shot.judged
        for step in self._estimates.missing(records):
            name = self._estimates.name(step)
            measured = self._measured(step, shot, records)
            if measured:
                records[name] = self._estimates.combined(step, list(measured.values()))
                judged = tuple(measured)
                _LOG.info("frames %d-%d, %s: %s", shot.first, shot.last, name, records[name])
        return Shot(shot.first, shot.last, judged, records)

    def _measured(
        self, step: int, shot: Shot, records: Mapping[str, Record]
    ) -> dict[int, Measured]:
        """Measure frames that are spread over a shot; those that cannot be read are left out."""
        decided = self._estimates.decisions(records)
        found: dict[int, Measured] = {}
        for frame in self._spread(shot):
            self._checkpoint()
            try:
                plates = self._frames.plates(self._render_of(frame, shot))
            except ImageError as error:
                _LOG.warning("frame %d is not judged: %s", frame, error.message)
                continue
            found[frame] = self._estimates.measure(
                step,
                plates,
                frame=frame,
                decided=decided,
                scratch=self._pool.take,
                checkpoint=self._checkpoint,
            )
        return found

    def _spread(self, shot: Shot) -> tuple[int, ...]:
        """Return frames in the middle of as many equal parts of a shot."""
        there = [frame for frame in self._plan.clip if shot.first <= frame <= shot.last]
        if len(there) <= _FRAMES:
            return tuple(there)
        return tuple(there[(2 * at + 1) * len(there) // (2 * _FRAMES)] for at in range(_FRAMES))

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
