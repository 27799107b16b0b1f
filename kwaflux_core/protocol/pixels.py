"""Descriptions of pixels in messages: sources, targets, and the report of a render."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

__all__ = [
    "ExrPixels",
    "ExrTarget",
    "FrameReport",
    "InlinePixels",
    "InlineTarget",
    "PathPixels",
    "PathTarget",
    "PixelRef",
    "Planes",
    "RangeReceipt",
    "ShmPixels",
    "ShmTarget",
    "Source",
    "Target",
    "Timings",
    "Window",
]

Window: TypeAlias = tuple[int, int, int, int]
"""A half-open box ``(x0, y0, x1, y1)``, y down, in the picture's pixel coordinates."""


@dataclass(frozen=True, slots=True)
class Planes:
    """The layout of raw planar pixels: channel after channel, each (height, width), C order.

    ``window`` is their data window. Little-endian; ``f4`` is float32, ``f2`` float16.
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
    """Raw planes in one part of this message (0 is the first part after the header)."""

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
    """Write the result as a file, complete or not at all."""

    by: ClassVar[str] = "path"
    path: str


@dataclass(frozen=True, slots=True)
class ShmTarget:
    """Write the result into the caller's slab, where ``capacity_bytes`` are reserved for it."""

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


Target: TypeAlias = PathTarget | ShmTarget | InlineTarget | ExrTarget


@dataclass(frozen=True, slots=True)
class Source:
    """One frame that a render may read, with its absolute number."""

    frame: int
    pixels: PixelRef


@dataclass(frozen=True, slots=True)
class RangeReceipt:
    """The range receipt: the range of the color channels before and after a render.

    Minima and maxima are over finite values, in the plate's colorspace; both are 0 if no value is
    finite. ``beyond_trained`` is the share (0..1) of values outside the range that the network was
    trained on; they fade to pass-through. NaN and Inf pass through unchanged.
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
class FrameReport:
    """The report of a frame's render.

    Args:
        receipt: The range receipt.
        timings: Seconds by stage.
        warnings: Losses in the result, such as channels its format cannot store, a sentence each.
        measured: Values that effects measured on the frame, by ``effect.name``.
        attention: Reasons why an effect left the frame unchanged, a sentence each.
        provenance: Flow, hashes, device and so on, as in header attributes under ``kwaflux/``.
        decisions: What effects found and what they did about it, a sentence each.
    """

    receipt: RangeReceipt
    timings: Timings = Timings()
    warnings: tuple[str, ...] = ()
    measured: dict[str, float] = field(default_factory=dict)
    attention: tuple[str, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)
    decisions: tuple[str, ...] = ()
