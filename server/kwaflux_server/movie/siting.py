"""Where a decoded frame's chroma lies: the one tag that PyAV does not hand out."""

from __future__ import annotations

import re
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["UNSPECIFIED", "chroma_location"]

UNSPECIFIED: Final = "unspecified"
_TOLD: Final = re.compile(r"\bcl:([a-z]+)\b")
_ONE_AT_A_TIME: Final = threading.Lock()
"""The level of FFmpeg's log belongs to the whole process."""


def chroma_location(frame: VideoFrame) -> str:
    """Return the siting of a frame's chroma as FFmpeg spells it (``left``, ``topleft``).

    Takes as long as copying nothing: the filter looks at the frame's header. Once a movie.
    """
    import av.filter
    import av.logging

    graph = av.filter.Graph()
    graph.threads = 1
    nodes = (
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 24)
        ),
        graph.add("sidedata", "mode=delete"),
        graph.add("showinfo", "checksum=0"),
        graph.add("buffersink"),
    )
    graph.link_nodes(*nodes)
    graph.configure()
    with _ONE_AT_A_TIME:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as told:
                graph.vpush(frame)
                graph.vpull()
        finally:
            av.logging.set_level(level)
    for _, source, text in told:
        found = _TOLD.search(text) if source == "showinfo" else None
        if found is not None:
            return found[1]
    return UNSPECIFIED
