"""A result on a track of its own, above the clip."""

from __future__ import annotations

from dataclasses import replace

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_resolve.clips import BIN, Shot
from kwaflux_resolve.placement.media_pool_clip import import_clip, is_aligned
from kwaflux_resolve.placement.placement import Placement, find_item, video_tracks
from kwaflux_resolve.resolve_api import MediaPoolItem, TimelineItem
from kwaflux_resolve.verified_settings import text_of

__all__ = ["TrackPlacement"]


class TrackPlacement(Placement):
    """Puts the result on a new track, at the frames of the clip, which stays as it is."""

    def place(self, shot: Shot, marker: ResultMarker, results: FrameSpan) -> ResultMarker:
        """Add a track and put the result on it."""
        timeline = self.host.timeline
        with import_clip(self.host, shot, results) as (clip, starts):
            for first in starts:
                timeline.AddTrack("video")
                track = timeline.GetTrackCount("video")
                timeline.SetTrackName("video", track, BIN)
                self._append(clip, shot, track=track, first=first)
                items = list(timeline.GetItemListInTrack("video", track) or [])
                if len(items) == 1 and is_aligned(items[0], shot, starts):
                    return replace(marker, made=text_of(items[0].GetUniqueId()))
                timeline.DeleteTrack("video", track)
            raise HostError(
                f"Resolve did not place {shot.media.name}'s result", hint="choose a take"
            )

    def is_there(self, marker: ResultMarker) -> bool:
        """Return whether the result's item is on the timeline."""
        return find_item(self.host.timeline, marker.made) is not None

    def undo(self, marker: ResultMarker) -> None:
        """Delete the item, with its track if nothing else is on it, and its clip in the pool."""
        item = find_item(self.host.timeline, marker.made)
        if item is None:
            return
        clip = item.GetMediaPoolItem()
        self._delete(item, marker)
        if clip is not None:
            self.host.pool.DeleteClips([clip])

    def _append(self, clip: MediaPoolItem, shot: Shot, *, track: int, first: int) -> None:
        self.host.pool.AppendToTimeline(
            [
                {
                    "mediaPoolItem": clip,
                    "mediaType": 1,  # video only
                    "startFrame": first,
                    "endFrame": first + shot.cut.count,  # exclusive
                    "trackIndex": track,
                    "recordFrame": shot.cut.start,  # absolute
                }
            ]
        )

    def _delete(self, item: TimelineItem, marker: ResultMarker) -> None:
        timeline = self.host.timeline
        for index, items in video_tracks(timeline).items():
            if [one.GetUniqueId() for one in items] == [marker.made]:
                timeline.DeleteTrack("video", index)
                return
        # DeleteClips works on the edit page only, and at times at the second call only.
        self.host.resolve.OpenPage("edit")
        if not timeline.DeleteClips([item], False):
            timeline.DeleteClips([item], False)
