"""The frame index of a movie: number and time of each picture, and the keyframes."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kwaflux_core.errors import FrameMissing, ImageUnreadable, ImageUnsupported

__all__ = ["FIRST_FRAME", "KeyPicture", "PacketTime", "PictureIndex"]

FIRST_FRAME: Final = 1
"""The number of a movie's first frame, as in Nuke."""
_REORDERED_MAX: Final = 16
"""Largest distance, in pictures, between decoding and presentation order in any codec."""


@dataclass(frozen=True, slots=True)
class PacketTime:
    """The times of one packet, in the stream's time base.

    Args:
        shown: Presentation time (pts).
        decoded: Decoding time (dts); None if the container stores none.
        is_key: Whether decoding can start here.
        is_hidden: Whether an edit list omits its picture.
    """

    shown: int | None
    decoded: int | None
    is_key: bool
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class KeyPicture:
    """The times of a picture at which decoding can start."""

    shown: int
    seek_to: int


@dataclass(frozen=True, slots=True)
class PictureIndex:
    """The pictures of one movie. Make one with ``build``.

    Args:
        path: The movie, for errors.
        shown: Presentation time of each picture, ascending.
        keys: Key pictures, ascending.
        frame_count: Number of frames; more than ``shown`` for a truncated movie.
        notes: Warnings for the user, a sentence each.
    """

    path: str
    shown: tuple[int, ...]
    keys: tuple[KeyPicture, ...]
    frame_count: int
    notes: tuple[str, ...]

    @classmethod
    def build(
        cls,
        packets: Sequence[PacketTime],
        *,
        path: str,
        promised_packets: int = 0,
        promised_length: Fraction = Fraction(0),
        is_timed: bool = True,
    ) -> PictureIndex:
        """Number the pictures.

        Args:
            packets: Packets of the video stream, in file order.
            path: The movie.
            promised_packets: Number of packets by the header; 0 if unknown.
            promised_length: Duration by the header, in the stream's time base; 0 if unknown. It is
                used for movies with a constant frame rate.
            is_timed: Whether the container stores a time for every picture. If times are counted,
                as in AVI and MXF, a lost picture shifts all later ones.

        Raises:
            ImageUnreadable: No picture can be decoded, or pictures are lost at unknown positions.
            ImageUnsupported: Pictures have no times, or two have the same.
        """
        keys = _keys(packets, path=path)
        every = sorted(_time(packet, path=path) for packet in packets if not packet.is_hidden)
        shown = tuple(time for time in every if time >= keys[0].shown)
        if not shown:
            raise ImageUnreadable(
                f"{path} contains no visible picture", hint="copy or export it again"
            )
        if len(set(shown)) < len(shown):
            raise ImageUnsupported(
                f"{path} contains two pictures with the same time, as field-coded movies do",
                hint="deinterlace it or convert it to ProRes, or to an image sequence",
            )
        lost = (
            max(0, promised_packets - len(packets))
            if promised_packets
            else (_lost_of_length(shown, promised_length, tolerance=1 if is_timed else 0))
        )
        if lost and not is_timed:
            raise ImageUnreadable(
                f"{path} contains {len(shown)} pictures, but its header announces "
                f"{len(shown) + lost}: it is truncated or damaged at an unknown position",
                hint="copy or export the movie again, or put it into a .mov or .mkv",
                path=path,
            )
        notes = _notes(cut=len(every) - len(shown), is_even=_is_even(shown))
        count = len(shown) + lost
        return cls(path, _before_holes(shown) if lost else shown, keys, count, notes)

    def time_of(self, frame: int) -> int:
        """Return a frame's presentation time.

        Raises:
            FrameMissing: The movie has no such frame.
            ImageUnreadable: The movie is truncated before it.
        """
        at = frame - FIRST_FRAME
        if 0 <= at < len(self.shown):
            return self.shown[at]
        if 0 <= at < self.frame_count:
            raise ImageUnreadable(
                f"frame {frame} is not in {self.path}: it is truncated after frame "
                f"{len(self.shown) - 1 + FIRST_FRAME} of {self.frame_count}",
                hint="copy or export the movie again",
                frame=frame,
                path=self.path,
            )
        raise FrameMissing(
            f"there is no frame {frame} in {self.path}",
            hint=f"it has the frames {FIRST_FRAME}-{self.frame_count - 1 + FIRST_FRAME}",
            frame=frame,
            path=self.path,
        )

    def keys_before(self, time: int) -> tuple[KeyPicture, ...]:
        """Return keyframes from which a time can be decoded, the nearest first.

        More than one, because some containers mark other pictures as keyframes, and some key
        pictures restore only pictures long after them.
        """
        end = bisect.bisect_right(self.keys, time, key=lambda key: key.shown)
        steps = (2**power - 1 for power in range(end.bit_length() + 1))
        return tuple(self.keys[end - 1 - step] for step in steps if step < end)

    def pictures_between(self, first: int, last: int) -> int:
        """Return the number of pictures shown after the first time and up to the second."""
        return bisect.bisect_right(self.shown, last) - bisect.bisect_right(self.shown, first)


def _keys(packets: Sequence[PacketTime], *, path: str) -> tuple[KeyPicture, ...]:
    times = [(_time(packet, path=path), packet.decoded) for packet in packets if packet.is_key]
    if not times:
        raise ImageUnreadable(
            f"{path} contains no keyframe",
            hint="copy or export it again",
        )
    keys = (KeyPicture(shown, shown if dts is None else min(dts, shown)) for shown, dts in times)
    return tuple(sorted(keys, key=lambda key: key.shown))


def _time(packet: PacketTime, *, path: str) -> int:
    if packet.shown is None:
        raise ImageUnsupported(
            f"{path} contains no times for its pictures",
            hint="put it into a .mov or .mkv (ffmpeg -i it -c copy out.mkv), or convert it",
        )
    return packet.shown


def _notes(*, cut: int, is_even: bool) -> tuple[str, ...]:
    notes = []
    if cut:
        notes.append(
            f"the movie's first {cut} pictures depend on missing ones; frame "
            f"{FIRST_FRAME} is the first complete picture"
        )
    if not is_even:
        notes.append("the movie has a variable frame rate; its pictures are numbered in order")
    return tuple(notes)


def _middle_step(shown: Sequence[int]) -> int:
    """Return the most frequent duration of a picture."""
    steps = sorted(later - earlier for earlier, later in itertools.pairwise(shown))
    return steps[len(steps) // 2] if steps else 0


def _is_even(shown: Sequence[int]) -> bool:
    """Return whether the frame rate is constant, apart from rounding and a camera's jitter.

    A missing picture, or one that lasts twice as long, is not jitter.
    """
    middle = _middle_step(shown)
    steps = (later - earlier for earlier, later in itertools.pairwise(shown))
    return all(abs(step - middle) * 2 <= middle for step in steps)


def _lost_of_length(shown: tuple[int, ...], length: Fraction, *, tolerance: int) -> int:
    """Return the number of missing pictures by the header's duration.

    A gap alone is no proof, because the frame rate may vary. A gap counts near the end of a movie
    that had a constant rate until then, or if the last picture is far from the movie's end.
    """
    middle = _middle_step(shown)
    if not length or not middle or not _is_even(shown[: max(2, len(shown) - _REORDERED_MAX)]):
        return 0
    even = _before_holes(shown)
    # The mean of many durations, because the rounding error of one would accumulate.
    mean = Fraction(even[-1] - even[0], len(even) - 1) if len(even) > 1 else Fraction(middle)
    end = length + min(0, shown[0])
    has_holes = len(even) < len(shown)
    is_cut_short = round((end - shown[-1]) / mean) > 1 + tolerance
    if has_holes and not is_cut_short and len(even) < 2 * _REORDERED_MAX:
        return 0
    lost = round((end - shown[0]) / mean) - len(shown)
    return lost if lost > (0 if has_holes else tolerance) else 0


def _before_holes(shown: tuple[int, ...]) -> tuple[int, ...]:
    """Return the pictures up to the first gap near the end.

    A truncated movie may lack pictures that are shown before the last stored ones.
    """
    middle = _middle_step(shown)
    for at in range(max(1, len(shown) - _REORDERED_MAX), len(shown)):
        if (shown[at] - shown[at - 1]) * 2 > middle * 3:
            return shown[:at]
    return shown
