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

__all__ = ["Shot", "chosen_items", "look"]

_FPS_TOLERANCE = 0.002
_SPAN_TOLERANCE = 1  # GetSourceStartFrame may be one off


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """Hold a clip on a timeline, and what is known of its media.

    Args:
        item: The item; its media is ``clip``.
        start: Its first frame on the timeline, absolute.
        count: How many frames it lasts there; as many of the source, for retimes are refused.
        left: What ``GetLeftOffset`` says: the first source frame, counted from ``base``.
        media_first: The number of the media's first frame.
        media_last: The number of its last.
        size_px: Width and height of the media.
    """

    item: TimelineItem
    clip: MediaPoolItem
    name: str
    uid: str
    start: int
    count: int
    left: int
    track: int
    media_first: int
    media_last: int
    fps: float
    size_px: tuple[int, int]
    path: str

    def used(self, *, base: int) -> tuple[int, int]:
        """Return the first and last source frame that the timeline shows.

        Args:
            base: What ``GetLeftOffset`` says where the whole media lies on a timeline: versions
                differ in whether a sequence counts from its first number or from 0.
        """
        first = self.media_first + self.left - base
        return first, first + self.count - 1

    def with_handles(self, used: tuple[int, int], *, handles: int) -> tuple[int, int]:
        """Return the range with handles, as far as there is media."""
        first, last = used
        return max(self.media_first, first - handles), min(self.media_last, last + handles)


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
    path = "" if clip is None else text_of(clip.GetClipProperty("File Path"))
    if clip is None or not path:
        raise _refused(name, "is a title, a generator or a compound: it has no media of its own")
    first, last = (_whole(clip.GetClipProperty(key)) for key in ("Start", "End"))
    start, end, left = item.GetStart(), item.GetEnd(), item.GetLeftOffset()
    uid = item.GetUniqueId()
    track = list(item.GetTrackTypeAndIndex() or [])
    size = re.fullmatch(r"(\d+)\s*x\s*(\d+)", text_of(clip.GetClipProperty("Resolution")))
    if None in (first, last, start, end, left, uid) or size is None or len(track) < 2:
        raise _refused(name, "cannot be read: Resolve says nothing of its frames or its size")
    assert_known = (int(str(part)) for part in (first, last, start, end, left))
    media_first, media_last, begin, behind, offset = assert_known
    count = behind - begin
    fps = _check_rate(name, clip, timeline)
    if media_first == media_last and count > 1:
        raise _refused(name, "is a still", hint="enhance its file: kwaflux enhance")
    _check_speed(name, item, count=count)
    return Shot(
        item=item,
        clip=clip,
        name=name,
        uid=str(uid),
        start=begin,
        count=count,
        left=offset,
        track=int(str(track[1])),
        media_first=media_first,
        media_last=media_last,
        fps=fps,
        size_px=(int(size[1]), int(size[2])),
        path=path,
    )


def _check_rate(name: str, clip: MediaPoolItem, timeline: Timeline) -> float:
    rates = (clip.GetClipProperty("FPS"), timeline.GetSetting("timelineFrameRate"))
    own, shown = (float((re.match(r"[0-9.]+", text_of(rate)) or ["0"])[0]) for rate in rates)
    if not own or abs(own - shown) > _FPS_TOLERANCE:
        raise _refused(
            name,
            f"has {own:g} frames a second and its timeline {shown:g}: its frames are not those "
            "of its media",
            hint="put it on a timeline of its own rate, and enhance it there",
        )
    return own


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


def _whole(value: object) -> int | None:
    text = text_of(value)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _refused(name: str, why: str, *, hint: str = "") -> HostError:
    return HostError(f"{name or 'the item'} {why}", hint=hint or "choose a clip with media")
