"""Import of results as a take, a track, a replaced clip or a Fusion branch, and its undo.

A result counts as imported when it is found in the project before and after a save: Resolve shows
placements that a save then drops. What fails is undone before the error is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.media import FrameSpan, first_file
from kwaflux_hosting.timeline_host.result_marker import ResultMarker, check_stays, read_markers
from kwaflux_resolve.clips import Shot
from kwaflux_resolve.host import Host
from kwaflux_resolve.placement.fusion_branch import FusionBranch
from kwaflux_resolve.placement.placement import Placement
from kwaflux_resolve.placement.replaced_clip import ReplacedClip
from kwaflux_resolve.placement.take import TakePlacement
from kwaflux_resolve.placement.track import TrackPlacement
from kwaflux_resolve.resolve_api import Timeline
from kwaflux_resolve.verified_settings import text_of

__all__ = ["PLACEMENTS", "import_result", "markers_in", "revert"]

PLACEMENTS: Final[Mapping[str, type[Placement]]] = MappingProxyType(
    {
        "take": TakePlacement,
        "track": TrackPlacement,
        "replace": ReplacedClip,
        "fusion": FusionBranch,
    }
)
"""The placements by the mode that dialog, command line and markers name."""


def import_result(
    host: Host, shot: Shot, *, mode: str, job: str, results: FrameSpan, note: str
) -> ResultMarker:
    """Place results, mark them, save the project and find them again; or leave it unchanged.

    Args:
        host: The Resolve that holds the project.
        shot: The clip that was enhanced.
        mode: A key of ``PLACEMENTS``.
        job: The job's id.
        results: The enhanced frames.
        note: The text of the marker.

    Raises:
        HostError: Resolve did not place, mark, save or keep the result.
    """
    marker = ResultMarker(
        job=job,
        mode=mode,
        item=shot.uid,
        made=results.pattern,
        before=first_file(shot.media.path),
        level=shot.color.level,
    )
    placement = _placement(host, marker)
    try:
        marker = placement.place(shot, marker, results)
        _add_marker(host.timeline, shot, marker, note=note)
        check_stays(lambda: placement.is_there(marker), save=host.save)
    except BaseException:
        _undo(placement, marker)
        raise
    return marker


def markers_in(timeline: Timeline) -> list[ResultMarker]:
    """Return the results that the markers of a timeline record, oldest first."""
    return read_markers(text_of(one.get("customData")) for one in timeline.GetMarkers().values())


def revert(host: Host, marker: ResultMarker) -> None:
    """Remove a result from the project and save it; the result's files stay on disk.

    Raises:
        HostError: Resolve did not remove it, or a newer Kwaflux placed it.
    """
    placement = _placement(host, marker)
    with host.kept():
        _undo(placement, marker)
        if placement.is_there(marker):
            raise HostError(f"Resolve did not remove {marker.job}", hint="unlock its track")
        host.save()


def _placement(host: Host, marker: ResultMarker) -> Placement:
    if marker.mode not in PLACEMENTS:
        raise HostError(
            f"this version of Kwaflux has no placement {marker.mode!r}",
            hint=f"the placements are {', '.join(PLACEMENTS)}",
        )
    return PLACEMENTS[marker.mode](host)


def _add_marker(timeline: Timeline, shot: Shot, marker: ResultMarker, *, note: str) -> None:
    """Set a marker with the job's data on the first free frame of the clip."""
    first, name = shot.cut.start - timeline.GetStartFrame(), f"Kwaflux {marker.job}"
    for frame in range(first, first + shot.cut.count):
        if timeline.AddMarker(frame, "Purple", name, note, 1, marker.data):
            break
    if marker not in markers_in(timeline):
        raise HostError("Resolve set no marker, so the import could not be undone later")


def _undo(placement: Placement, marker: ResultMarker) -> None:
    """Remove a result as far as it is there, and then its marker."""
    if placement.is_there(marker):
        placement.undo(marker)
    if not placement.is_there(marker):
        placement.host.timeline.DeleteMarkerByCustomData(marker.data)
