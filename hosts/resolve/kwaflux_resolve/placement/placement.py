"""The interface of a placement, and the search for a clip on the timeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_resolve.clips import Shot
from kwaflux_resolve.host import Host
from kwaflux_resolve.resolve_api import Timeline, TimelineItem

__all__ = ["Placement", "find_item", "video_tracks"]


class Placement(ABC):
    """One way to bring results into the open project.

    Args:
        host: The Resolve that holds the project.
    """

    def __init__(self, host: Host) -> None:
        self.host: Final = host

    @abstractmethod
    def place(self, shot: Shot, marker: ResultMarker, results: FrameSpan) -> ResultMarker:
        """Bring results into the project; what fails is taken out again.

        Args:
            shot: The clip that was enhanced.
            marker: The record of the job, not complete yet.
            results: The enhanced frames.

        Returns:
            The marker with everything that ``is_there`` and ``undo`` need.

        Raises:
            HostError: Resolve did not place the result, or it does not fit the clip.
        """

    @abstractmethod
    def is_there(self, marker: ResultMarker) -> bool:
        """Return whether the result is in the project now; Resolve is asked each time."""

    @abstractmethod
    def undo(self, marker: ResultMarker) -> None:
        """Remove a result that is there; the caller checks that it is gone."""


def find_item(timeline: Timeline, uid: str) -> TimelineItem | None:
    """Return the video item with an id, or None."""
    items = (item for track in video_tracks(timeline).values() for item in track)
    return next((item for item in items if item.GetUniqueId() == uid), None)


def video_tracks(timeline: Timeline) -> dict[int, list[TimelineItem]]:
    """Return the items of each video track, by the track's index from 1."""
    indices = range(1, timeline.GetTrackCount("video") + 1)
    return {index: list(timeline.GetItemListInTrack("video", index) or ()) for index in indices}
