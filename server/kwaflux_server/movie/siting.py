"""Chroma siting of a decoded frame, which PyAV does not expose."""

from __future__ import annotations

import re
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["UNSPECIFIED", "chroma_location"]

UNSPECIFIED: Final = "unspecified"
_SITING: Final = re.compile(r"\bcl:([a-z]+)\b")
_ONE_AT_A_TIME: Final = threading.Lock()
"""Guards the level of FFmpeg's log, which is global to the process."""


def chroma_location(frame: VideoFrame) -> str:
    """Return FFmpeg's name of a frame's chroma siting (``left``, ``topleft``).

    Copies no pixels: the filter reads the frame's header. Called once per movie.
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
            with av.logging.Capture() as log:
                graph.vpush(frame)
                graph.vpull()
        finally:
            av.logging.set_level(level)
    for _, source, text in log:
        match = _SITING.search(text) if source == "showinfo" else None
        if match is not None:
            return match[1]
    return UNSPECIFIED
