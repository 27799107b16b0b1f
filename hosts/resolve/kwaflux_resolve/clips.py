"""Clips of the timeline and of the media pool, and the import of frames as a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.clip_request import ClipRequest
from kwaflux_hosting.timeline_host.media import ClipRange, FrameSpan, MediaInfo, rate_of
from kwaflux_resolve.clip_colorspace import ClipColor
from kwaflux_resolve.host import Host
from kwaflux_resolve.resolve_api import MediaPoolItem, Timeline, TimelineItem
from kwaflux_resolve.verified_settings import property_of, text_of

__all__ = ["BIN", "Shot", "Source", "chosen", "imported", "look", "source_of"]

BIN: Final = "Kwaflux"
"""The name of Kwaflux's bin, and of its tracks."""

_NEUTRAL: Final = {
    "PAR": ("square", "1", "1.0", "1.00", "1.000"),
    "H-FLIP": ("off", "0"),
    "V-FLIP": ("off", "0"),
    "Input LUT": ("none", "no lut", "no lut selected"),
}
"""Values of the clip attributes with which a render does not change pixels."""


@dataclass(frozen=True, slots=True)
class Source:
    """A clip of the media pool, its media, and its color settings."""

    clip: MediaPoolItem
    media: MediaInfo
    color: ClipColor


@dataclass(frozen=True, slots=True)
class Shot(Source):
    """A clip on a timeline: also its item, the item's id, and the range of frames it shows."""

    timeline: Timeline
    item: TimelineItem
    uid: str
    cut: ClipRange

    def colorspace(self, request: ClipRequest) -> str:
        """Return the OCIO name of the frames that are rendered for a request.

        Raises:
            UnknownColorspace: Neither the request nor Resolve names it.
        """
        if request.is_graded:
            return self.color.of_composite(request.colorspace)
        return self.color.of_source(request.colorspace)


def chosen(host: Host) -> list[TimelineItem]:
    """Return the selected video clips, or else the one under the playhead.

    Raises:
        HostError: There is none.
    """
    timeline = host.timeline
    selected = timeline.GetSelectedClips() if "GetSelectedClips" in dir(timeline) else None
    items = [item for item in selected or () if (item.GetTrackTypeAndIndex() or [""])[0] == "video"]
    if not items and (current := timeline.GetCurrentVideoItem()) is not None:
        return [current]
    if not items:
        raise HostError(
            "no clip is selected and none is under the playhead",
            hint="select clips (Resolve 21.0.4 and later), or put the playhead on one",
        )
    return items


def look(host: Host, item: TimelineItem, *, timeline: Timeline) -> Shot:
    """Return the clip of an item on a timeline.

    Raises:
        HostError: It cannot be enhanced: it has no media, is retimed, or its pixels would change.
    """
    source = source_of(host, item.GetMediaPoolItem(), timeline=timeline)
    attributes = {name: property_of(source.clip, name) for name in _NEUTRAL}
    changed = {
        name: value
        for name, value in attributes.items()
        if value.lower() not in ("", *_NEUTRAL[name])
    }
    cut = ClipRange.of_media(
        source.media,
        span=(item.GetStart(), item.GetEnd()),
        left=item.GetLeftOffset(),
        shown=(item.GetSourceStartFrame(), item.GetSourceEndFrame()),
        fps=rate_of(text_of(timeline.GetSetting("timelineFrameRate"))),
        changed=changed,
    )
    uid = text_of(item.GetUniqueId())
    return Shot(source.clip, source.media, source.color, timeline, item, uid, cut)


def source_of(host: Host, clip: MediaPoolItem | None, *, timeline: Timeline) -> Source:
    """Return a clip of the media pool as it is used on a timeline.

    Raises:
        HostError: It has no media, or the color science is not known.
    """
    media = MediaInfo.of_texts(
        "" if clip is None else clip.GetName(),
        path=property_of(clip, "File Path"),
        first=property_of(clip, "Start"),
        last=property_of(clip, "End"),
        fps=property_of(clip, "FPS"),
        size=property_of(clip, "Resolution"),
    )
    found = cast("MediaPoolItem", clip)  # an item without a clip has no media: an error above
    color = ClipColor.of_clip(found, project=host.project, timeline=timeline)
    return Source(found, media, color)


def imported(host: Host, frames: FrameSpan) -> MediaPoolItem:
    """Import frames as one clip into Kwaflux's bin, which becomes the current one.

    Raises:
        HostError: Resolve made no bin, or did not import the frames as one clip.
    """
    pool, root = host.pool, host.pool.GetRootFolder()
    folder = next((inner for inner in root.GetSubFolderList() if inner.GetName() == BIN), None)
    folder = folder or pool.AddSubFolder(root, BIN)
    if folder is None:
        raise HostError(f"Resolve did not make the bin {BIN!r}", hint="make it by hand")
    pool.SetCurrentFolder(folder)  # an import goes to the current bin
    info = {"FilePath": frames.pattern, "StartIndex": frames.first, "EndIndex": frames.last}
    clips = list(pool.ImportMedia([info]) or [])
    if len(clips) == 1 and property_of(clips[0], "Frames") == str(frames.count):
        return clips[0]
    pool.DeleteClips(clips)
    raise HostError(
        f"Resolve imported {len(clips)} clips of {frames.pattern}, not one with all its frames",
        hint="turn off Show Individual Frames in the media pool",
    )
