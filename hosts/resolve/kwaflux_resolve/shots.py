"""Resolve as ``kwaflux_core.hosting`` asks for it: clips that are led out and back, and a desk.

Owns what Resolve is asked for, in the end. Must not know windows or consoles.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from kwaflux_core.hosting import clip_work, link
from kwaflux_core.hosting.follow import drained
from kwaflux_core.hosting.footage import Plates
from kwaflux_core.hosting.panel import Choice, Panel
from kwaflux_core.hosting.read_back import text_of
from kwaflux_core.hosting.road import check_road
from kwaflux_core.hosting.wish import Wish
from kwaflux_resolve.back import Made, bring_back, made_in, revert
from kwaflux_resolve.clips import Shot, chosen_items, imported, look, source_of
from kwaflux_resolve.host import Host
from kwaflux_resolve.render import render_composite, render_source

if TYPE_CHECKING:
    from kwaflux_core.hosting.chart import Aspect
    from kwaflux_core.hosting.work import OpenClient
    from kwaflux_resolve.api import Timeline, TimelineItem

__all__ = ["ASKED", "ResolveDesk", "Wish", "enhance"]

_TEXT = importlib.resources.files(__package__).joinpath("asked.json").read_text(encoding="utf-8")
ASKED = Panel.from_json(_TEXT).choice("Resolve")
"""What a person is asked beside the effect: rows of the window, options of the command line."""

_ACCEPTED: tuple[Aspect, ...] = ("alpha", "windows", "channels", "header")
"""What Resolve does not carry in an RGB EXR, as the page of this host says."""

_TOLD = ("colorScienceMode", "colorSpaceTimeline", "colorSpaceOutput", "timelineFrameRate")


def enhance(
    host: Host, wish: Wish, *, open_client: OpenClient | None = None
) -> Generator[str, None, list[Made]]:
    """Enhance the chosen clips of the timeline that is open now, as ``clip_work.enhance`` does."""
    return clip_work.enhance(_Clips(host, host.timeline), wish, open_client=open_client)


@dataclass(frozen=True, slots=True)
class _Clips:
    """Be the ``ClipHost`` of a timeline: a person may open another one while the server works."""

    host: Host
    home: Timeline
    name: str = field(default="Resolve", init=False)

    def say(self, text: str) -> None:
        self.host.say(text)

    def chosen(self) -> list[TimelineItem]:
        return chosen_items(self.host)

    def look(self, item: TimelineItem) -> Shot:
        return look(self.host, item, timeline=self.home)

    def render(self, shot: Shot, wish: Wish, folder: str) -> Generator[float, None, Plates]:
        def plan(base: int) -> Plates:
            is_whole = wish.mode == "replace"
            return shot.cut.planned(base=base, handles=wish.handles, is_whole=is_whole)

        with self.host.kept(self.home):
            if wish.is_graded:
                return (yield from render_composite(self.host, shot, folder=folder))
            return (yield from render_source(self.host, shot, plan, folder=folder))

    def bring_back(self, shot: Shot, wish: Wish, *, job: str, results: Plates) -> Made:
        mode, note = wish.mode, wish.flow
        with self.host.kept(self.home):
            return bring_back(self.host, shot, mode=mode, job=job, results=results, note=note)


@dataclass(frozen=True, slots=True)
class ResolveDesk:
    """Be the ``Desk`` of Resolve, for the window and the console."""

    host: Host
    asked: ClassVar[Choice] = ASKED

    def panel(self) -> Panel:
        """Return what the server offers."""
        with link.connect(say=self.host.say, name="resolve") as client:
            return Panel.from_server(client)

    def enhance(self, flow: str, values: Mapping[str, object]) -> Generator[str, None, list[Made]]:
        """Enhance the chosen clips."""
        return enhance(self.host, Wish.of(flow, values, asked=ASKED))

    def made(self) -> list[Made]:
        """Return what was made on the timeline that is open."""
        return made_in(self.host.timeline)

    def revert(self, made: Made) -> None:
        """Take a result out of the project again."""
        revert(self.host, made)

    def check(self) -> Generator[str, None, bool]:
        """Import the chart, render it as plates are, and tell what became of it."""
        about = {name: text_of(self.host.project.GetSetting(name)) for name in _TOLD}
        about["resolve"] = ".".join(map(str, self.host.version))
        how, say = self._through_resolve, self.host.say
        return check_road("Resolve", how, accepted=_ACCEPTED, about=about, say=say)

    def _through_resolve(self, chart: Plates, folder: str) -> Plates:
        host = self.host
        with host.kept():
            clip = imported(host, chart)
            try:
                source = source_of(host, clip, name="the chart", timeline=host.timeline)
                whole = source.media.whole
                return drained(render_source(host, source, lambda base: whole, folder=folder))
            finally:
                host.pool.DeleteClips([clip])
