"""Renders of a clip, or of the timeline at a clip, to 32-bit float EXR files.

A temporary timeline holds the whole media and starts at the number of its first frame: so files
have the source's numbers, handles are available, and grades are left out. ``SetRenderSettings``
changes single keys of what the Deliver page holds, and nothing can be read back: a stock preset is
loaded first, and the files are checked, not the job.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from kwaflux_core.errors import HostError
from kwaflux_core.frames.timecode import Timecode
from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.rendered_files import rendered_pattern
from kwaflux_hosting.timeline_host.task_runner import Task
from kwaflux_resolve.clips import Shot, Source
from kwaflux_resolve.host import Host
from kwaflux_resolve.resolve_api import Project, Timeline
from kwaflux_resolve.verified_settings import rejected_settings, text_of

__all__ = ["render_composite", "render_source"]

_CODEC = "RGBFloatZIP"
_STOCK_PRESETS = ("H.264 Master", "H.265 Master", "ProRes 422 HQ", "ProRes Master")
_SINGLE_CLIP = 1
_STALL_S = 600.0
_ALWAYS = {"SelectAllFrames": False, "ExportVideo": True, "ExportAudio": False}
_PINS = {"ExportAlpha": False}
_LATER_PINS = {"UseFullExtents": False, "AddFrameHandles": 0, "DataBurnIn": "None"}
_LATER = (21, 0, 4)


def render_source(
    host: Host, source: Source, plan: Callable[[int], FrameSpan], *, folder: str
) -> Task[FrameSpan]:
    """Render a clip's own frames, ungraded and in its own colorspace, into an empty folder.

    ``plan`` returns which; it gets the ``GetLeftOffset`` of the whole media on a timeline.
    """
    with _whole_media(host, source) as (timeline, base):
        size_px = source.media.size_px
        return (
            yield from _rendered(
                host, timeline, plan(base), name=source.media.name, folder=folder, size_px=size_px
            )
        )


def render_composite(host: Host, shot: Shot, *, folder: str) -> Task[FrameSpan]:
    """Render what the timeline shows at a clip's frames, graded, numbered as the timeline is."""
    timeline, plan = host.timeline, shot.cut.on_timeline()
    sides = ("timelineResolutionWidth", "timelineResolutionHeight")
    width, height = (int(text_of(timeline.GetSetting(side))) for side in sides)
    return (
        yield from _rendered(
            host, timeline, plan, name=shot.media.name, folder=folder, size_px=(width, height)
        )
    )


@contextlib.contextmanager
def _whole_media(host: Host, source: Source) -> Iterator[tuple[Timeline, int]]:
    """Yield a timeline with the whole media at its own numbers, and the item's left offset."""
    project, pool, before, media = host.project, host.pool, host.timeline, source.media
    timeline = pool.CreateEmptyTimeline(f"Kwaflux {time.time_ns()}")
    if timeline is None:
        raise HostError("Resolve made no temporary timeline", hint="is the project read-only?")
    try:
        project.SetCurrentTimeline(timeline)
        _fit(timeline, source)
        pool.AppendToTimeline([source.clip])
        items = list(timeline.GetItemListInTrack("video", 1) or [])
        places = [(item.GetStart(), item.GetDuration()) for item in items]
        base = items[0].GetLeftOffset() if places == [(media.first, media.count)] else None
        if base is None:
            raise HostError(
                f"Resolve did not put the {media.count} frames of {media.name} on a timeline",
                hint="clear the clip's in and out marks in the media pool, and try again",
            )
        yield timeline, base
    finally:
        # A timeline that is shown cannot be deleted.
        if not (project.SetCurrentTimeline(before) and pool.DeleteTimelines([timeline])):
            host.say(
                f"Resolve did not delete the temporary timeline {timeline.GetName()}: delete it"
            )


def _fit(timeline: Timeline, source: Source) -> None:
    """Set rate, size, color and start of a temporary timeline; each is read back."""
    media = source.media
    timeline.SetSetting("useCustomSettings", "1")
    width, height = map(str, media.size_px)
    sides = {"timelineResolutionWidth": width, "timelineResolutionHeight": height}
    settings = {"timelineFrameRate": f"{media.fps:g}", **sides}
    if name := rejected_settings(settings, write=timeline.SetSetting, read=timeline.GetSetting):
        raise HostError(
            f"Resolve did not accept {name} = {settings[name]} for a temporary timeline"
        )
    source.color.keep_numbers(timeline)
    for is_drop in (False, True):
        start = Timecode.of_count(media.first, per_second=round(media.fps), is_drop=is_drop)
        timeline.SetStartTimecode(str(start))
        if timeline.GetStartFrame() == media.first:
            return
    raise HostError(f"Resolve did not start a temporary timeline at frame {media.first}")


def _rendered(
    host: Host,
    timeline: Timeline,
    plan: FrameSpan,
    *,
    name: str,
    folder: str,
    size_px: tuple[int, int],
) -> Task[FrameSpan]:
    project = host.project
    if project.IsRenderingInProgress():
        raise HostError("Resolve is rendering already", hint="wait until it is done")
    marks = {"MarkIn": plan.first, "MarkOut": plan.last}  # absolute, and both belong to the range
    place = {"TargetDir": folder, "CustomName": "plate"}
    size = {"FormatWidth": size_px[0], "FormatHeight": size_px[1]}
    _choose_codec(project)
    project.SetCurrentTimeline(timeline)
    if not project.SetRenderSettings({**_ALWAYS, **marks, **place, **size}):
        raise HostError("Resolve did not accept the render settings", hint="open the Deliver page")
    pins: dict[str, object] = {**_PINS, **(_LATER_PINS if host.version >= _LATER else {})}
    for key, value in pins.items():  # one by one: a version may refuse one, which does no harm
        project.SetRenderSettings({key: value})
    yield from _run_job(project, name=name)
    pattern = rendered_pattern(folder, first=plan.first, last=plan.last, size_px=size_px)
    return replace(plan, pattern=pattern)


def _choose_codec(project: Project) -> None:
    """Load a stock preset, then choose EXR and the codec by the ids that Resolve lists."""
    presets = project.GetRenderPresetList()
    listed = [text_of(one.get("name") if isinstance(one, dict) else one) for one in presets]
    if stock := next((name for name in _STOCK_PRESETS if name in listed), ""):
        project.LoadRenderPreset(stock)
    formats = [text_of(value) for value in project.GetRenderFormats().values()]
    exr = next((name for name in formats if name.lower() == "exr"), "")
    if not exr or _CODEC not in project.GetRenderCodecs(exr).values():
        raise HostError(f"this Resolve renders no EXR as {_CODEC}", hint="is it the Studio?")
    project.SetCurrentRenderFormatAndCodec(exr, _CODEC)
    project.SetCurrentRenderMode(_SINGLE_CLIP)
    wanted = {"format": exr, "codec": _CODEC}
    if not wanted.items() <= project.GetCurrentRenderFormatAndCodec().items():
        raise HostError(
            f"Resolve did not accept {_CODEC} as its codec", hint="open the Deliver page"
        )


def _run_job(project: Project, *, name: str) -> Task[None]:
    """Run a render job to its end; closing the task stops it and removes the job.

    The end is detected from percentage and error: the job's status is in the user's language.

    Raises:
        HostError: The job did not start, stalled, or failed.
    """
    job = project.AddRenderJob()
    if not job:
        raise HostError("Resolve accepted no render job", hint="open the Deliver page, and retry")
    is_over = False
    try:
        if not project.StartRendering([job], False):
            raise HostError("Resolve did not start to render", hint="is another render waiting?")
        last, changed_s = -1.0, time.monotonic()
        while project.IsRenderingInProgress():
            percent, _ = _job_status(project, job)
            if percent != last:
                last, changed_s = percent, time.monotonic()
            if time.monotonic() - changed_s > _STALL_S:
                raise HostError(f"Resolve's render has stalled at {last:.0f} %")
            yield f"{name}: Resolve renders, {last:.0f} %"
        is_over = True
        percent, problem = _job_status(project, job)
        if problem or percent < 100:
            problem = problem or f"it ended at {percent:.0f} %"
            raise HostError(f"Resolve's render failed: {problem}", hint="is the media online?")
    finally:
        if not is_over:
            project.StopRendering()
        project.DeleteRenderJob(job)


def _job_status(project: Project, job: str) -> tuple[float, str]:
    """Return how much of a job is done in percent, and its error, if any."""
    status = project.GetRenderJobStatus(job)
    return float(text_of(status.get("CompletionPercentage")) or 0), text_of(status.get("Error"))
