"""The header of a movie: size, frame rate, pixel aspect, timecode."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import OpenEXR

from kwaflux_core.frames.timecode import Timecode
from kwaflux_core.images.exr.attributes import to_exr_timecode
from kwaflux_server.movie.frame_index import FIRST_FRAME

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["MovieHeader", "TimecodeStart"]

_FRAMES_MAX: Final = 30
"""Largest frame rate of SMPTE 12M, which OpenEXR's timecode attribute follows."""


@dataclass(frozen=True, slots=True)
class TimecodeStart:
    """The timecode of a movie's first frame.

    Args:
        count: Frames since 00:00:00:00, without the numbers that drop-frame skips.
        per_second: Frames per second of the timecode.
        is_drop_frame: Whether two numbers are skipped each minute except every tenth.
    """

    count: int
    per_second: int
    is_drop_frame: bool

    @classmethod
    def parse(cls, text: str, *, rate: Fraction) -> TimecodeStart | None:
        """Read a timecode; None for one that is no time, or of more than 30 frames a second."""
        per_second = round(rate)
        if not 0 < per_second <= _FRAMES_MAX:
            return None
        found = Timecode.parse(text, per_second=per_second)
        if found is None:
            return None
        return cls(found.count(per_second=per_second), per_second, found.is_drop)

    def at(self, frame: int) -> OpenEXR.TimeCode:
        """Return the timecode of a frame, as OpenEXR's attribute; it begins anew at midnight."""
        count = self.count + frame - FIRST_FRAME
        return to_exr_timecode(
            Timecode.of_count(count, per_second=self.per_second, is_drop=self.is_drop_frame)
        )


@dataclass(frozen=True, slots=True)
class MovieHeader:
    """The header of a movie.

    Args:
        size_px: Width and height of every frame.
        rate: Frames per second; 0 if unknown.
        pixel_aspect: Width / height of one pixel.
        timecode: Timecode of the first frame, or None.
    """

    size_px: tuple[int, int]
    rate: Fraction
    pixel_aspect: float
    timecode: TimecodeStart | None

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> MovieHeader:
        """Read the header of an open movie."""
        rate = Fraction(stream.average_rate or stream.guessed_rate or 0)
        aspect = float(stream.sample_aspect_ratio or 0)
        streams = (stream, *container.streams.data)
        spoken = (*(place.metadata for place in streams), container.metadata)
        timecode = next((words["timecode"] for words in spoken if "timecode" in words), "")
        return cls(
            (stream.codec_context.width, stream.codec_context.height),
            rate,
            aspect if 1e-3 < aspect < 1e3 else 1.0,
            TimecodeStart.parse(timecode, rate=rate) if timecode else None,
        )

    def attributes(self, frame: int) -> dict[str, object]:
        """Return the header attributes of a frame, as in an EXR."""
        attributes: dict[str, object] = {}
        if 0 < self.rate < 1000:
            attributes["framesPerSecond"] = self.rate.limit_denominator(1001)
        if self.timecode is not None:
            attributes["timeCode"] = self.timecode.at(frame)
        return attributes
