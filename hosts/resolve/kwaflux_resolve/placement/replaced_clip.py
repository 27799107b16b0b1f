"""A result in place of the clip's media, wherever the clip is used."""

from __future__ import annotations

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.media import FrameSpan, first_file
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_resolve.clip_colorspace import ClipColor
from kwaflux_resolve.clips import Shot, source_of
from kwaflux_resolve.placement.placement import Placement, find_item
from kwaflux_resolve.resolve_api import MediaPoolItem
from kwaflux_resolve.verified_settings import property_of

__all__ = ["ReplacedClip"]


class ReplacedClip(Placement):
    """Replaces the media of the clip; metadata and color properties are set again."""

    def place(self, shot: Shot, marker: ResultMarker, results: FrameSpan) -> ResultMarker:
        """Replace the media by the result; the marker holds what was there already."""
        if (results.first, results.last) != (shot.media.first, shot.media.last):
            raise HostError("only a result of the whole media can replace it")
        if property_of(shot.clip, "Audio Ch") not in ("", "0"):
            raise HostError(f"{shot.media.name} has sound", hint="it would be lost: choose a take")
        self._replace(shot.clip, results.first_file, color=shot.color)
        return marker

    def is_there(self, marker: ResultMarker) -> bool:
        """Return whether the clip's media is the result."""
        item = find_item(self.host.timeline, marker.item)
        if item is None:
            return False
        shown = first_file(property_of(item.GetMediaPoolItem(), "File Path"))
        return shown.startswith(marker.made.partition("%")[0])

    def undo(self, marker: ResultMarker) -> None:
        """Replace the result by the media that was there before, at its data level."""
        timeline = self.host.timeline
        item = find_item(timeline, marker.item)
        clip = None if item is None else item.GetMediaPoolItem()
        if clip is None:
            return
        color = source_of(self.host, clip, timeline=timeline).color
        self._replace(clip, marker.before, color=color, level=marker.level or "Auto")

    def _replace(
        self, clip: MediaPoolItem, path: str, *, color: ClipColor, level: str = ""
    ) -> None:
        metadata = dict(clip.GetMetadata() or {})
        clip.ReplaceClip(path)
        if first_file(property_of(clip, "File Path")) != first_file(path):
            raise HostError(
                "Resolve did not replace the clip's media", hint="choose a take instead"
            )
        clip.SetMetadata(metadata)
        if lost := metadata.keys() - dict(clip.GetMetadata() or {}).keys():
            names = ", ".join(sorted(lost))
            self.host.say(f"Resolve did not restore {names} of {clip.GetName()}")
        color.put_on(clip, level=level)
