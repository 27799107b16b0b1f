"""The way out: frames of a clip, or of the whole picture, as 32-bit float EXR files.

Owns the temporary timeline, the render job and its settings. Must not know what becomes of frames.

A temporary timeline holds the whole media, and starts at the number of its first frame: so files
have the source's numbers, handles are there, and grades are not. ``SetRenderSettings`` lays keys
over whatever the Deliver page holds, and nothing can be read back: a stock preset is loaded first,
and the files are looked at, not the job (``kwaflux_core.hosting.arrived``).

Both roads are generators: they yield how far they are (0..1), and may be closed at any time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kwaflux_core.errors import HostError
from kwaflux_core.hosting.arrived import arrived_pattern
from kwaflux_core.timecode import timecode
from kwaflux_resolve.clips import Media, Shot
from kwaflux_resolve.color import Color
from kwaflux_resolve.host import Host, text_of

if TYPE_CHECKING:
    from kwaflux_resolve.api import Project, Timeline

__all__ = ["Plates", "render_composite", "render_media", "render_source"]

_CODEC = "RGBFloatZIP"
_STOCK_PRESETS = ("H.264 Master", "H.265 Master", "ProRes 422 HQ", "ProRes Master")
_SINGLE_CLIP = 1
_STALL_S = 600.0
_NEW_KEYS = (21, 0, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plates:
    """Hold frames that were rendered and looked at.

    Args:
        pattern: Their files.
        first: The number of the first.
        last: The last, which belongs to them.
        used: The first and last that the timeline shows; the others are handles.
    """

    pattern: str
    first: int
    last: int
    used: tuple[int, int]


def render_source(
    host: Host, shot: Shot, *, color: Color, folder: str, handles: int, is_whole: bool
) -> Generator[float, None, Plates]:
    """Render a clip's own frames, ungraded and in its own numbers.

    Args:
        host: Resolve.
        shot: The clip.
        color: What its numbers mean.
        folder: An empty folder.
        handles: Frames more on both sides, as far as there are any.
        is_whole: Whether the whole media is rendered.

    Raises:
        HostError: Resolve did not do as it was told.
        ImageError: The files are not what was asked for.
    """
    media = shot.media
    with _whole_media(host, media, color=color) as (timeline, base):
        used = shot.used(base=base)
        if not media.first <= used[0] <= used[1] <= media.last:
            raise HostError(
                f"{media.name} shows the frames {used[0]}-{used[1]}, and its media has "
                f"{media.first}-{media.last}",
                hint="put it on the timeline anew from the media pool",
            )
        first, last = max(media.first, used[0] - handles), min(media.last, used[1] + handles)
        if is_whole:
            first, last = media.first, media.last
        pattern = yield from _rendered(
            host, timeline, folder=folder, first=first, last=last, size_px=media.size_px
        )
    return Plates(pattern=pattern, first=first, last=last, used=used)


def render_media(
    host: Host, media: Media, *, color: Color, folder: str
) -> Generator[float, None, str]:
    """Render a whole clip of the media pool, as ``render_source`` does; return its pattern."""
    with _whole_media(host, media, color=color) as (timeline, _):
        return (
            yield from _rendered(
                host,
                timeline,
                folder=folder,
                first=media.first,
                last=media.last,
                size_px=media.size_px,
            )
        )


def render_composite(host: Host, shot: Shot, *, folder: str) -> Generator[float, None, Plates]:
    """Render what the timeline shows where a clip lies, graded; numbers are the timeline's.

    Raises:
        HostError: Resolve did not do as it was told.
        ImageError: The files are not what was asked for.
    """
    timeline, first, last = host.timeline, shot.start, shot.start + shot.count - 1
    width, height = (
        int(text_of(timeline.GetSetting(f"timelineResolution{side}")))
        for side in ("Width", "Height")
    )
    pattern = yield from _rendered(
        host, timeline, folder=folder, first=first, last=last, size_px=(width, height)
    )
    return Plates(pattern=pattern, first=first, last=last, used=(first, last))


@contextlib.contextmanager
def _whole_media(host: Host, media: Media, *, color: Color) -> Iterator[tuple[Timeline, int]]:
    """Give a timeline with the whole media at its own numbers, and what its left offset says."""
    project, pool, before = host.project, host.pool, host.timeline
    timeline = pool.CreateEmptyTimeline(f"Kwaflux {time.time_ns()}")
    if timeline is None:
        raise HostError("Resolve made no temporary timeline", hint="is the project read-only?")
    try:
        project.SetCurrentTimeline(timeline)
        _fit(timeline, media, color)
        pool.AppendToTimeline([media.clip])
        items = list(timeline.GetItemListInTrack("video", 1) or [])
        count = media.last - media.first + 1
        base = items[0].GetLeftOffset() if len(items) == 1 else None
        if base is None or (items[0].GetStart(), items[0].GetDuration()) != (
            media.first,
            count,
        ):
            raise HostError(
                f"Resolve did not put the {count} frames of {media.name} on a timeline",
                hint="clear the clip's in and out marks in the media pool, and try again",
            )
        yield timeline, base
    finally:
        # A timeline that is shown cannot be deleted.
        if not (project.SetCurrentTimeline(before) and pool.DeleteTimelines([timeline])):
            host.say(f"Resolve kept the temporary timeline {timeline.GetName()}: delete it")


def _fit(timeline: Timeline, media: Media, color: Color) -> None:
    """Set rate, size, color and start of a temporary timeline; all of it is read back."""
    timeline.SetSetting("useCustomSettings", "1")
    width, height = media.size_px
    settings = {
        "timelineFrameRate": f"{media.fps:g}",
        "timelineResolutionWidth": str(width),
        "timelineResolutionHeight": str(height),
    }
    for name, value in settings.items():
        timeline.SetSetting(name, value)
        if float(text_of(timeline.GetSetting(name)) or "nan") != float(value):
            raise HostError(f"Resolve did not take {name} = {value} for a temporary timeline")
    color.keep_numbers(timeline)
    for is_drop in (False, True):
        timeline.SetStartTimecode(timecode(media.first, fps=media.fps, is_drop=is_drop))
        if timeline.GetStartFrame() == media.first:
            return
    raise HostError(f"Resolve did not start a temporary timeline at frame {media.first}")


def _rendered(
    host: Host, timeline: Timeline, *, folder: str, first: int, last: int, size_px: tuple[int, int]
) -> Generator[float, None, str]:
    project = host.project
    if project.IsRenderingInProgress():
        raise HostError("Resolve is rendering already", hint="wait until it is done")
    settings: dict[str, object] = {
        "SelectAllFrames": False,
        # Marks are absolute, and both belong to the range.
        "MarkIn": first,
        "MarkOut": last,
        "TargetDir": folder,
        "CustomName": "plate",
        "ExportVideo": True,
        "ExportAudio": False,
        "FormatWidth": size_px[0],
        "FormatHeight": size_px[1],
    }
    pins: dict[str, object] = {"ExportAlpha": False}
    if host.version >= _NEW_KEYS:
        pins |= {"UseFullExtents": False, "AddFrameHandles": 0, "DataBurnIn": "None"}
    _pin(project)
    project.SetCurrentTimeline(timeline)
    if not project.SetRenderSettings(settings):
        raise HostError("Resolve did not take the render settings", hint="open the Deliver page")
    for name, value in pins.items():  # one by one: a version may refuse one, which does no harm
        project.SetRenderSettings({name: value})
    yield from _run_job(project)
    return arrived_pattern(folder, first=first, last=last, size_px=size_px)


def _pin(project: Project) -> None:
    """Load a stock preset, then choose EXR and the codec by the ids that Resolve lists."""
    listed = [text_of(p.get("name") if isinstance(p, dict) else p) for p in
              project.GetRenderPresetList()]  # fmt: skip
    stock = next((name for name in _STOCK_PRESETS if name in listed), "")
    if stock:
        project.LoadRenderPreset(stock)
    formats = [text_of(value) for value in project.GetRenderFormats().values()]
    exr = next((name for name in formats if name.lower() == "exr"), "")
    if not exr or _CODEC not in project.GetRenderCodecs(exr).values():
        raise HostError(f"this Resolve renders no EXR as {_CODEC}", hint="is it the Studio?")
    project.SetCurrentRenderFormatAndCodec(exr, _CODEC)
    project.SetCurrentRenderMode(_SINGLE_CLIP)
    now = project.GetCurrentRenderFormatAndCodec()
    if (now.get("format"), now.get("codec")) != (exr, _CODEC):
        raise HostError(f"Resolve did not take {_CODEC} as its codec", hint="open the Deliver page")


def _run_job(project: Project) -> Generator[float, None, None]:
    """Run one render job to its end. Its status is in the user's language: numbers alone count."""
    job = project.AddRenderJob()
    if not job:
        raise HostError("Resolve took no render job", hint="open the Deliver page, and try again")
    is_over = False
    try:
        if not project.StartRendering([job], False):
            raise HostError("Resolve did not start to render", hint="is another render waiting?")
        percent, changed_s = -1.0, time.monotonic()
        while project.IsRenderingInProgress():
            now = float(str(project.GetRenderJobStatus(job).get("CompletionPercentage", 0)))
            if now != percent:
                percent, changed_s = now, time.monotonic()
            if time.monotonic() - changed_s > _STALL_S:
                raise HostError(f"Resolve's render stands still at {percent:.0f} %")
            yield percent / 100
        status, is_over = project.GetRenderJobStatus(job), True
        if status.get("Error") or float(str(status.get("CompletionPercentage", 0))) < 100:
            why = text_of(status.get("Error")) or text_of(status.get("JobStatus"))
            raise HostError(f"Resolve's render failed: {why}", hint="is the media online?")
    finally:
        if not is_over:
            project.StopRendering()
        project.DeleteRenderJob(job)
