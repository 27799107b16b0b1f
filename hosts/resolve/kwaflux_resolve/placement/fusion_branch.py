"""A result as a Loader in a Fusion comp of the clip."""

from __future__ import annotations

from dataclasses import replace

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_resolve.clips import Shot
from kwaflux_resolve.placement.placement import Placement, find_item
from kwaflux_resolve.resolve_api import FusionComp
from kwaflux_resolve.verified_settings import rejected_settings, text_of

__all__ = ["FusionBranch"]

_DEFAULT_POSITION = -32768
"""Where Fusion chooses a tool's place in the flow itself."""


class FusionBranch(Placement):
    """Adds a comp in which a Dissolve compares MediaIn and a Loader of the result.

    A comp without a path from MediaIn is not rendered, and neither are values that are set while
    it is locked: it never is.
    """

    def place(self, shot: Shot, marker: ResultMarker, results: FrameSpan) -> ResultMarker:
        """Add the comp; the project must not be color managed, for a Loader is not."""
        if shot.color.is_managed:
            raise HostError(
                "this project is color managed, and a Loader is not", hint="choose a take"
            )
        item, name = shot.item, f"Kwaflux {marker.job}"
        comp = item.AddFusionComp()
        names = item.GetFusionCompNameList()
        if comp is None or not names or not item.RenameFusionCompByName(names[-1], name):
            raise HostError(
                f"Resolve added no Fusion comp to {shot.media.name}", hint="choose a take"
            )
        if not _connect_loader(comp, results):
            item.DeleteFusionCompByName(name)
            raise HostError(
                f"Fusion did not accept a Loader of {results.first_file}", hint="choose a take"
            )
        return replace(marker, made=name)

    def is_there(self, marker: ResultMarker) -> bool:
        """Return whether the clip has the comp."""
        item = find_item(self.host.timeline, marker.item)
        return item is not None and marker.made in item.GetFusionCompNameList()

    def undo(self, marker: ResultMarker) -> None:
        """Delete the comp."""
        item = find_item(self.host.timeline, marker.item)
        if item is not None:
            item.DeleteFusionCompByName(marker.made)


def _connect_loader(comp: FusionComp, results: FrameSpan) -> bool:
    """Connect MediaIn and a Loader to a Dissolve that shows the Loader; return whether it holds."""
    media_in, media_out = comp.FindTool("MediaIn1"), comp.FindTool("MediaOut1")
    loader = comp.AddTool("Loader", _DEFAULT_POSITION, _DEFAULT_POSITION)
    dissolve = comp.AddTool("Dissolve", _DEFAULT_POSITION, _DEFAULT_POSITION)
    if not (media_in and media_out and loader and dissolve):
        return False
    dissolve.SetInput("Mix", 1.0)
    dissolve.ConnectInput("Background", media_in)
    dissolve.ConnectInput("Foreground", loader)
    media_out.ConnectInput("Input", dissolve)
    first = int(float(text_of(comp.GetAttrs().get("COMPN_RenderStart")) or 0)) - results.head
    wanted: dict[str, object] = {
        "Clip": results.first_file,
        "GlobalIn": first,
        "GlobalOut": first + results.count - 1,
    }
    return not rejected_settings(wanted, write=loader.SetInput, read=loader.GetInput)
