"""Every message of the protocol, as frozen dataclasses.

Owns the vocabulary of the wire: what a client may ask, what a server answers, what the gateway
tells a worker. Must not know sockets, bytes or pixels. The order of the fields is free, names
are not: a field that comes later carries a default and says in its comment since which version.

A message travels as one msgpack header ``{"v", "kind", "id", "body"}`` and raw parts behind it.
``id`` is chosen by whoever asks and repeated in every answer. Parts hold pixels and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from kwaflux_core.errors import Field

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
    "WorkerInfo",
    "WorkerReady",
]

PROTOCOL_VERSION = 1

Urgency: TypeAlias = Literal["interactive", "sequence", "batch"]
Window: TypeAlias = tuple[int, int, int, int]
"""A half-open box ``(x0, y0, x1, y1)``, y down, in the picture's own coordinates."""


# --- pixels: where they lie -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planes:
    """Describe raw planar pixels: the channels one after another, each (height, width), C order.

    ``window`` is the data window they fill. Little-endian; ``f4`` is float32, ``f2`` float16.
    """

    window: Window
    channels: tuple[str, ...]
    dtype: Literal["f4", "f2"] = "f4"


@dataclass(frozen=True, slots=True)
class PathPixels:
    """Pixels in a file that both ends can open."""

    by: ClassVar[str] = "path"
    path: str


@dataclass(frozen=True, slots=True)
class ShmPixels:
    """Pixels in a ring of shared memory: a file name inside the server's ring directory."""

    by: ClassVar[str] = "shm"
    ring: str
    offset_bytes: int
    planes: Planes


@dataclass(frozen=True, slots=True)
class InlinePixels:
    """Raw planes in one part of this message (0 is the first part behind the header)."""

    by: ClassVar[str] = "inline"
    part: int
    planes: Planes


@dataclass(frozen=True, slots=True)
class ExrPixels:
    """The bytes of a whole EXR file in one part of this message."""

    by: ClassVar[str] = "exr"
    part: int


PixelRef: TypeAlias = PathPixels | ShmPixels | InlinePixels | ExrPixels


@dataclass(frozen=True, slots=True)
class PathTarget:
    """Write the result as a file, whole or not at all."""

    by: ClassVar[str] = "path"
    path: str
    half: bool = False
    existing: Literal["replace", "skip", "verify"] = "replace"
    compression: str = ""  # empty: the source's if it is lossless, else ZIP


@dataclass(frozen=True, slots=True)
class ShmTarget:
    """Put the result into the caller's slab; the caller reserved ``capacity_bytes`` for it."""

    by: ClassVar[str] = "shm"
    ring: str
    offset_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True)
class InlineTarget:
    """Answer with raw planes in a part."""

    by: ClassVar[str] = "inline"


@dataclass(frozen=True, slots=True)
class ExrTarget:
    """Answer with the bytes of an EXR file in a part."""

    by: ClassVar[str] = "exr"
    half: bool = False


Target: TypeAlias = PathTarget | ShmTarget | InlineTarget | ExrTarget


@dataclass(frozen=True, slots=True)
class Source:
    """One frame that a render may read, under its absolute number."""

    frame: int
    pixels: PixelRef


# --- what a render says of itself -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RangeReceipt:
    """Say what happened to the range of the color channels.

    Minima and maxima are over finite values, in the plate's own colorspace; both are 0 when no
    value is finite. ``beyond_trained`` is the share (0..1) of values outside the range the
    network was trained on; they fade to pass-through. NaN and Inf passed through unchanged.
    """

    min_in: float
    max_in: float
    min_out: float
    max_out: float
    beyond_trained: float
    nan_count: int
    inf_count: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds a worker spent on one frame, by stage."""

    read_s: float = 0.0
    compute_s: float = 0.0
    write_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """State what the server accepts, so that a client can refuse before it sends."""

    frame_bytes: int
    message_bytes: int
    requests_in_flight: int
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
    lies outside the clip is left out; the worker mirrors the window. ``colorspace`` empty: what the
    file itself says (path and exr pixels only). ``region``: the part of the data window wanted.
    ``node``: who asks; with urgency ``interactive`` a newer request of the same node replaces the
    older ones that have not finished.
    """

    kind: ClassVar[str] = "render"
    flow: str
    frame: int
    sources: tuple[Source, ...]
    target: Target
    colorspace: str = ""
    alpha: Literal["premultiplied", "straight"] = "premultiplied"
    layer: str = ""
    region: Window | None = None
    urgency: Urgency = "interactive"
    node: str = ""


@dataclass(frozen=True, slots=True)
class Submit:
    """Render a frame range from files to files; answered by ``JobAccepted``, then events.

    ``frames`` is a range as fileseq reads it (``1001-1100x2``); empty means all frames on disk.
    """

    kind: ClassVar[str] = "submit"
    source: str
    target: str
    flow: str
    frames: str = ""
    colorspace: str = ""
    alpha: Literal["premultiplied", "straight"] = "premultiplied"
    layer: str = ""
    half: bool = False
    compression: str = ""
    existing: Literal["replace", "skip", "verify"] = "replace"
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
    protocol: int
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
    """The installed effects: each card as the text of its ``card.json``."""

    kind: ClassVar[str] = "effects"
    cards: tuple[str, ...]


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
    ``provenance`` is what is written under ``kwaflux/`` in a file's header.
    """

    kind: ClassVar[str] = "rendered"
    frame: int
    pixels: PixelRef
    receipt: RangeReceipt
    provenance: dict[str, str]
    timings: Timings
    state: Literal["done", "skipped"] = "done"
    warnings: tuple[str, ...] = ()


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
    receipt: RangeReceipt | None = None
    timings: Timings | None = None
    error: Failed | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobDone:
    """No frame of the job is left to do."""

    kind: ClassVar[str] = "job_done"
    job: str
    done: int
    skipped: int
    failed: int
    cancelled: int


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
    protocol: int
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

MESSAGES: dict[str, type[Message]] = {
    cls.kind: cls
    for cls in (
        Hello,
        Beat,
        Goodbye,
        Ping,
        DescribeEffects,
        StatusRequest,
        Render,
        Submit,
        Cancel,
        Shutdown,
        Welcome,
        Pong,
        Effects,
        ServerStatus,
        Rendered,
        Failed,
        JobAccepted,
        JobEvent,
        JobDone,
        ShuttingDown,
        WorkerReady,
        Started,
    )
}
