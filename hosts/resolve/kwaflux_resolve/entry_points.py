"""The entry points in Resolve: its menu, its console, and a shell.

From a shell::

    python -m kwaflux_resolve.entry_points --flow "denoise(strength=0.6)" --mode take
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kwaflux_core.errors import KwafluxError
from kwaflux_hosting.install_layout import add_wheels
from kwaflux_hosting.timeline_host.clip_request import ClipRequest, read_dialog_controls
from kwaflux_hosting.timeline_host.command_line import run_command
from kwaflux_hosting.timeline_host.enhance import ClipHost
from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_hosting.timeline_host.task_runner import Task, run_task
from kwaflux_resolve.clips import Shot, chosen, imported, look, source_of
from kwaflux_resolve.dialog import Dialog
from kwaflux_resolve.host import Host, find_host
from kwaflux_resolve.place_results import import_result, markers_in, revert
from kwaflux_resolve.render_frames import render_composite, render_source
from kwaflux_resolve.resolve_api import Timeline, TimelineItem
from kwaflux_resolve.verified_settings import text_of

__all__ = ["DIALOG_CONTROLS", "ResolveTimelineHost", "main", "menu"]

DIALOG_CONTROLS = read_dialog_controls(__package__)
"""The controls beside the effect's: rows of the dialog, options of the command line."""

_REPORTED = ("colorScienceMode", "colorSpaceTimeline", "colorSpaceOutput", "timelineFrameRate")


@dataclass(frozen=True)
class ResolveTimelineHost(ClipHost["tuple[Timeline, TimelineItem]", Shot]):
    """The timeline host of a Resolve, for the dialog and the command line."""

    host: Host
    name = "Resolve"
    asked = DIALOG_CONTROLS
    accepted = ("alpha", "windows", "channels", "header")  # what an RGB EXR of Resolve's lacks

    def say(self, text: str) -> None:
        """Show a message."""
        self.host.say(text)

    def chosen(self) -> list[tuple[Timeline, TimelineItem]]:
        """Return the clips to enhance, each with its timeline: another may be opened later."""
        return [(self.host.timeline, item) for item in chosen(self.host)]

    def look(self, item: tuple[Timeline, TimelineItem]) -> Shot:
        """Return a clip with its media, color and range."""
        return look(self.host, item[1], timeline=item[0])

    def render(self, shot: Shot, request: ClipRequest, folder: str) -> Task[FrameSpan]:
        """Render a clip's own frames, or the graded composite."""
        is_whole = request.mode == "replace"
        plan = partial(shot.cut.planned, handles=request.handles, is_whole=is_whole)
        with self.host.kept(shot.timeline):
            if request.is_graded:
                return (yield from render_composite(self.host, shot, folder=folder))
            return (yield from render_source(self.host, shot, plan, folder=folder))

    def import_result(
        self, shot: Shot, request: ClipRequest, *, job: str, results: FrameSpan
    ) -> ResultMarker:
        """Import results into the project, or leave it unchanged."""
        mode, note = request.mode, request.flow
        with self.host.kept(shot.timeline):
            return import_result(self.host, shot, mode=mode, job=job, results=results, note=note)

    def made(self) -> list[ResultMarker]:
        """Return the results on the open timeline, oldest first."""
        return markers_in(self.host.timeline)

    def revert(self, made: ResultMarker) -> None:
        """Remove a result from the project."""
        revert(self.host, made)

    def about(self) -> dict[str, str]:
        """Return Resolve's version and the project's colors."""
        settings = {name: text_of(self.host.project.GetSetting(name)) for name in _REPORTED}
        return {**settings, "resolve": ".".join(map(str, self.host.version))}

    def render_chart(self, chart: FrameSpan, folder: str) -> FrameSpan:
        """Import the test chart and render it, as a clip's frames are."""
        with self.host.kept():
            clip = imported(self.host, chart)
            try:
                source = source_of(self.host, clip, timeline=self.host.timeline)
                whole = source.media.whole
                steps = render_source(self.host, source, lambda base: whole, folder=folder)
                return run_task(steps)
            finally:
                self.host.pool.DeleteClips([clip])


def menu(names: Mapping[str, object]) -> None:
    """Run from Workspace > Scripts, with the script's global names: show the dialog or an error."""
    try:
        timeline_host = _timeline_host(names)
        makers = timeline_host.host.window_makers()  # first: without a window, no server is needed
        Dialog(timeline_host, timeline_host.panel(), makers=makers).run()
    except KwafluxError as error:
        _say(str(error))


def main(
    arguments: Sequence[str] | None = None, *, names: Mapping[str, object] | None = None
) -> int:
    """Run from a command line, in Resolve's console with its ``globals()``; return 0 or 1."""
    return run_command(
        lambda: _timeline_host(names), arguments, asked=DIALOG_CONTROLS.controls, say=_say
    )


def _timeline_host(names: Mapping[str, object] | None) -> ResolveTimelineHost:
    add_wheels()
    return ResolveTimelineHost(find_host(names, say=_say))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the console is where Resolve shows what a script says


if __name__ == "__main__":
    sys.exit(main())
