"""A task between its arrival and its release, and what the scheduler is told of it.

Owns the record of a live task. Must not know sockets or the scheduler.
"""

from __future__ import annotations

from dataclasses import dataclass

from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.protocol.messages import Failed, InlinePixels, Render, Rendered, ShmPixels
from kwaflux_server.gateway.router_sockets import Parts

__all__ = ["LiveTask", "bytes_held", "models_of"]


@dataclass(slots=True)
class LiveTask:
    """Hold a task between its arrival and its release.

    Args:
        session: Whose it is.
        request_id: Under which id it was asked for; of a job's frame, the job's.
        request: What is asked for.
        parts: What came with it.
        job: The job it belongs to, or empty.
        answer: The worker's answer, once it came.
        answer_parts: What came with that.
    """

    session: str
    request_id: int
    request: Render
    parts: Parts
    job: str
    answer: Rendered | Failed | None = None
    answer_parts: Parts = ()


def models_of(flow: BoundFlow) -> str:
    """Return what must be warm for a flow, as one text: equal texts want the same models."""
    return ",".join(sorted({step.card.id for step in flow.steps}))


def bytes_held(request: Render) -> int:
    """Return the bytes of pixels that a request holds in memory."""
    total = 0
    for source in request.sources:
        if isinstance(source.pixels, (ShmPixels, InlinePixels)):
            x0, y0, x1, y1 = source.pixels.planes.window
            total += (x1 - x0) * (y1 - y0) * len(source.pixels.planes.channels) * 4
    return total
