"""Requests and results as the bytes of EXR files.

For a host without numpy whose server does not see its disk. No pixel is decoded.
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
    """A request for one frame as the bytes of an EXR."""

    data: bytes
    flow: str
    frame: int = 0
    neighbors: Mapping[int, bytes] = field(default_factory=dict)
    options: RenderOptions = RenderOptions(compression="none")
    urgency: Urgency = "interactive"
    node: str = ""
    profile: str = ""

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
            profile=self.profile,
        )
        return request, tuple(files.values())


@dataclass(frozen=True, slots=True)
class ExrResult:
    """The result of an ``ExrRequest``.

    Args:
        data: The bytes of the result; header attributes under ``kwaflux/`` give its provenance.
        report: The report of the render.
    """

    data: bytes
    report: FrameReport


def exr_result(rendered: Rendered, parts: Sequence[WirePart]) -> ExrResult:
    """Return the EXR and the report of an answer.

    Raises:
        ProtocolError: The answer contains no EXR.
    """
    pixels = rendered.pixels
    if not isinstance(pixels, ExrPixels) or not 0 <= pixels.part < len(parts):
        raise ProtocolError("the result contains no EXR")
    return ExrResult(bytes(parts[pixels.part]), rendered.report)
