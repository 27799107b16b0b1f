"""A result as a take of the clip."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_resolve.clips import Shot
from kwaflux_resolve.placement.media_pool_clip import import_clip, is_aligned
from kwaflux_resolve.placement.placement import Placement, find_item
from kwaflux_resolve.resolve_api import MediaPoolItem, TimelineItem

__all__ = ["TakePlacement"]


class TakePlacement(Placement):
    """Adds a take and selects it. The take is not finalized, so that both can be compared."""

    def place(self, shot: Shot, marker: ResultMarker, results: FrameSpan) -> ResultMarker:
        """Add a take that begins where the clip does."""
        item = shot.item
        selected = max(1, item.GetSelectedTakeIndex())
        added = max(1, item.GetTakesCount()) + 1
        with import_clip(self.host, shot, results) as (clip, starts):
            for first in starts:
                item.AddTake(clip, first, first + shot.cut.count - 1)
                if item.GetTakesCount() != added:
                    continue
                item.SelectTakeByIndex(added)
                if is_aligned(item, shot, starts):
                    return replace(marker, made=clip.GetUniqueId(), before=str(selected))
                item.SelectTakeByIndex(selected)
                item.DeleteTakeByIndex(added)
            raise HostError(
                f"Resolve added no take to {shot.media.name}", hint="choose a new track"
            )

    def is_there(self, marker: ResultMarker) -> bool:
        """Return whether the clip has the take."""
        item = find_item(self.host.timeline, marker.item)
        return item is not None and _find_take(item, marker) is not None

    def undo(self, marker: ResultMarker) -> None:
        """Select the take that was shown before; delete ours, and its clip in the media pool."""
        item = find_item(self.host.timeline, marker.item)
        if item is None or (take := _find_take(item, marker)) is None:
            return
        index, clip = take
        item.SelectTakeByIndex(int(marker.before or 1))
        item.DeleteTakeByIndex(index)
        self.host.pool.DeleteClips([clip])


def _find_take(item: TimelineItem, marker: ResultMarker) -> tuple[int, MediaPoolItem] | None:
    """Return the index of the result's take, from 1, and its clip."""
    for index in range(1, item.GetTakesCount() + 1):
        clip = cast("MediaPoolItem | None", item.GetTakeByIndex(index).get("mediaPoolItem"))
        if clip is not None and clip.GetUniqueId() == marker.made:
            return index, clip
    return None
