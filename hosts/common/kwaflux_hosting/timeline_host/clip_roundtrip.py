"""The round trip check of a host with clips, as a task."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping

from kwaflux_hosting.batch.file_patterns import frame_path
from kwaflux_hosting.roundtrip_check.chart import Aspect
from kwaflux_hosting.roundtrip_check.compare import run_check
from kwaflux_hosting.roundtrip_check.support_bundle import write_bundle
from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.task_runner import Task

__all__ = ["check_round_trip"]


def check_round_trip(
    host: str,
    render: Callable[[FrameSpan, str], FrameSpan],
    *,
    accepted: Iterable[Aspect],
    about: Mapping[str, str],
    say: Callable[[str], None],
) -> Task[bool]:
    """Send the test chart through a host and the server; return whether all is well.

    The task does not yield while the chart is rendered, which takes seconds.

    Args:
        host: Its name.
        render: Imports frames into the host and renders them into a folder, as plates are.
        accepted: Aspects that the host is known to change.
        about: The host's entries in the support bundle.
        say: Gets a message before each step, and the report.
    """
    folder = tempfile.mkdtemp(prefix="kwaflux-check-")
    yield f"The test chart passes through {host}, the server, and {host} again"

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
