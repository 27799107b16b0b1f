"""Every message of the protocol, as frozen dataclasses.

Owns the requests of a client, the answers of a server, and the messages between gateway and worker.
Must not know sockets or bytes. ``pixels`` defines descriptions of pixels, ``server_info`` those of
the server; both are exported here too. Names never change; a later field has a default and a
comment with the version that added it.

A message is one msgpack header ``{"v", "kind", "id", "body"}`` and raw parts after it. ``id`` is
chosen by the sender of a request and repeated in every answer. Parts contain only pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias, get_args

from kwaflux_core.errors import Field
from kwaflux_core.protocol.pixels import (
    ExrPixels,
    ExrTarget,
    FrameReport,
    InlinePixels,
    InlineTarget,
    PathPixels,
    PathTarget,
    PixelRef,
    Planes,
    RangeReceipt,
    ShmPixels,
    ShmTarget,
    Source,
    Target,
    Timings,
    Window,
)
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_core.protocol.server_info import Limits, WorkerInfo

__all__ = [
    "MESSAGES",
    "PROTOCOL_VERSION",
    "URGENCIES",
    "Beat",
    "Cancel",
    "DescribeEffects",
    "Effects",
    "ExrPixels",
    "ExrTarget",
    "Failed",
    "FrameReport",
    "Goodbye",
    "Hello",
    "InlinePixels",
    "InlineTarget",
    "JobAccepted",
    "JobDone",
    "JobEvent",
    "Judge",
    "Judged",
    "Limits",
    "Message",
    "PathPixels",
    "PathTarget",
    "Ping",
    "PixelRef",
    "Planes",
    "Pong",
    "RangeReceipt",
    "Render",
    "RenderOptions",
    "Rendered",
    "ServerStatus",
    "ShmPixels",
    "ShmTarget",
    "Shutdown",
    "ShuttingDown",
    "Source",
    "Started",
    "StatusRequest",
    "Submit",
    "Target",
    "Timings",
    "Urgency",
    "Welcome",
    "Window",
    "WorkerInfo",
    "WorkerReady",
]

PROTOCOL_VERSION = 1

Urgency: TypeAlias = Literal["interactive", "sequence", "batch"]
URGENCIES: tuple[Urgency, ...] = ("interactive", "sequence", "batch")
"""Most urgent first."""


# --- client to server -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """Open a session. The first message on a connection; answered by ``Welcome``."""

    kind: ClassVar[str] = "hello"
    client: str
    version: str
    host_id: str


@dataclass(frozen=True, slots=True)
class Beat:
    """Heartbeat; sent every ``beat_s`` while the session is open. Not answered.

    The gateway sends it to every session too, so that both ends detect a lost peer.
    """

    kind: ClassVar[str] = "beat"


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Close the session: its work is cancelled, its rings are removed. Not answered."""

    kind: ClassVar[str] = "goodbye"


@dataclass(frozen=True, slots=True)
class Ping:
    """Check that the gateway responds; answered by ``Pong`` at once, whatever is rendering."""

    kind: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True)
class DescribeEffects:
    """Request the cards of all installed effects; answered by ``Effects``."""

    kind: ClassVar[str] = "describe_effects"


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Request the status of the server; answered by ``ServerStatus``."""

    kind: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True)
class Render:
    """Render one frame; answered by ``Rendered`` or ``Failed``.

    ``sources`` contains the frame itself and the neighbors that the flow may read. A neighbor
    outside the clip is omitted; the worker mirrors the window. Raw planes need the options'
    colorspace; the options of a file apply to path and exr targets. ``region`` is the part of the
    data window to render. ``node`` is the requesting node; with urgency ``interactive`` a newer
    request of the same node replaces its unfinished ones. ``profile`` is a shot profile, as
    the text of its JSON; what it does not say of the frame is measured on the frame.
    """

    kind: ClassVar[str] = "render"
    flow: str
    frame: int
    sources: tuple[Source, ...]
    target: Target
    options: RenderOptions = RenderOptions()
    region: Window | None = None
    urgency: Urgency = "interactive"
    node: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Submit:
    """Render a frame range from files to files; answered by ``JobAccepted``, then events.

    ``frames`` is a frame range (``1001-1100x2``); empty means all frames on disk. ``profile`` is a
    shot profile, as the text of its JSON; what it does not say is estimated before the first frame.
    """

    kind: ClassVar[str] = "submit"
    source: str
    target: str
    flow: str
    frames: str = ""
    options: RenderOptions = RenderOptions()
    urgency: Urgency = "sequence"
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a render or a job by the ``id`` of its request. Idempotent; not answered itself.

    The cancelled request is answered by ``Failed`` with ``Cancelled`` (a job by ``JobDone``).
    """

    kind: ClassVar[str] = "cancel"
    request: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Stop the server after its running frames are done; answered by ``ShuttingDown``."""

    kind: ClassVar[str] = "shutdown"


# --- server to client -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The session is open; ``ring_dir`` is empty if the server has no shared memory."""

    kind: ClassVar[str] = "welcome"
    session: str
    server_version: str
    host_id: str
    ring_dir: str
    limits: Limits
    beat_s: float


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""

    kind: ClassVar[str] = "pong"


@dataclass(frozen=True, slots=True)
class Effects:
    """The installed effects and presets, each as the text of its JSON."""

    kind: ClassVar[str] = "effects"
    cards: tuple[str, ...]
    presets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The status of the server."""

    kind: ClassVar[str] = "server_status"
    pid: int
    version: str
    uptime_s: float
    endpoint: str
    sessions: int
    waiting: int
    running: int
    done: int
    failed: int
    workers: tuple[WorkerInfo, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A frame is done.

    ``pixels`` is the place of the result: for a shm target it may be the source's slab, if no pixel
    was changed. ``state`` is ``skipped`` if an existing target was kept.
    """

    kind: ClassVar[str] = "rendered"
    frame: int
    pixels: PixelRef
    report: FrameReport
    state: Literal["done", "skipped"] = "done"


@dataclass(frozen=True, slots=True)
class Failed:
    """The request failed; ``error`` is the wire form of a class of ``kwaflux_core.errors``."""

    kind: ClassVar[str] = "failed"
    code: str
    message: str
    hint: str = ""
    retryable: bool = False
    fields: dict[str, Field] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """A job was accepted; ``frames`` are the absolute numbers it will render, in order."""

    kind: ClassVar[str] = "job_accepted"
    job: str
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A frame of a job changed its state."""

    kind: ClassVar[str] = "job_event"
    job: str
    frame: int
    state: Literal["started", "done", "skipped", "failed", "cancelled"]
    path: str = ""
    done: int = 0
    total: int = 0
    report: FrameReport | None = None
    error: Failed | None = None


@dataclass(frozen=True, slots=True)
class JobDone:
    """The job is done; ``attention`` lists rendered frames that someone should look at."""

    kind: ClassVar[str] = "job_done"
    job: str
    done: int
    skipped: int
    failed: int
    cancelled: int
    attention: int = 0


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """The server is shutting down and accepts no new requests."""

    kind: ClassVar[str] = "shutting_down"


# --- gateway and worker ---------------------------------------------------------------------
# The gateway sends a worker ``Render`` or ``Judge`` under a task's id, ``Cancel``, ``Beat`` and
# ``Shutdown``; the worker answers ``Rendered``, ``Judged`` or ``Failed`` under the same id.


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker accepts tasks; sent once at its start and when its loaded models change."""

    kind: ClassVar[str] = "worker_ready"
    name: str
    device: str
    device_label: str
    pid: int
    resident: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judge:
    """Estimate what a job's flow needs to know of its shots; answered by ``Judged`` or ``Failed``.

    ``plan`` is the job's plan, as the text of its JSON; ``file`` is where the profile is written.
    """

    kind: ClassVar[str] = "judge"
    submit: Submit
    plan: str
    file: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The shot profile of a job, as the text of its JSON."""

    kind: ClassVar[str] = "judged"
    profile: str


@dataclass(frozen=True, slots=True)
class Started:
    """A worker started to compute the task of this id."""

    kind: ClassVar[str] = "started"


Message: TypeAlias = (
    Hello
    | Beat
    | Goodbye
    | Ping
    | DescribeEffects
    | StatusRequest
    | Render
    | Submit
    | Cancel
    | Shutdown
    | Welcome
    | Pong
    | Effects
    | ServerStatus
    | Rendered
    | Failed
    | JobAccepted
    | JobEvent
    | JobDone
    | ShuttingDown
    | WorkerReady
    | Judge
    | Judged
    | Started
)

MESSAGES: dict[str, type[Message]] = {cls.kind: cls for cls in get_args(Message)}
"""Every message by its kind."""
