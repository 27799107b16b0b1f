"""SMPTE 12M timecode: as a frame count, as text, and as the 64 bits that EXR and DPX store.

Source: SMPTE ST 12-1, sections on drop-frame compensation and the time address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Timecode"]

_TEXT: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})([:;.])([0-9]{2})")
_FIELDS: Final = ((24, 0x3), (16, 0x7), (8, 0x7), (0, 0x3))
"""Of hours, minutes, seconds and frames: the lowest bit, and the mask of the tens."""

_FLAG_BITS: Final = (6, 7, 15, 23, 30, 31)


@dataclass(frozen=True, slots=True)
class Timecode:
    """Hold one timecode. Numbers are not checked: a file may hold anything.

    Args:
        hours: 0 to 23.
        minutes: 0 to 59.
        seconds: 0 to 59.
        frames: From 0, less than the frames of a second.
        is_drop: Whether numbers are dropped so that the code keeps to the clock: at 30 frames a
            second two in every minute but each tenth, at 60 four.
        flags: Color frame, field phase and the binary group flags 0, 1 and 2.
        user_bits: The eight binary groups, the first in the lowest four bits.
    """

    hours: int
    minutes: int
    seconds: int
    frames: int
    is_drop: bool = False
    flags: tuple[bool, bool, bool, bool, bool] = (False,) * 5
    user_bits: int = 0

    @classmethod
    def of_count(cls, count: int, *, per_second: int, is_drop: bool = False) -> Timecode:
        """Return the timecode of a frame; it begins anew at midnight.

        Args:
            count: Frames since 00:00:00:00, 0 or more; numbers that are dropped do not count.
            per_second: Frames that the code counts in a second: 24 at 23.976.
            is_drop: As in the class.
        """
        if is_drop:
            dropped = _dropped(per_second)
            tens, rest = divmod(count, 600 * per_second - 9 * dropped)
            minutes = max(0, (rest - dropped) // (60 * per_second - dropped))
            count += dropped * (9 * tens + minutes)
        seconds, frames = divmod(count, per_second)
        minutes, seconds = divmod(seconds, 60)
        return cls(minutes // 60 % 24, minutes % 60, seconds, frames, is_drop)

    def count(self, *, per_second: int) -> int:
        """Return how many frames lie between 00:00:00:00 and this timecode."""
        minutes = 60 * self.hours + self.minutes
        count = (60 * minutes + self.seconds) * per_second + self.frames
        return count - self.is_drop * _dropped(per_second) * (minutes - minutes // 10)

    @classmethod
    def parse(cls, text: str, *, per_second: int) -> Timecode | None:
        """Read ``01:00:00:00``; a semicolon or a point before the frames means drop-frame.

        Returns:
            None for what is no time at this rate. Only 30 and 60 frames a second drop numbers;
            elsewhere the semicolon is ignored.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            return None
        hours, minutes, seconds, frames = (int(found[group]) for group in (1, 2, 3, 5))
        if hours > 23 or minutes > 59 or seconds > 59 or frames >= per_second:
            return None
        is_drop = found[4] != ":" and per_second in (30, 60)
        return cls(hours, minutes, seconds, frames, is_drop)

    def __str__(self) -> str:
        mark = ";" if self.is_drop else ":"
        return f"{self.hours:02d}:{self.minutes:02d}:{self.seconds:02d}{mark}{self.frames:02d}"

    @classmethod
    def from_bits(cls, time_and_flags: int, user_bits: int) -> Timecode:
        """Return the timecode of two 32-bit words, as EXR and DPX store them."""
        hours, minutes, seconds, frames = (
            (time_and_flags >> low & 0xF) + 10 * (time_and_flags >> low + 4 & tens_mask)
            for low, tens_mask in _FIELDS
        )
        is_drop, color, phase, *groups = (bool(time_and_flags >> bit & 1) for bit in _FLAG_BITS)
        flags = (color, phase, groups[0], groups[1], groups[2])
        return cls(hours, minutes, seconds, frames, is_drop, flags, user_bits)

    def to_bits(self) -> tuple[int, int]:
        """Return time with flags, and user bits: two 32-bit words, as EXR and DPX store them."""
        packed = 0
        numbers = (self.hours, self.minutes, self.seconds, self.frames)
        for number, (low, tens_mask) in zip(numbers, _FIELDS, strict=True):
            packed |= (number % 10 | (number // 10 & tens_mask) << 4) << low
        for is_set, bit in zip((self.is_drop, *self.flags), _FLAG_BITS, strict=True):
            packed |= is_set << bit
        return packed, self.user_bits


def _dropped(per_second: int) -> int:
    """Return how many numbers are dropped in a minute: 2 at 30 frames a second, 4 at 60."""
    return per_second // 15
