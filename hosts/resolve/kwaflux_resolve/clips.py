"""Which clips are meant, what Resolve says of them, and how results become clips.

Owns the choice (selection, else playhead) and the reading of items and clips; what is refused, and
which frames are meant, is ``kwaflux_core.hosting.footage``'s to say. Must not know rendering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from kwaflux_core.errors import HostError
from kwaflux_core.hosting.footage import Cut, Footage, Plates, rate_of
from kwaflux_core.hosting.read_back import text_of
from kwaflux_resolve.color import Color, capture
from kwaflux_resolve.host import Host, offers

if TYPE_CHECKING:
    from kwaflux_resolve.api import MediaPoolItem, Timeline, TimelineItem

__all__ = ["BIN", "Shot", "Source", "chosen_items", "imported", "look", "said", "source_of"]

BIN = "Kwaflux"
"""What our bin is called, and our tracks."""

_PLAIN = {
    "PAR": ("square", "1", "1.0", "1.00", "1.000"),
    "H-FLIP": ("off", "0"),
    "V-FLIP": ("off", "0"),
    "Input LUT": ("none", "no lut", "no lut selected"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Hold a clip of the media pool, its media, and what its numbers mean."""

    clip: MediaPoolItem
    media: Footage
    color: Color


@dataclass(frozen=True, slots=True)
class Shot(Source):
    """Hold a clip on a timeline too: the item, its id, and which frames lie where."""

    item: TimelineItem
    uid: str
    cut: Cut


def chosen_items(host: Host) -> list[TimelineItem]:
    """Return the selected video clips, or the one under the playhead, or refuse."""
    timeline = host.timeline
    selected = timeline.GetSelectedClips() if offers(timeline, "GetSelectedClips") else None
    items = [item for item in selected or () if (item.GetTrackTypeAndIndex() or [""])[0] == "video"]
    if not items and (current := timeline.GetCurrentVideoItem()) is not None:
        items = [current]
    if not items:
        hint = "select clips (Resolve 21.0.4 and later), or put the playhead on one"
        raise HostError("no clip is selected and none is under the playhead", hint=hint)
    return items


def look(host: Host, item: TimelineItem, *, timeline: Timeline) -> Shot:
    """Return what an item is, or refuse it."""
    name, clip = text_of(item.GetName()), item.GetMediaPoolItem()
    source = source_of(host, clip, name=name, timeline=timeline)
    attributes = {key: said(source.clip, key) for key in _PLAIN}
    cut = Cut.of_media(
        source.media,
        span=(item.GetStart(), item.GetEnd()),
        left=item.GetLeftOffset(),
        shown=(item.GetSourceStartFrame(), item.GetSourceEndFrame()),
        fps=rate_of(text_of(timeline.GetSetting("timelineFrameRate"))),
        changed={key: v for key, v in attributes.items() if v.lower() not in ("", *_PLAIN[key])},
    )
    uid = text_of(item.GetUniqueId())
    return Shot(source.clip, source.media, source.color, item, uid, cut)


def source_of(host: Host, clip: MediaPoolItem | None, *, name: str, timeline: Timeline) -> Source:
    """Return what a clip of the media pool is, or refuse one without media."""
    name = name if clip is None else clip.GetName()
    keys = {"path": "File Path", "first": "Start", "last": "End", "fps": "FPS"}
    texts = {key: said(clip, theirs) for key, theirs in keys.items()}
    media = Footage.of_texts(name, size=said(clip, "Resolution"), **texts)
    found = cast("MediaPoolItem", clip)  # what has no clip has no media, and was refused
    return Source(found, media, capture(found, project=host.project, timeline=timeline))


def said(clip: MediaPoolItem | None, name: str) -> str:
    """Return a property of a clip as text; what is not there is empty."""
    return "" if clip is None else text_of(clip.GetClipProperty(name))


def imported(host: Host, frames: Plates) -> MediaPoolItem:
    """Import frames as one clip into our bin, which is the current one then; or not at all."""
    host.enter_bin(BIN)  # an import lands in the current bin, and nowhere else
    info = {"FilePath": frames.pattern, "StartIndex": frames.first, "EndIndex": frames.last}
    clips = list(host.pool.ImportMedia([info]) or [])
    if len(clips) == 1 and said(clips[0], "Frames") == str(frames.count):
        return clips[0]
    host.pool.DeleteClips(clips)
    raise HostError(
        f"Resolve imported {len(clips)} clips of {frames.pattern}, not one with all its frames",
        hint="turn off Show Individual Frames in the media pool",
    )
