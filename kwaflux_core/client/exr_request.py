"""Frames as the bytes of EXRs, both ways: for a host without numpy and a server without its disk.

Reads no pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kwaflux_core.errors import ProtocolError
from kwaflux_core.protocol.codec import WirePart
from kwaflux_core.protocol.messages import (
    ExrPixels,
    ExrTarget,
    FrameReport,
    Render,
    Rendered,
    RenderOptions,
    Source,
    Urgency,
)

__all__ = ["ExrRequest", "ExrResult", "exr_result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExrRequest:
    """Ask for one frame that is the bytes of an EXR."""

    data: bytes
    flow: str
    frame: int = 0
    neighbors: Mapping[int, bytes] = field(default_factory=dict)
    options: RenderOptions = RenderOptions(compression="none")
    urgency: Urgency = "interactive"
    node: str = ""

    def on_wire(self) -> tuple[Render, tuple[WirePart, ...]]:
        """Return the message and its parts: the frame first, then its neighbors."""
        files = {self.frame: self.data}
        files.update((at, data) for at, data in self.neighbors.items() if at != self.frame)
        request = Render(
            self.flow,
            self.frame,
            tuple(Source(at, ExrPixels(part)) for part, at in enumerate(files)),
            ExrTarget(),
            self.options,
            urgency=self.urgency,
            node=self.node,
        )
        return request, tuple(files.values())


@dataclass(frozen=True, slots=True)
class ExrResult:
    """Hold the result of an ``ExrRequest``.

    Args:
        data: The bytes of the result; its header says under ``kwaflux/`` how it was made.
        report: What the render says of the frame.
    """

    data: bytes
    report: FrameReport


def exr_result(rendered: Rendered, parts: Sequence[WirePart]) -> ExrResult:
    """Return the EXR that came with an answer, and what is said of it.

    Raises:
        ProtocolError: None came.
    """
    pixels = rendered.pixels
    if not isinstance(pixels, ExrPixels) or not 0 <= pixels.part < len(parts):
        raise ProtocolError("the result came without the bytes of an EXR")
    return ExrResult(bytes(parts[pixels.part]), rendered.report)
