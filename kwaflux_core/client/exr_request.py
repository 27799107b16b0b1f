"""Frames as the bytes of EXRs, both ways: for a host without numpy and a server without its disk.

Owns the request and the result of that road. Must not know sockets; reads no pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kwaflux_core.errors import ProtocolError
from kwaflux_core.protocol.codec import WirePart
from kwaflux_core.protocol.messages import (
    ExrPixels,
    ExrTarget,
    RangeReceipt,
    Render,
    Rendered,
    Source,
    Timings,
    Urgency,
)

__all__ = ["ExrRequest", "ExrResult", "exr_result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExrRequest:
    """Ask for one frame that is the bytes of an EXR; the fields are those of ``render_file``."""

    data: bytes
    flow: str
    frame: int = 0
    neighbors: Mapping[int, bytes] = field(default_factory=dict)
    colorspace: str = ""
    alpha: Literal["premultiplied", "straight"] = "premultiplied"
    layer: str = ""
    half: bool = False
    compression: str = "none"
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
            ExrTarget(self.half, self.compression),
            colorspace=self.colorspace,
            alpha=self.alpha,
            layer=self.layer,
            urgency=self.urgency,
            node=self.node,
        )
        return request, tuple(files.values())


@dataclass(frozen=True, slots=True)
class ExrResult:
    """Hold what came of it.

    Args:
        data: The bytes of the result; its header says under ``kwaflux/`` how it was made.
        receipt: What happened to the range of the color channels.
        timings: Seconds the worker spent.
        warnings: What could not be kept, one sentence each.
        measured: What effects found out about the frame, under ``effect.name``.
        attention: Why an effect left the frame as it came, one sentence each.
    """

    data: bytes
    receipt: RangeReceipt
    timings: Timings
    warnings: tuple[str, ...]
    measured: Mapping[str, float]
    attention: tuple[str, ...]


def exr_result(rendered: Rendered, parts: Sequence[WirePart]) -> ExrResult:
    """Return the EXR that came with an answer, and what is said of it.

    Raises:
        ProtocolError: None came.
    """
    pixels = rendered.pixels
    if not isinstance(pixels, ExrPixels) or not 0 <= pixels.part < len(parts):
        raise ProtocolError("the result came without the bytes of an EXR")
    return ExrResult(
        bytes(parts[pixels.part]),
        rendered.receipt,
        rendered.timings,
        rendered.warnings,
        dict(rendered.measured),
        rendered.attention,
    )
