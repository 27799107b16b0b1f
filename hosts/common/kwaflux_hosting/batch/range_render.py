"""The render of a frame range by the server, in a thread of its own.

Frames travel by path where server and host see the same disk, which is tested, and otherwise as
bytes. A host polls ``snapshot`` from the thread that draws its interface.

    with RangeRender(RenderRequest(flow="denoise"), source="exchange/plate.%04d.exr",
                     target="out/clean.%04d.exr", frames=range(1001, 1051)) as work:
        while not work.wait(0.1).is_over: ...
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from kwaflux_core.errors import Cancelled, HostError, ImageWriteFailed, KwafluxError
from kwaflux_hosting.batch.file_patterns import frame_path, has_frame_number, posix_path
from kwaflux_hosting.batch.progress import (
    FrameProgress,
    FrameState,
    Progress,
    ProgressCounts,
    TransportName,
    WorkState,
)
from kwaflux_hosting.batch.results_index import (
    FrameRecord,
    FrameStatus,
    RenderRequest,
    ResultsIndex,
    file_key,
)

if TYPE_CHECKING:
    from kwaflux_core.client.client import Client
    from kwaflux_core.flows.flow import BoundFlow
    from kwaflux_core.protocol.messages import Urgency
    from kwaflux_hosting.batch.frame_transports import FrameTransport, Outcome

__all__ = [
    "FrameProgress",
    "FrameState",
    "OpenClient",
    "Progress",
    "RangeRender",
    "RenderRequest",
    "TransportName",
    "WorkState",
]

OpenClient: TypeAlias = "Callable[[Callable[[str], None], threading.Event], Client]"
"""Opens a client; gets a function that shows a message, and the event that a cancel sets."""

_SAVE_S: Final = 2.0
_KEPT: Final[Mapping[FrameStatus, FrameState]] = {"ready": "good", "attention": "attention"}
"""States of results that another run would reproduce unchanged."""

_NO_KEYS: Mapping[int, str] = MappingProxyType({})


class RangeRender:
    """Renders the frames of a pattern; as a context manager it starts, and cancels at the end.

    Only missing and stale results are rendered. A frame that fails does not end the others. A
    server that dies ends the render; finished frames remain.

    Args:
        order: The flow and its options.
        source: The path of the frames: ``plate.%04d.exr``, ``plate.####.exr``, or one file.
        target: The path of the results, written in the same way; its folder is made.
        frames: Absolute frame numbers.
        source_keys: A hash of each frame's source, where the host has one; otherwise the file's
            bytes are hashed.
        open_client: Opens the client; None: ``local_server.connect``.
        name: The client's name in the server's log.
        urgency: The priority of the requests.
        is_redone: Whether good results are rendered again.
        profile: The text of a shot profile; empty has the server judge the shots.
        on_end: Called once, in the render's thread, when it is over.

    Raises:
        HostError: No frame, several frames for one file, or a target that is the source.
        RequestError: ``source`` or ``target`` is no pattern.

    Thread: ``snapshot``, ``cancel`` and ``wait`` from any; ``start`` once.
    """

    def __init__(
        self,
        order: RenderRequest,
        *,
        source: str,
        target: str,
        frames: Iterable[int],
        source_keys: Mapping[int, str] = _NO_KEYS,
        open_client: OpenClient | None = None,
        name: str = "host",
        urgency: Urgency = "sequence",
        is_redone: bool = False,
        profile: str = "",
        on_end: Callable[[Progress], None] | None = None,
    ) -> None:
        self.order = order
        self.source, self.target = posix_path(source), posix_path(target)
        self.frames = tuple(dict.fromkeys(frames))
        _check(self.source, self.target, self.frames)
        self._source_keys = source_keys
        self._open_client = open_client or _opener(name)
        self._urgency: Urgency = urgency
        self._is_redone = is_redone
        self._profile = profile
        self._on_end = on_end
        self._tally = ProgressCounts(self.frames)
        self._record = ResultsIndex(ResultsIndex.path_for(self.target))
        self._record_lock = threading.Lock()
        self._saved_s = time.monotonic()
        self._effects = ""
        self._cancel = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kwaflux-work", daemon=True)

    def __enter__(self) -> RangeRender:
        """Start."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Cancel, which changes nothing where the render is over."""
        self.cancel()

    def start(self) -> None:
        """Start the render's thread; returns at once."""
        self._thread.start()

    def snapshot(self) -> Progress:
        """Return the progress; cheap."""
        return self._tally.snapshot()

    def cancel(self) -> None:
        """Cancel; the server is told within a quarter of a second. Returns at once.

        Finished frames remain.
        """
        self._cancel.set()

    def wait(self, timeout_s: float) -> Progress:
        """Wait until it is over or the time is up; return the progress."""
        self._over.wait(timeout_s)
        return self.snapshot()

    # --- the render's own thread ----------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._do()
        except Cancelled:
            self._end("cancelled", f"Cancelled: {self.snapshot().summary()}")
        except KwafluxError as error:
            self._end("failed", error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001 - the host waits for an end, whatever happens
            self._end("failed", f"the render failed: {type(error).__name__}: {error}")

    def _do(self) -> None:
        self._tally.say("Looking for the server", state="connecting")
        with self._open_client(self._tally.say, self._cancel) as client:
            flow = _bound(client, self.order.flow)
            self._effects = _effects_key(flow)
            self._record = ResultsIndex.load(self.target)
            left = [frame for frame in self.frames if not self._is_kept(frame)]
            if left and not self._cancel.is_set():
                transport = self._choose_transport(client, flow)
                self._tally.say(f"{len(left)} frames are sent to the server", state="running")
                try:
                    transport.run(left, report=self._report, cancel=self._cancel)
                finally:
                    self._tally.release_running()
                    problem = self._save()
                if problem:
                    self._tally.say(problem)
        if self.snapshot().done < len(self.frames):
            raise Cancelled("the render was cancelled")
        self._end("done", self.snapshot().summary())

    def _end(self, state: WorkState, message: str, *, hint: str = "") -> None:
        self._tally.release_running()
        self._tally.say(message, state=state, hint=hint)
        try:
            if self._on_end is not None:
                self._on_end(self.snapshot())
        finally:
            self._over.set()

    def _is_kept(self, frame: int) -> bool:
        """Tell whether a frame's result is what this work would make, and note that."""
        if self._is_redone or self._cancel.is_set():
            return False
        target, key = frame_path(self.target, frame), self._source_keys.get(frame, "")
        status = self._status(frame, target, key)
        # Who gives no keys has the source's bytes looked at; only where all else is the same.
        if not key and status in _KEPT:
            status = self._status(frame, target, self._source_key(frame))
        state = _KEPT.get(status)
        if state is not None:
            reason = self._record.entries[frame].reason
            self._tally.put(frame, state, reason=reason, is_kept=True)
        return state is not None

    def _status(self, frame: int, target: str, key: str) -> FrameStatus:
        return self._record.status(
            frame, target, order=self.order, source_key=key, effects=self._effects
        )

    def _source_key(self, frame: int) -> str:
        try:
            return self._source_keys.get(frame, "") or file_key(frame_path(self.source, frame))
        except KwafluxError:
            return "missing"  # the transport reports it

    def _choose_transport(self, client: Client, flow: BoundFlow) -> FrameTransport:
        from kwaflux_hosting.batch.frame_transports import InlineBytes, Route, SharedDisk
        from kwaflux_hosting.server_link.shared_disk import server_shares_disk

        folders = [os.path.dirname(path) or os.curdir for path in (self.source, self.target)]
        _make_folder(folders[1])
        is_shared = server_shares_disk(
            client, source_folder=folders[0], target_folder=folders[1], cancel=self._cancel
        )
        route = Route(
            order=self.order,
            source=self.source,
            target=self.target,
            around=(flow.frames_before, flow.frames_after),
            is_redone=self._is_redone,
            urgency=self._urgency,
            profile=self._profile,
        )
        self._tally.start_transport("path" if is_shared else "bytes")
        return SharedDisk(client, route) if is_shared else InlineBytes(client, route)

    def _report(self, frame: int, outcome: Outcome, reason: str) -> None:
        """Record a frame's result; two threads do so when frames are sent as bytes."""
        if outcome == "cancelled" or outcome == "running":
            self._tally.put(frame, "waiting" if outcome == "cancelled" else outcome)
            return
        entry = FrameRecord(
            state=outcome,
            order_key=self.order.key,
            source_key=self._source_key(frame),
            effects=self._effects,
            reason=reason,
        ).of_file(frame_path(self.target, frame))
        with self._record_lock:
            self._record.note(frame, entry, order=self.order)
        self._tally.put(frame, outcome, reason=reason)
        if time.monotonic() - self._saved_s > _SAVE_S:
            self._save()

    def _save(self) -> str:
        """Write the record; return why not, where it cannot be written.

        A folder that is closed to us costs the next run some work, and this one nothing.
        """
        with self._record_lock:
            self._saved_s = time.monotonic()
            try:
                self._record.save()
            except ImageWriteFailed as error:
                return f"The results index cannot be written: {error.message}"
        return ""


def _opener(name: str) -> OpenClient:
    def open_client(say: Callable[[str], None], cancel: threading.Event) -> Client:
        from kwaflux_hosting.server_link.local_server import connect

        return connect(say=say, cancel=cancel, name=name)

    return open_client


def _check(source: str, target: str, frames: tuple[int, ...]) -> None:
    if not frames:
        raise HostError("no frame is requested", hint="give a frame range")
    for path, role in ((source, "source"), (target, "output")):
        if not path:
            raise HostError(f"the {role} has no path", hint="give one, with %04d for the frame")
        if len(frames) > 1 and not has_frame_number(path):
            raise HostError(
                f"the {role} {path} is one file, and {len(frames)} frames are requested",
                hint="put %04d or #### where the frame's number goes",
            )
    for frame in (frames[0], frames[-1]):
        paths = [os.path.realpath(frame_path(path, frame)) for path in (source, target)]
        if paths[0] == paths[1]:
            raise HostError(
                f"the output {target} is the source", hint="choose another folder or name"
            )


def _bound(client: Client, flow: str) -> BoundFlow:
    """Return the flow with the server's effects; a flow that it cannot do is refused here, once."""
    from kwaflux_core.flows.flow import Flow
    from kwaflux_core.flows.preset import named_flows

    cards = {card.id: card for card in client.effects()}
    return Flow.parse(flow).bind(cards, named=named_flows(client.presets()))


def _effects_key(flow: BoundFlow) -> str:
    """Return a text that changes when a result would: with an effect's version or weights."""
    parts = [flow.to_text()]
    for step in flow.steps:
        parts += [step.card.version, *(weights.sha256 for weights in step.card.weights)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _make_folder(folder: str) -> None:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageWriteFailed(
            f"the folder {folder} cannot be made: {error.strerror}",
            hint="choose another output path",
            path=folder,
        ) from error
