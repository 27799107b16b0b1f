"""Every message of the protocol, as frozen dataclasses.

Owns the vocabulary of the wire: what a client may ask, what a server answers, what the gateway
tells a worker. Must not know sockets or bytes. What is said of pixels is in ``pixels``, of the
server in ``server``, and offered here too. Names are fixed, a later field has a default and says
in a comment since which version.

A message travels as one msgpack header ``{"v", "kind", "id", "body"}`` and raw parts behind it.
``id`` is chosen by whoever asks and repeated in every answer. Parts hold pixels and nothing else.
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
    """Say that the sender lives; sent every ``beat_s`` as long as the session is open.

    Not answered. The gateway sends one to every session too, which tells it which clients are
    gone, and clients whether it is.
    """

    kind: ClassVar[str] = "beat"


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Close the session: its work is dropped, its rings are removed. Not answered."""

    kind: ClassVar[str] = "goodbye"


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask whether the gateway lives; answered by ``Pong`` at once, whatever is rendering."""

    kind: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True)
class DescribeEffects:
    """Ask for the cards of all installed effects; answered by ``Effects``."""

    kind: ClassVar[str] = "describe_effects"


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Ask how the server is; answered by ``ServerStatus``."""

    kind: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True)
class Render:
    """Render one frame; answered by ``Rendered`` or ``Failed``.

    ``sources`` holds the frame itself and the neighbors that the flow may read. A neighbor that
    lies outside the clip is left out; the worker mirrors the window. Raw planes need the options'
    colorspace; how a file is written counts for path and exr targets. ``region``: the part of the
    data window wanted.
    ``node``: who asks; with urgency ``interactive`` a newer request of the same node replaces the
    older ones that have not finished.
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


@dataclass(frozen=True, slots=True)
class Submit:
    """Render a frame range from files to files; answered by ``JobAccepted``, then events.

    ``frames`` is a frame range (``1001-1100x2``); empty means all frames on disk.
    """

    kind: ClassVar[str] = "submit"
    source: str
    target: str
    flow: str
    frames: str = ""
    options: RenderOptions = RenderOptions()
    urgency: Urgency = "sequence"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a render or a job by the ``id`` it was asked with. Idempotent; not answered itself.

    The cancelled request is answered by ``Failed`` with ``Cancelled`` (a job by ``JobDone``).
    """

    kind: ClassVar[str] = "cancel"
    request: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Stop the server once running frames are done; answered by ``ShuttingDown``."""

    kind: ClassVar[str] = "shutdown"


# --- server to client -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """Open the session; ``ring_dir`` is empty where the server offers no shared memory."""

    kind: ClassVar[str] = "welcome"
    session: str
    server_version: str
    host_id: str
    ring_dir: str
    limits: Limits
    beat_s: float


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer a ping."""

    kind: ClassVar[str] = "pong"


@dataclass(frozen=True, slots=True)
class Effects:
    """The installed effects and presets, each as the text of its JSON."""

    kind: ClassVar[str] = "effects"
    cards: tuple[str, ...]
    presets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How the server is."""

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

    ``pixels`` says where the result lies: for a shm target it may name the source's own slab when
    no pixel was touched. ``state`` is ``skipped`` when a target that stood there already was kept.
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
    """One frame of a job changed its state."""

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
    """No frame of the job is left to do; ``attention``: frames that are there and need a look."""

    kind: ClassVar[str] = "job_done"
    job: str
    done: int
    skipped: int
    failed: int
    cancelled: int
    attention: int = 0


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """The server stops and takes no new request."""

    kind: ClassVar[str] = "shutting_down"


# --- gateway and worker ---------------------------------------------------------------------
# The gateway sends a worker ``Render`` under a task's id, ``Cancel``, ``Beat`` and ``Shutdown``;
# the worker answers ``Rendered`` or ``Failed`` under the same id.


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker is warm and takes tasks; sent once at its start and when its residency changes."""

    kind: ClassVar[str] = "worker_ready"
    name: str
    device: str
    device_label: str
    pid: int
    resident: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """A worker began to compute the task of this id."""

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
    | Started
)

MESSAGES: dict[str, type[Message]] = {cls.kind: cls for cls in get_args(Message)}
"""Every message under its kind."""
