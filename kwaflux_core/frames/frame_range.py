"""Frame ranges as text: which absolute frames, in which order.

A range is a comma-separated list of frames (``1001``) and spans (``1001-1100``). Both ends of a
span belong to it, it may run backwards, and a step may follow: ``x2`` is every second frame, ``y2``
the frames that ``x2`` leaves out, ``:4`` every fourth, then every third that is not yet named, and
so on down to every one. Whatever ``format_frames`` writes, ``FrameRange.parse`` reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kwaflux_core.errors import RequestError
from kwaflux_core.suggestions import shortened

__all__ = ["MAX_FRAMES", "NUMBER", "SPAN", "FrameRange", "format_frames"]

MAX_FRAMES = 1_000_000
"""The most frames in one range: eleven hours at 25 frames per second."""

_RANGE_EXAMPLE = "write a range as 1001-1100, 1001-1100x2 or 1001-1010,1020"

NUMBER: Final = r"-?[0-9]{1,10}"
SPAN: Final = rf"{NUMBER}-{NUMBER}(?:[xy:]{NUMBER})?"
"""The two pieces of a range, as regular expressions without groups."""

_CHUNK = re.compile(rf"({NUMBER})(?:-({NUMBER})(?:([xy:])({NUMBER}))?)?")


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Hold absolute frame numbers in the order they are asked for, each once.

    Raises:
        RequestError: No frame, a frame twice, or more than ``MAX_FRAMES``.
    """

    frames: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.frames:
            raise RequestError("a frame range holds no frame", hint=_RANGE_EXAMPLE)
        if len(self.frames) > MAX_FRAMES:
            raise _too_many(f"{len(self.frames)} frames")
        if len(set(self.frames)) < len(self.frames):
            raise RequestError("a frame range holds a frame twice", hint=_RANGE_EXAMPLE)

    @classmethod
    def parse(cls, text: str) -> FrameRange:
        """Read a range: ``1001``, ``1001-1100x2``, ``-5-5``, ``10-1``, ``1001-1010,1020``.

        Both ends are included. Frames named twice are taken once, where they first stand. The sign
        of a step is ignored.

        Raises:
            RequestError: Not a range, or one of more than ``MAX_FRAMES`` frames.
        """
        frames: dict[int, None] = {}
        count = 0
        for chunk in text.split(","):
            match = _CHUNK.fullmatch(chunk.strip())
            if match is None or (match[4] is not None and int(match[4]) == 0):
                raise RequestError(
                    f"{shortened(text)} is no frame range"
                    + (f": {shortened(chunk)} cannot be read" if chunk != text else ""),
                    hint=_RANGE_EXAMPLE,
                )
            first, last = int(match[1]), int(match[2] or match[1])
            step = abs(int(match[4] or 1))
            # Counted before it is spelled out: 1-9999999999 is eleven characters.
            count += abs(last - first) // (step if match[3] == "x" else 1) + 1
            if count > MAX_FRAMES:
                raise _too_many(f"the range {shortened(text)}")
            frames.update(dict.fromkeys(_span(first, last, match[3] or "x", step)))
        return cls(tuple(frames))

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[int]:
        return iter(self.frames)

    def __str__(self) -> str:
        return format_frames(self.frames)


def format_frames(frames: Iterable[int]) -> str:
    """Return frames as a range, in the order given: ``1001-1010,1020``; of no frame, no text."""
    numbers = tuple(frames)
    spans: list[str] = []
    at = 0
    while at < len(numbers):
        length = _length_of_run(numbers, at)
        first, last = numbers[at], numbers[at + length - 1]
        step = abs(last - first) // max(length - 1, 1)
        if length == 1 or (length == 2 and step != 1):
            spans.append(str(first))
            at += 1
        else:
            spans.append(f"{first}-{last}" + (f"x{step}" if step != 1 else ""))
            at += length
    return ",".join(spans)


def _length_of_run(numbers: Sequence[int], at: int) -> int:
    """Return how many numbers from one on differ by the same step."""
    end = at + 1
    while end < len(numbers) and numbers[end] - numbers[end - 1] == numbers[at + 1] - numbers[at]:
        end += 1
    return end - at


def _span(first: int, last: int, kind: str, step: int) -> Iterable[int]:
    """Return the frames of one span; of the kind ``:`` some more than once."""
    way = 1 if first <= last else -1

    def every(step: int) -> range:
        return range(first, last + way, way * step)

    if kind == "x":
        return every(step)
    if kind == "y":
        left_out = every(step)
        return (frame for frame in every(1) if frame not in left_out)
    coarsest = min(step, abs(last - first) + 1)
    return (frame for stride in range(coarsest, 0, -1) for frame in every(stride))


def _too_many(what: str) -> RequestError:
    return RequestError(f"{what}: more than {MAX_FRAMES} frames", hint="split the range")
