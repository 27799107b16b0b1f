"""Frame ranges: which absolute frames, in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kwaflux_core.errors import RequestError
from kwaflux_core.suggestions import shortened

__all__ = ["MAX_FRAMES", "FrameRange"]

MAX_FRAMES = 1_000_000
"""The most frames in one range: eleven hours at 25 frames per second."""

_RANGE_EXAMPLE = "write a range as 1001-1100, 1001-1100x2 or 1001-1010,1020"
_NUMBER = r"-?[0-9]{1,10}"
_CHUNK = re.compile(rf"({_NUMBER})(?:-({_NUMBER})(?:([xy:])({_NUMBER}))?)?")


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

        Both ends are included. Frames named twice are taken once, where they first stand.

        Raises:
            RequestError: Not a range, or one of more than ``MAX_FRAMES`` frames.
        """
        from fileseq.frameset import FrameSet

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
            # Counted before it is spelled out: 1-9999999999 is eleven characters.
            span = abs(int(match[2] or match[1]) - int(match[1]))
            step = abs(int(match[4])) if match[3] == "x" else 1
            count += span // step + 1
            if count > MAX_FRAMES:
                raise _too_many(f"the range {shortened(text)}")
            frames.update(dict.fromkeys(int(frame) for frame in FrameSet(match[0])))
        return cls(tuple(frames))

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[int]:
        return iter(self.frames)

    def __str__(self) -> str:
        from fileseq.frameset import FrameSet

        return str(FrameSet.framesToFrameRange(self.frames, sort=False))


def _too_many(what: str) -> RequestError:
    return RequestError(f"{what}: more than {MAX_FRAMES} frames", hint="split the range")
