"""The way back: results into the project as a take, a track, a replaced clip or a Fusion branch.

Success is claimed when everything is found again in the project, before and after it was saved:
Resolve shows placements that a save then drops. What fails is undone before the error is raised.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.media import FrameSpan, first_file
from kwaflux_hosting.timeline_host.result_marker import ResultMarker, check_stays, read_markers
from kwaflux_hosting.timeline_host.verified_settings import rejected_settings, text_of
from kwaflux_resolve.clips import BIN, Color, Shot, imported, said, source_of
from kwaflux_resolve.resolve_api import Host

if TYPE_CHECKING:
    from kwaflux_resolve.api import MediaPoolItem, Timeline, TimelineItem

__all__ = ["MODES", "import_result", "markers_in", "revert"]


def import_result(
    host: Host, shot: Shot, *, mode: str, job: str, results: FrameSpan, note: str
) -> ResultMarker:
    """Bring results into the project, mark them, save, and find them again; or leave nothing."""
    old, level = first_file(shot.media.path), shot.color.level
    made = ResultMarker(
        job=job, mode=mode, item=shot.uid, made=results.pattern, before=old, level=level
    )
    try:
        made = MODES[mode](host, shot, made, results)
        _mark(host.timeline, shot, made, note=note)
        check_stays(lambda: _is_there(host, made), save=host.save)
    except BaseException:
        _undo(host, made)
        raise
    return made


def markers_in(timeline: Timeline) -> list[ResultMarker]:
    """Return what Kwaflux made on a timeline, as its markers tell, in the order of time."""
    return read_markers(text_of(one.get("customData")) for one in timeline.GetMarkers().values())


def revert(host: Host, made: ResultMarker) -> None:
    """Take a result out of the project again, or say so; its files stay on disk."""
    with host.kept():
        _undo(host, made)
        if _is_there(host, made):
            raise HostError(f"Resolve did not let go of {made.job}", hint="unlock its track")
        host.save()


def _taken(host: Host, shot: Shot, made: ResultMarker, results: FrameSpan) -> ResultMarker:
    """Add a take and show it. It is not finalized, so that both can be compared."""
    item, before = shot.item, max(1, shot.item.GetSelectedTakeIndex())
    count = max(1, item.GetTakesCount())
    with _new_clip(host, shot, results) as (clip, starts):
        for first in starts:
            item.AddTake(clip, first, first + shot.cut.count - 1)
            if item.GetTakesCount() == count + 1:
                item.SelectTakeByIndex(count + 1)
                if _shows(item, shot, starts):
                    return replace(made, made=clip.GetUniqueId(), before=str(before))
                item.SelectTakeByIndex(before)
                item.DeleteTakeByIndex(count + 1)
        raise HostError(f"Resolve added no take to {shot.media.name}", hint="choose a new track")


def _placed(host: Host, shot: Shot, made: ResultMarker, results: FrameSpan) -> ResultMarker:
    """Put the result on a new track, where the clip lies."""
    timeline, kind = host.timeline, "video"
    with _new_clip(host, shot, results) as (clip, starts):
        for first in starts:
            timeline.AddTrack(kind)
            track = timeline.GetTrackCount(kind)
            timeline.SetTrackName(kind, track, BIN)
            source = {"startFrame": first, "endFrame": first + shot.cut.count}  # exclusive
            place = {"mediaType": 1, "trackIndex": track, "recordFrame": shot.cut.start}  # absolute
            host.pool.AppendToTimeline([{"mediaPoolItem": clip, **source, **place}])
            items = list(timeline.GetItemListInTrack(kind, track) or [])
            if len(items) == 1 and _shows(items[0], shot, starts):
                return replace(made, made=text_of(items[0].GetUniqueId()))
            timeline.DeleteTrack(kind, track)
        raise HostError(f"Resolve did not place {shot.media.name}'s result", hint="choose a take")


def _replaced(host: Host, shot: Shot, made: ResultMarker, results: FrameSpan) -> ResultMarker:
    """Exchange the clip's media for the result, wherever it is used."""
    if (results.first, results.last) != (shot.media.first, shot.media.last):
        raise HostError("only a result of the whole media can replace it")
    if said(shot.clip, "Audio Ch") not in ("", "0"):
        raise HostError(f"{shot.media.name} has sound", hint="it would be lost: choose a take")
    _exchange(host, shot.clip, results.first_file, color=shot.color)
    return made


def _branched(host: Host, shot: Shot, made: ResultMarker, results: FrameSpan) -> ResultMarker:
    """Add a comp: MediaIn and a Loader into a Dissolve, which is where both are compared.

    A comp without a path from MediaIn is not rendered, and neither are values that are set while
    it is locked: it never is.
    """
    if shot.color.is_managed:
        raise HostError("a Loader is not color managed, and this project is", hint="choose a take")
    item, name = shot.item, f"Kwaflux {made.job}"
    comp, names = item.AddFusionComp(), item.GetFusionCompNameList()
    if comp is None or not names or not item.RenameFusionCompByName(names[-1], name):
        raise HostError(f"Resolve added no Fusion comp to {shot.media.name}", hint="choose a take")
    media_in, media_out = comp.FindTool("MediaIn1"), comp.FindTool("MediaOut1")
    loader, mix = (comp.AddTool(kind, -32768, -32768) for kind in ("Loader", "Dissolve"))
    begin = int(float(text_of(comp.GetAttrs().get("COMPN_RenderStart")) or 0)) - results.head
    span: dict[str, object] = {"GlobalIn": begin, "GlobalOut": begin + results.count - 1}
    wanted = {"Clip": results.first_file, **span}
    if media_in and media_out and loader and mix:
        mix.SetInput("Mix", 1.0)
        mix.ConnectInput("Background", media_in)
        mix.ConnectInput("Foreground", loader)
        media_out.ConnectInput("Input", mix)
        if not rejected_settings(wanted, write=loader.SetInput, read=loader.GetInput):
            return replace(made, made=name)
    item.DeleteFusionCompByName(name)
    raise HostError(f"Fusion did not take a Loader of {results.first_file}", hint="choose a take")


MODES = {"take": _taken, "track": _placed, "replace": _replaced, "fusion": _branched}


@contextlib.contextmanager
def _new_clip(
    host: Host, shot: Shot, results: FrameSpan
) -> Iterator[tuple[MediaPoolItem, list[int]]]:
    """Give results as a clip, and its possible starts; what is raised takes it away again."""
    clip = imported(host, results)
    try:
        shot.color.put_on(clip)
        yield clip, results.starts(int(said(clip, "Start") or 0))
    except BaseException:
        host.pool.DeleteClips([clip])
        raise


def _exchange(host: Host, clip: MediaPoolItem, path: str, *, color: Color, level: str = "") -> None:
    """Replace a clip's media wherever it is used; what people had set is put back."""
    kept = dict(clip.GetMetadata() or {})
    clip.ReplaceClip(path)
    if first_file(said(clip, "File Path")) != first_file(path):
        raise HostError("Resolve did not replace the clip's media", hint="choose a take instead")
    clip.SetMetadata(kept)
    if lost := kept.keys() - dict(clip.GetMetadata() or {}).keys():
        host.say(f"Resolve did not take back {', '.join(sorted(lost))} of {clip.GetName()}")
    color.put_on(clip, level=level)


def _shows(item: TimelineItem, shot: Shot, starts: Sequence[int]) -> bool:
    """Tell whether an item lies where the shot does and begins at the right frame."""
    is_there = shot.cut.is_shown_at(item.GetStart(), item.GetDuration())
    return is_there and item.GetLeftOffset() in starts


def _mark(timeline: Timeline, shot: Shot, made: ResultMarker, *, note: str) -> None:
    """Set a marker with the job's data on the first free frame of the clip."""
    offset = shot.cut.start - timeline.GetStartFrame()
    what = ("Purple", f"Kwaflux {made.job}", note, 1, made.data)
    any(timeline.AddMarker(offset + n, *what) for n in range(shot.cut.count))
    if made not in markers_in(timeline):
        raise HostError("Resolve set no marker, so this could not be undone later")


def _is_there(host: Host, made: ResultMarker) -> bool:
    """Tell whether a result is in the project now; everything is asked anew."""
    item = _item(host.timeline, made)
    if item is None or made.mode == "track":
        return item is not None
    if made.mode == "take":
        return _take_of(item, made)[0] > 0
    if made.mode == "fusion":
        return made.made in item.GetFusionCompNameList()
    shown = first_file(said(item.GetMediaPoolItem(), "File Path"))
    return shown.startswith(made.made.partition("%")[0])


def _undo(host: Host, made: ResultMarker) -> None:
    """Take out what is there of a result, its clip in the pool too, and then its marker."""
    timeline, item = host.timeline, _item(host.timeline, made)
    if item is not None and _is_there(host, made):
        clip = item.GetMediaPoolItem()
        if made.mode == "take":
            index, clip = _take_of(item, made)
            item.SelectTakeByIndex(int(made.before or 1))
            item.DeleteTakeByIndex(index)
        elif made.mode == "track":
            _take_off(host, item, made)
        elif made.mode == "fusion":
            item.DeleteFusionCompByName(made.made)
        elif clip is not None:
            color = source_of(host, clip, timeline=timeline).color
            _exchange(host, clip, made.before, color=color, level=made.level or "Auto")
        if clip is not None and made.mode in ("take", "track"):
            host.pool.DeleteClips([clip])
    if not _is_there(host, made):
        timeline.DeleteMarkerByCustomData(made.data)


def _take_off(host: Host, item: TimelineItem, made: ResultMarker) -> None:
    """Take a result off the timeline, with its track if it is alone there."""
    timeline, tracks = host.timeline, _tracks(host.timeline)
    own = [n for n, found in tracks.items() if [i.GetUniqueId() for i in found] == [made.made]]
    if own:
        timeline.DeleteTrack("video", own[0])
    else:
        host.resolve.OpenPage("edit")  # DeleteClips works there alone, at times the second time
        _ = timeline.DeleteClips([item], False) or timeline.DeleteClips([item], False)


def _tracks(timeline: Timeline) -> dict[int, list[TimelineItem]]:
    numbers = range(1, timeline.GetTrackCount("video") + 1)
    return {n: list(timeline.GetItemListInTrack("video", n) or ()) for n in numbers}


def _item(timeline: Timeline, made: ResultMarker) -> TimelineItem | None:
    """Return the item that a result is, or lies on."""
    uid = made.made if made.mode == "track" else made.item
    items = (item for found in _tracks(timeline).values() for item in found)
    return next((item for item in items if item.GetUniqueId() == uid), None)


def _take_of(item: TimelineItem, made: ResultMarker) -> tuple[int, MediaPoolItem | None]:
    """Return the index of our take, from 1, and its clip; 0 and None if there is no such take."""
    for index in range(1, item.GetTakesCount() + 1):
        clip = cast("MediaPoolItem | None", item.GetTakeByIndex(index).get("mediaPoolItem"))
        if clip is not None and clip.GetUniqueId() == made.made:
            return index, clip
    return 0, None
