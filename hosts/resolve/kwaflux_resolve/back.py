"""The way back: results into the project as a take, a track, a replaced clip or a Fusion branch.

Owns the four ways, the marker that tells of each, and its undoing. Must not know effects. Success
is claimed when everything is found again in the project, before and after it was saved: Resolve
shows placements that a save then drops. What fails is undone before the error is raised.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from kwaflux_core.errors import HostError
from kwaflux_core.hosting.hop import frame_path
from kwaflux_resolve.clips import Shot
from kwaflux_resolve.color import Color, capture
from kwaflux_resolve.host import Host, text_of
from kwaflux_resolve.render import Plates

if TYPE_CHECKING:
    from kwaflux_resolve.api import MediaPoolItem, Timeline, TimelineItem

__all__ = ["Made", "Mode", "bring_back", "made_in", "revert"]

Mode: TypeAlias = Literal["take", "track", "replace", "fusion"]
_BIN = "Kwaflux"
_MARK = "kwaflux"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Tell what one job made; it is the marker's custom data, and all that undoing needs.

    Args:
        job: The job's id, which begins with the time.
        mode: Which way.
        item: The timeline item it was made for.
        made: The take's clip, the item on the new track, the comp's name, or the new files.
        before: The take that was shown before, or the files that were replaced.
        level: The data level of what was replaced.
    """

    job: str
    mode: Mode
    item: str
    made: str = ""
    before: str = ""
    level: str = ""

    @property
    def data(self) -> str:
        """The text that a marker carries."""
        return json.dumps({_MARK: 1, **asdict(self)}, separators=(",", ":"))


def bring_back(
    host: Host, shot: Shot, *, color: Color, mode: Mode, job: str, results: Plates, note: str
) -> Made:
    """Bring results into the project, mark them, save, and find them again.

    Raises:
        HostError: Resolve did not do as it was told; nothing is left behind.
    """
    timeline = host.timeline
    made = Made(job=job, mode=mode, item=shot.uid)
    try:
        if mode == "replace":
            made = _to_replace(shot, made, color=color, results=results)
            new = frame_path(results.pattern, results.first)
            _exchange(host, shot.media.clip, new, color=color, is_original=False)
        elif mode == "fusion":
            made = _branched(shot, made, color=color, results=results)
        else:
            clip = _imported(host, results, color=color)
            made = replace(made, made=clip.GetUniqueId())
            place = _taken if mode == "take" else _placed
            made = place(host, shot, clip, made, head=results.used[0] - results.first)
        _mark(timeline, shot, made, note=note)
        for moment in ("", " after the project was saved"):
            if not _is_there(host, made):
                raise HostError(f"the result was not found on the timeline{moment}",
                                hint="run Kwaflux again; the frames are done")  # fmt: skip
            if not moment:
                host.save()
    except BaseException:
        _undo(host, made)
        raise
    return made


def made_in(timeline: Timeline) -> list[Made]:
    """Return what Kwaflux made on a timeline, as its markers tell, in the order of time.

    A marker of a newer version, which we could not undo, is passed over.
    """
    found = []
    for marker in timeline.GetMarkers().values():
        data = text_of(marker.get("customData"))
        if data.startswith(f'{{"{_MARK}":1,'):
            with contextlib.suppress(ValueError, TypeError):
                raw = json.loads(data)
                found.append(Made(**{name: raw[name] for name in raw if name != _MARK}))
    return sorted(found, key=lambda made: made.job)


def revert(host: Host, made: Made) -> None:
    """Take a result out of the project again; its files stay on disk.

    Raises:
        HostError: It is still there.
    """
    with host.kept():
        _undo(host, made)
        if _is_there(host, made):
            raise HostError(f"Resolve did not let go of {made.job}", hint="unlock its track")
        host.save()


# --- the ways in ------------------------------------------------------------------------------


def _imported(host: Host, results: Plates, *, color: Color) -> MediaPoolItem:
    """Import frames as one clip into our bin, in the source's colors."""
    host.bin(_BIN)  # an import lands in the current bin, and nowhere else
    info = {"FilePath": results.pattern, "StartIndex": results.first, "EndIndex": results.last}
    clips = list(host.pool.ImportMedia([info]) or [])
    if len(clips) != 1 or _number(clips[0], "Frames") != results.last - results.first + 1:
        host.pool.DeleteClips(clips)
        raise HostError(
            f"Resolve imported {len(clips)} clips of {results.pattern} instead of one with all "
            "its frames",
            hint="turn off Show Individual Frames in the media pool",
        )
    try:
        color.put_on(clips[0])
    except HostError:
        host.pool.DeleteClips(clips)
        raise
    return clips[0]


def _taken(host: Host, shot: Shot, clip: MediaPoolItem, made: Made, *, head: int) -> Made:
    """Add a take and show it. It is not finalized, so that both can be compared."""
    item, before = shot.item, max(1, shot.item.GetSelectedTakeIndex())
    count = max(1, item.GetTakesCount())
    for first in _starts(clip, head):
        item.AddTake(clip, first, first + shot.count - 1)
        if item.GetTakesCount() == count + 1:
            item.SelectTakeByIndex(count + 1)
            if _shows(item, shot, _starts(clip, head)):
                return replace(made, before=str(before))
            item.SelectTakeByIndex(before)
            item.DeleteTakeByIndex(count + 1)
    host.pool.DeleteClips([clip])
    raise HostError(
        f"Resolve added no take to {shot.media.name}", hint="choose a new track instead"
    )


def _placed(host: Host, shot: Shot, clip: MediaPoolItem, made: Made, *, head: int) -> Made:
    """Put the result on a new track, where the clip lies."""
    timeline = host.timeline
    for first in _starts(clip, head):
        timeline.AddTrack("video")
        track = timeline.GetTrackCount("video")
        timeline.SetTrackName("video", track, _BIN)
        info: dict[str, object] = {
            "mediaPoolItem": clip,
            "startFrame": first,
            "endFrame": first + shot.count,  # exclusive
            "mediaType": 1,
            "trackIndex": track,
            "recordFrame": shot.start,  # absolute
        }
        host.pool.AppendToTimeline([info])
        items = list(timeline.GetItemListInTrack("video", track) or [])
        if len(items) == 1 and _shows(items[0], shot, _starts(clip, head)):
            return replace(made, made=text_of(items[0].GetUniqueId()))
        timeline.DeleteTrack("video", track)
    host.pool.DeleteClips([clip])
    raise HostError(f"Resolve did not place the result of {shot.media.name}", hint="choose a take")


def _to_replace(shot: Shot, made: Made, *, color: Color, results: Plates) -> Made:
    """Return what must be known to undo a replacement, before it is made."""
    if (results.first, results.last) != (shot.media.first, shot.media.last):
        raise HostError("only a result of the whole media can replace it")
    if text_of(shot.media.clip.GetClipProperty("Audio Ch")) not in ("", "0"):
        raise HostError(
            f"{shot.media.name} has sound, which would be gone with its media",
            hint="choose a take or a new track",
        )
    old = _first_file(shot.media.path)
    return replace(made, made=results.pattern, before=old, level=color.level)


def _exchange(
    host: Host, clip: MediaPoolItem, path: str, *, color: Color, is_original: bool
) -> None:
    """Replace a clip's media wherever it is used; what people had set is put back."""
    raw = clip.GetMetadata()
    metadata = {str(k): str(v) for k, v in raw.items()} if isinstance(raw, dict) else {}
    clip.ReplaceClip(path)
    if _first_file(text_of(clip.GetClipProperty("File Path"))) != _first_file(path):
        raise HostError("Resolve did not replace the clip's media", hint="choose a take instead")
    clip.SetMetadata(metadata)
    now = clip.GetMetadata()
    lost = [name for name in metadata if not isinstance(now, dict) or name not in now]
    if lost:
        host.say(f"Resolve did not take back {', '.join(lost)} of {clip.GetName()}")
    color.put_on(clip, is_original=is_original)


def _branched(shot: Shot, made: Made, *, color: Color, results: Plates) -> Made:
    """Add a comp: MediaIn and a Loader into a Dissolve, which is where both are compared.

    A comp without a path from MediaIn is not rendered, and neither are values that are set while
    it is locked: it never is.
    """
    if color.is_managed:
        raise HostError(
            "a Loader is not color managed, and this project is: it would show the wrong colors",
            hint="choose a take",
        )
    comp, names = shot.item.AddFusionComp(), shot.item.GetFusionCompNameList()
    name = f"Kwaflux {made.job}"
    if comp is None or not names or not shot.item.RenameFusionCompByName(names[-1], name):
        raise HostError(f"Resolve added no Fusion comp to {shot.media.name}", hint="choose a take")
    made = replace(made, made=name)
    media_in, media_out = comp.FindTool("MediaIn1"), comp.FindTool("MediaOut1")
    loader, mix = (comp.AddTool(kind, -32768, -32768) for kind in ("Loader", "Dissolve"))
    start = int(float(str(comp.GetAttrs().get("COMPN_RenderStart", 0))))
    begin, path = (
        start - (results.used[0] - results.first),
        frame_path(results.pattern, results.first),
    )
    is_good = False
    if media_in and media_out and loader and mix:
        values = {
            "Clip": path,
            "GlobalIn": begin,
            "GlobalOut": begin + results.last - results.first,
        }
        for key, value in values.items():
            loader.SetInput(key, value)
        mix.SetInput("Mix", 1.0)
        mix.ConnectInput("Background", media_in)
        mix.ConnectInput("Foreground", loader)
        media_out.ConnectInput("Input", mix)
        is_good = all(loader.GetInput(key) == value for key, value in values.items())
    if not is_good:
        shot.item.DeleteFusionCompByName(name)
        raise HostError(f"Fusion did not take a Loader of {path}", hint="choose a take")
    return made


def _mark(timeline: Timeline, shot: Shot, made: Made, *, note: str) -> None:
    """Set a marker with the job's data on the first free frame of the clip."""
    offset = shot.start - timeline.GetStartFrame()
    for frame in range(offset, offset + shot.count):
        if timeline.AddMarker(frame, "Purple", f"Kwaflux {made.job}", note, 1, made.data):
            break
    if made not in made_in(timeline):
        raise HostError("Resolve set no marker, so this could not be undone later")


# --- what is there, and its undoing -------------------------------------------------------------


def _is_there(host: Host, made: Made) -> bool:
    """Tell whether a result is in the project now; everything is asked anew."""
    item = _item(host.timeline, made.item)
    if made.mode == "track":
        return _item(host.timeline, made.made) is not None
    if item is None:
        return False
    if made.mode == "take":
        return _take_of(item, made) > 0
    if made.mode == "fusion":
        return made.made in item.GetFusionCompNameList()
    clip = item.GetMediaPoolItem()
    path = "" if clip is None else text_of(clip.GetClipProperty("File Path"))
    return bool(made.made) and _first_file(path).startswith(made.made.partition("%")[0])


def _undo(host: Host, made: Made) -> None:
    timeline = host.timeline
    item = _item(timeline, made.item)
    if made.mode == "track":
        _remove_placed(host, made)
    elif item is not None and made.mode == "take" and (index := _take_of(item, made)):
        clip = item.GetTakeByIndex(index)["mediaPoolItem"]
        item.SelectTakeByIndex(int(made.before or 1))
        item.DeleteTakeByIndex(index)
        host.pool.DeleteClips([clip])  # type: ignore[list-item]
    elif item is not None and made.mode == "fusion":
        item.DeleteFusionCompByName(made.made)
    elif item is not None and made.mode == "replace" and _is_there(host, made):
        clip = item.GetMediaPoolItem()
        if clip is not None:
            color = capture(clip, project=host.project, timeline=timeline)
            color = replace(color, level=made.level)
            _exchange(host, clip, made.before, color=color, is_original=True)
    if not _is_there(host, made):
        timeline.DeleteMarkerByCustomData(made.data)


def _remove_placed(host: Host, made: Made) -> None:
    timeline = host.timeline
    item = _item(timeline, made.made)
    if item is None:
        return
    clip = item.GetMediaPoolItem()
    tracks = range(1, timeline.GetTrackCount("video") + 1)
    uids = {
        n: [i.GetUniqueId() for i in timeline.GetItemListInTrack("video", n) or ()] for n in tracks
    }
    own = next((n for n, found in uids.items() if found == [made.made]), 0)
    if own:
        timeline.DeleteTrack("video", own)
    else:
        host.resolve.OpenPage("edit")  # DeleteClips works there alone, at times the second time
        if not timeline.DeleteClips([item], False):
            timeline.DeleteClips([item], False)
    if clip is not None:
        host.pool.DeleteClips([clip])


def _items(timeline: Timeline) -> Iterator[TimelineItem]:
    for index in range(1, timeline.GetTrackCount("video") + 1):
        yield from timeline.GetItemListInTrack("video", index) or ()


def _item(timeline: Timeline, uid: str) -> TimelineItem | None:
    return next((item for item in _items(timeline) if item.GetUniqueId() == uid), None)


def _take_of(item: TimelineItem, made: Made) -> int:
    """Return the index of our take, from 1; 0 if there is none."""
    for index in range(1, item.GetTakesCount() + 1):
        clip = item.GetTakeByIndex(index).get("mediaPoolItem")
        if clip is not None and clip.GetUniqueId() == made.made:  # type: ignore[attr-defined]
            return index
    return 0


def _starts(clip: MediaPoolItem, head: int) -> list[int]:
    """Return what the first frame may be called: versions count from the file's number or 0."""
    return list(dict.fromkeys((_number(clip, "Start") + head, head)))


def _shows(item: TimelineItem, shot: Shot, starts: list[int]) -> bool:
    """Tell whether an item lies where the shot does and begins at the right frame."""
    place = (item.GetStart(), item.GetDuration())
    return place == (shot.start, shot.count) and item.GetLeftOffset() in starts


def _number(clip: MediaPoolItem, name: str) -> int:
    return int(text_of(clip.GetClipProperty(name)) or 0)


def _first_file(path: str) -> str:
    """Return the path of a sequence's first file: Resolve shows ``x.[1001-1050].exr``."""
    return re.sub(r"\[(\d+)-\d+\]", r"\1", path.replace("\\", "/"))
