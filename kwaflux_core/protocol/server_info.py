"""What a server says of itself: what it accepts, and which workers it has."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits", "WorkerInfo"]


@dataclass(frozen=True, slots=True)
class Limits:
    """State what the server accepts, so that a client can refuse before it sends."""

    frame_bytes: int
    message_bytes: int
    ring_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Describe one worker process."""

    name: str
    device: str
    device_label: str
    pid: int
    is_ready: bool
    restarts: int = 0
    resident: tuple[str, ...] = ()
