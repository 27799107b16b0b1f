"""The round trip check for a host of clips, in steps."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping

from kwaflux_hosting.batch.file_patterns import frame_path
from kwaflux_hosting.roundtrip_check.chart import Aspect
from kwaflux_hosting.roundtrip_check.compare import run_check
from kwaflux_hosting.roundtrip_check.support_bundle import write_bundle
from kwaflux_hosting.timeline_host.media import FrameSpan

__all__ = ["check_round_trip"]


def check_round_trip(
    host: str,
    render: Callable[[FrameSpan, str], FrameSpan],
    *,
    accepted: Iterable[Aspect],
    about: Mapping[str, str],
    say: Callable[[str], None],
) -> Generator[str, None, bool]:
    """Send the chart through a host and the server; tell what became of it; return if all is well.

    While the chart travels, which takes seconds, it does not yield.

    Args:
        host: Its name.
        render: Brings frames into the host and renders them, into a folder, as plates are.
        accepted: Aspects that the host is known to change.
        about: What support is told of the host.
        say: Gets a sentence before each step, and the report.
    """
    folder = tempfile.mkdtemp(prefix="kwaflux-check-")
    yield f"A chart goes through {host}, the server, and {host} again"

    def through(source: str, target: str, frames: tuple[int, ...]) -> None:
        span = (frames[0], frames[-1])
        rendered = tempfile.mkdtemp(dir=os.path.dirname(target))
        chart = FrameSpan(first=span[0], last=span[1], used=span, pattern=source)
        plates = render(chart, rendered)
        for frame in frames:
            os.replace(frame_path(plates.pattern, frame), frame_path(target, frame))

    report = run_check(
        host.lower(), folder=folder, out=through, back=through, accepted=accepted, say=say
    )
    text = report.text()
    say(text)
    yield f"{text.splitlines()[-1]} {write_bundle(report, about=about)}"
    return report.is_good
