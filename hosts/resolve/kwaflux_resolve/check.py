"""The chart on the road that frames take: imported, rendered by Resolve, and back the same way.

Owns the step inside Resolve; what the chart is, and what a step did to it, is the core's to say.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator

from kwaflux_core.errors import HostError
from kwaflux_core.hosting.bundle import write_bundle
from kwaflux_core.hosting.chart import Aspect
from kwaflux_core.hosting.check import run_check
from kwaflux_core.hosting.follow import drained
from kwaflux_core.hosting.hop import frame_path
from kwaflux_resolve.clips import media_of
from kwaflux_resolve.color import capture
from kwaflux_resolve.host import Host
from kwaflux_resolve.render import render_media

__all__ = ["check_road"]

_ACCEPTED: tuple[Aspect, ...] = ("alpha", "windows", "channels", "header")
"""What Resolve does not carry in an RGB EXR, as the page of this host says."""


def check_road(host: Host) -> Generator[str, None, bool]:
    """Send the chart through Resolve and the server; tell what became of it; return if all is well.

    A generator as ``enhance`` is; while the chart travels, which takes seconds, it does not yield.
    """
    folder = tempfile.mkdtemp(prefix="kwaflux-check-")
    yield "A chart goes through Resolve, the server, and Resolve again"

    def through(source: str, target: str, frames: tuple[int, ...]) -> None:
        _led(host, source, target, frames)

    report = run_check(
        "resolve", folder=folder, out=through, back=through, accepted=_ACCEPTED, say=host.say
    )
    about = {"resolve": ".".join(map(str, host.version))}
    names = ("colorScienceMode", "colorSpaceTimeline", "colorSpaceOutput", "timelineFrameRate")
    about |= {name: str(host.project.GetSetting(name)) for name in names}
    host.say(report.text())
    yield f"{report.text().splitlines()[-1]} {write_bundle(report, about=about)}"
    return report.is_good


def _led(host: Host, source: str, target: str, frames: tuple[int, ...]) -> None:
    """Import the frames of a pattern, render them as plates are, and put them where they belong."""
    rendered = tempfile.mkdtemp(dir=os.path.dirname(target))
    with host.kept():
        host.bin("Kwaflux")
        info = {"FilePath": source, "StartIndex": frames[0], "EndIndex": frames[-1]}
        clips = list(host.pool.ImportMedia([info]) or [])
        media = media_of(clips[0]) if len(clips) == 1 else None
        try:
            if media is None:
                raise HostError("Resolve did not import the chart", hint="look at its media pool")
            color = capture(media.clip, project=host.project, timeline=host.timeline)
            pattern = drained(render_media(host, media, color=color, folder=rendered))
        finally:
            host.pool.DeleteClips(clips)
    for frame in frames:
        os.replace(frame_path(pattern, frame), frame_path(target, frame))
