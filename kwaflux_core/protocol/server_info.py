"""Descriptions of a server: its limits and its workers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits", "WorkerInfo"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's limits, which a client checks before it sends."""

    frame_bytes: int
    message_bytes: int
    ring_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """The status of one worker process."""

    name: str
    device: str
    device_label: str
    pid: int
    is_ready: bool
    restarts: int = 0
    resident: tuple[str, ...] = ()
