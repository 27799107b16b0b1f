"""Which clips are meant, and which frames of their media.

Owns the choice (selection, else playhead), the arithmetic from the timeline to the source, and the
reasons why a clip is refused. Must not know rendering or effects.

Frames are numbered as the media's files are: a sequence by its numbers, a movie from 0. All ranges
here include both ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kwaflux_core.errors import HostError
from kwaflux_resolve.host import Host, offers, text_of

if TYPE_CHECKING:
    from kwaflux_resolve.api import MediaPoolItem, Timeline, TimelineItem

__all__ = ["Media", "Shot", "chosen_items", "look", "media_of"]

_FPS_TOLERANCE = 0.002
_PLAIN = {
    "PAR": ("square", "1", "1.0", "1.00", "1.000"),
    "H-FLIP": ("off", "0"),
    "V-FLIP": ("off", "0"),
    "Input LUT": ("none", "no lut", "no lut selected"),
}
_SPAN_TOLERANCE = 1  # GetSourceStartFrame may be one off


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Hold a clip of the media pool: numbers of its first and last frame, its rate and size."""

    clip: MediaPoolItem
    name: str
    path: str
    first: int
    last: int
    fps: float
    size_px: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """Hold a clip on a timeline.

    Args:
        item: The item, and ``uid`` its name in Resolve.
        media: What it shows.
        start: Its first frame on the timeline, absolute.
        count: How many frames it lasts there; as many of the source, for retimes are refused.
        left: What ``GetLeftOffset`` says: the first source frame, counted from ``base``.
    """

    item: TimelineItem
    uid: str
    media: Media
    start: int
    count: int
    left: int

    def used(self, *, base: int) -> tuple[int, int]:
        """Return the first and last source frame that the timeline shows.

        Args:
            base: What ``GetLeftOffset`` says where the whole media lies on a timeline: versions
                differ in whether a sequence counts from its first number or from 0.
        """
        first = self.media.first + self.left - base
        return first, first + self.count - 1


def chosen_items(host: Host) -> list[TimelineItem]:
    """Return the selected video clips, or the one under the playhead.

    Raises:
        HostError: There is none.
    """
    timeline = host.timeline
    selected = timeline.GetSelectedClips() if offers(timeline, "GetSelectedClips") else None
    items = [item for item in selected or () if (item.GetTrackTypeAndIndex() or [""])[0] == "video"]
    if not items:
        current = timeline.GetCurrentVideoItem()
        items = [] if current is None else [current]
    if not items:
        raise HostError(
            "no clip is selected and none is under the playhead",
            hint="select clips (Resolve 21.0.4 and later), or put the playhead on one",
        )
    return items


def look(item: TimelineItem, *, timeline: Timeline) -> Shot:
    """Return what an item is, or refuse it.

    Raises:
        HostError: A title, a generator, a compound, a still, a retime, or of another frame rate.
    """
    name, clip = text_of(item.GetName()), item.GetMediaPoolItem()
    media = None if clip is None else media_of(clip)
    if media is None:
        raise _refused(name, "is a title, a generator or a compound: it has no media of its own")
    start, end, left, uid = item.GetStart(), item.GetEnd(), item.GetLeftOffset(), item.GetUniqueId()
    if start is None or end is None or left is None or uid is None:
        raise _refused(name, "cannot be read: Resolve says nothing of its frames")
    _check_rate(media, timeline)
    _check_plain(media)
    if media.first == media.last and end - start > 1:
        raise _refused(name, "is a still", hint="enhance its file: kwaflux enhance")
    _check_speed(name, item, count=end - start)
    return Shot(item=item, uid=uid, media=media, start=start, count=end - start, left=left)


def media_of(clip: MediaPoolItem) -> Media | None:
    """Return what a clip says of its media; None where it has none, or does not say it."""
    keys = ("File Path", "Start", "End", "FPS", "Resolution")
    path, first, last, fps, size = (text_of(clip.GetClipProperty(key)) for key in keys)
    sides = re.fullmatch(r"(\d+)\s*x\s*(\d+)", size)
    if not path or sides is None or not all(re.fullmatch(r"-?\d+", n) for n in (first, last)):
        return None
    return Media(
        clip=clip,
        name=clip.GetName(),
        path=path,
        first=int(first),
        last=int(last),
        fps=_rate(fps),
        size_px=(int(sides[1]), int(sides[2])),
    )


def _check_rate(media: Media, timeline: Timeline) -> None:
    shown = _rate(text_of(timeline.GetSetting("timelineFrameRate")))
    if not media.fps or abs(media.fps - shown) > _FPS_TOLERANCE:
        raise _refused(
            media.name,
            f"has {media.fps:g} frames a second and its timeline {shown:g}: its frames are not "
            "those of its media",
            hint="put it on a timeline of its own rate, and enhance it there",
        )


def _check_plain(media: Media) -> None:
    """Refuse clip attributes by which Resolve would change pixels on their way out."""
    for name, plain in _PLAIN.items():
        value = text_of(media.clip.GetClipProperty(name))
        if value.lower() not in ("", *plain):
            raise _refused(
                media.name,
                f"has {name} = {value}: Resolve would change its pixels on their way out",
                hint="set it back in Clip Attributes, or enhance the graded composite",
            )


def _rate(text: str) -> float:
    """Return the number that a rate begins with: ``29.97 DF``."""
    found = re.match(r"[0-9.]+", text)
    return float(found[0]) if found else 0.0


def _check_speed(name: str, item: TimelineItem, *, count: int) -> None:
    """Refuse retimes. No property tells the speed: the source's span against the record's does."""
    begin, end = item.GetSourceStartFrame(), item.GetSourceEndFrame()
    if begin is None or end is None or (begin == 0 == end and count > 1):
        raise _refused(
            name,
            "does not tell which source frames it shows, as clips of an imported timeline",
            hint="put it on the timeline anew from the media pool",
        )
    if begin > end:
        raise _refused(name, "plays in reverse", hint="enhance it forward, then reverse the take")
    if abs(end - begin - count) > _SPAN_TOLERANCE:
        raise _refused(
            name,
            f"is retimed: {end - begin} source frames in {count}",
            hint="enhance it at 100 %, then retime the result",
        )


def _refused(name: str, why: str, *, hint: str = "") -> HostError:
    return HostError(f"{name or 'the item'} {why}", hint=hint or "choose a clip with media")
