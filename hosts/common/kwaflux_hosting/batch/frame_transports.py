"""Transports of a range's frames to the server: a job by path, or the bytes of an EXR for each."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from kwaflux_core.client.client import Client, ExrRequest
from kwaflux_core.errors import (
    Cancelled,
    DeadlineExceeded,
    FrameMissing,
    ImageUnreadable,
    KwafluxError,
    Unavailable,
)
from kwaflux_core.frames.frame_range import format_frames
from kwaflux_core.frames.neighbors import neighbor_frames
from kwaflux_core.images.atomic_write import atomic_path
from kwaflux_core.protocol.messages import FrameReport, JobEvent, Urgency
from kwaflux_hosting.batch.file_patterns import frame_path
from kwaflux_hosting.batch.results_index import RenderRequest

__all__ = ["FrameTransport", "InlineBytes", "Outcome", "Report", "Route", "SharedDisk"]

Outcome: TypeAlias = Literal["running", "good", "attention", "failed", "cancelled"]
Report: TypeAlias = Callable[[int, Outcome, str], None]
"""Told of a frame: its number, what came of it, and why."""

_NO_LIMIT_S = 365 * 86400.0
_LOOK_S = 0.25
_CANCEL_S = 10.0
_SENDERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Say what travels: the order, and where its files are.

    Args:
        order: What is asked for.
        source: The pattern of the sources.
        target: The pattern of the results.
        around: Frames before and after that the flow reads.
        is_redone: Whether results that are good are made again.
        urgency: Which requests come first.
        profile: The text of a shot profile; empty has the server judge the shots.
    """

    order: RenderRequest
    source: str
    target: str
    around: tuple[int, int] = (0, 0)
    is_redone: bool = False
    urgency: Urgency = "sequence"
    profile: str = ""


class FrameTransport(Protocol):
    """A way for frames to a server and back."""

    def run(self, frames: Sequence[int], *, report: Report, cancel: threading.Event) -> None:
        """Do frames and report each; return when all have ended or ``cancel`` took effect.

        Raises:
            KwafluxError: What ended it all; frames that were not reported are not done.
        """


class SharedDisk:
    """Let the server read and write the files itself."""

    def __init__(self, client: Client, route: Route) -> None:
        self._client = client
        self._route = route

    def run(self, frames: Sequence[int], *, report: Report, cancel: threading.Event) -> None:
        """Do frames as one job; see ``FrameTransport``."""
        route, order = self._route, self._route.order
        job = self._client.submit(
            route.source,
            route.target,
            flow=order.flow,
            frames=format_frames(sorted(frames)),
            options=replace(order.options, existing="replace" if route.is_redone else "verify"),
            urgency=route.urgency,
            profile=route.profile,
        )
        cancelled_s: float | None = None
        while True:
            if cancel.is_set() and cancelled_s is None:
                job.cancel()
                cancelled_s = time.monotonic()
            try:
                for event in job.events(timeout_s=_LOOK_S):
                    _tell(event, report)
                    if cancel.is_set() and cancelled_s is None:
                        break
                else:
                    return
            except DeadlineExceeded:
                if cancelled_s is not None and time.monotonic() - cancelled_s > _CANCEL_S:
                    return  # the client is closed next, and the server drops what is left


def _tell(event: JobEvent, report: Report) -> None:
    if event.state == "started":
        report(event.frame, "running", "")
    elif event.state == "cancelled":
        report(event.frame, "cancelled", "")
    elif event.error is not None:
        report(event.frame, "failed", _sentence(event.error.message, event.error.hint))
    elif event.report is not None and event.report.attention:
        report(event.frame, "attention", "; ".join(event.report.attention))
    else:
        report(event.frame, "good", _told_of(event.report))


class InlineBytes:
    """Send the bytes of each frame, and write the bytes that come back, whole or not at all.

    Two frames are under way at a time, so that one travels while the other is computed.
    """

    def __init__(self, client: Client, route: Route) -> None:
        self._client = client
        self._route = route
        self._files = _Files(route.source, kept=sum(route.around) + _SENDERS + 1)
        self._lock = threading.Lock()
        self._broken: KwafluxError | None = None

    def run(self, frames: Sequence[int], *, report: Report, cancel: threading.Event) -> None:
        """Do frames one by one; see ``FrameTransport``."""
        waiting = list(reversed(frames))

        def send() -> None:
            while not cancel.is_set() and self._broken is None:
                with self._lock:
                    if not waiting:
                        return
                    frame = waiting.pop()
                self._one(frame, report=report, cancel=cancel)

        senders = [
            threading.Thread(target=send, name=f"kwaflux-sender-{n}", daemon=True)
            for n in range(min(_SENDERS, len(frames)))
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        if self._broken is not None:
            raise self._broken

    def _one(self, frame: int, *, report: Report, cancel: threading.Event) -> None:
        report(frame, "running", "")
        try:
            result = self._client.render_exr(
                self._request(frame), timeout_s=_NO_LIMIT_S, cancel=cancel
            )
            target = frame_path(self._route.target, frame)
            with atomic_path(target) as temporary:
                temporary.write_bytes(result.data)
        except Cancelled:
            report(frame, "cancelled", "")
        except Unavailable as error:
            self._broken = error
            report(frame, "cancelled", "")
        except KwafluxError as error:
            report(frame, "failed", _sentence(error.message, error.hint))
        except Exception as error:  # noqa: BLE001 - one bad frame does not end the others
            report(frame, "failed", f"{type(error).__name__}: {error}")
        else:
            state: Outcome = "attention" if result.report.attention else "good"
            report(frame, state, "; ".join(result.report.attention) or _told_of(result.report))

    def _request(self, frame: int) -> ExrRequest:
        route, order = self._route, self._route.order
        before, after = route.around
        around = neighbor_frames(
            frame, frames_before=before, frames_after=after, all_frames=_OnDisk(route.source)
        )
        return ExrRequest(
            data=self._files.read(frame),
            flow=order.flow,
            frame=frame,
            neighbors={at: self._files.read(at) for at in around},
            options=order.options,
            urgency=route.urgency,
            profile=route.profile,
        )


class _OnDisk:
    """The frames of a pattern that are there, looked up one by one."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and os.path.isfile(frame_path(self._pattern, frame))


class _Files:
    """Read files of a pattern, and keep the last few: frames that read each other read them once.

    Thread: any.
    """

    def __init__(self, pattern: str, *, kept: int) -> None:
        self._pattern = pattern
        self._kept = kept
        self._data: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, frame: int) -> bytes:
        """Return a frame's file.

        Raises:
            FrameMissing: It is not there.
            ImageUnreadable: It cannot be read.
        """
        with self._lock:
            if frame not in self._data:
                self._data[frame] = _bytes_of(frame_path(self._pattern, frame))
            self._data.move_to_end(frame)
            while len(self._data) > self._kept:
                self._data.popitem(last=False)
            return self._data[frame]


def _bytes_of(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise FrameMissing(
            f"{os.path.basename(path)} does not exist", hint="render the plate again", path=path
        ) from error
    except OSError as error:
        raise ImageUnreadable(f"{path} cannot be read: {error.strerror}", path=path) from error


def _told_of(report: FrameReport | None) -> str:
    """Return what is worth telling of a good frame: its warnings, and what effects decided."""
    return "" if report is None else "; ".join((*report.warnings, *report.decisions))


def _sentence(message: str, hint: str) -> str:
    return f"{message}. {hint}" if hint else message
