"""Which picture of a movie has which number, and where decoding can begin."""

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
"""No codec stores a picture further than this from its turn."""


@dataclass(frozen=True, slots=True)
class PacketTime:
    """Hold the times of one packet, in the stream's own unit.

    Args:
        shown: When its picture is shown (pts).
        decoded: When it is decoded (dts); None where the container does not say.
        is_key: Whether decoding can begin here.
        is_hidden: Whether an edit list leaves its picture out.
    """

    shown: int | None
    decoded: int | None
    is_key: bool
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class KeyPicture:
    """Hold the times of a picture at which decoding can begin."""

    shown: int
    seek_to: int


@dataclass(frozen=True, slots=True)
class PictureIndex:
    """Know the pictures of one movie. Make one with ``build``.

    Args:
        path: The movie, for errors.
        shown: When each picture is shown, ascending.
        keys: Where decoding can begin, ascending.
        frame_count: How many frames the movie has; more than ``shown`` where it was cut off.
        notes: What a person should know, a sentence each.
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
            packets: Of the video stream, in the order they are stored.
            path: The movie.
            promised_packets: How many the header says there are; 0 where it does not.
            promised_length: How long the header says the stream is, in the stream's unit; 0
                where it does not. It is believed where pictures last equally long.
            is_timed: Whether the container holds the time of every picture. Where times are but
                counted, as in AVI and MXF, a picture that is lost shifts all behind it.

        Raises:
            ImageUnreadable: Not one picture can be decoded, or some are lost and nobody can say
                which.
            ImageUnsupported: Pictures without times, or two at the same.
        """
        keys = _keys(packets, path=path)
        every = sorted(_time(packet, path=path) for packet in packets if not packet.is_hidden)
        shown = tuple(time for time in every if time >= keys[0].shown)
        if not shown:
            raise ImageUnreadable(f"{path} shows no picture", hint="copy or export it again")
        if len(set(shown)) < len(shown):
            raise ImageUnsupported(
                f"{path} shows two pictures at one time, as movies made of fields do",
                hint="deinterlace it or convert it to ProRes, or to an image sequence",
            )
        lost = (
            max(0, promised_packets - len(packets))
            if promised_packets
            else (_lost_of_length(shown, promised_length, tolerance=1 if is_timed else 0))
        )
        if lost and not is_timed:
            raise ImageUnreadable(
                f"{path} holds {len(shown)} pictures, and its header speaks of "
                f"{len(shown) + lost}: it is cut off or damaged, and nobody can say where",
                hint="copy or export the movie again, or put it into a .mov or .mkv",
                path=path,
            )
        notes = _notes(cut=len(every) - len(shown), is_even=_is_even(shown))
        count = len(shown) + lost
        return cls(path, _before_holes(shown) if lost else shown, keys, count, notes)

    def time_of(self, frame: int) -> int:
        """Return when a frame is shown.

        Raises:
            FrameMissing: The movie has no such frame.
            ImageUnreadable: The movie was cut off before it.
        """
        at = frame - FIRST_FRAME
        if 0 <= at < len(self.shown):
            return self.shown[at]
        if 0 <= at < self.frame_count:
            raise ImageUnreadable(
                f"frame {frame} is not in {self.path}: it is cut off after frame "
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
        """Return pictures from which a time can be decoded: the nearest, then ever further back.

        Some containers mark pictures that are none, and some pictures restore only what comes
        long after them.
        """
        end = bisect.bisect_right(self.keys, time, key=lambda key: key.shown)
        steps = (2**power - 1 for power in range(end.bit_length() + 1))
        return tuple(self.keys[end - 1 - step] for step in steps if step < end)

    def pictures_between(self, first: int, last: int) -> int:
        """Return how many pictures are shown after the one time and up to the other."""
        return bisect.bisect_right(self.shown, last) - bisect.bisect_right(self.shown, first)


def _keys(packets: Sequence[PacketTime], *, path: str) -> tuple[KeyPicture, ...]:
    times = [(_time(packet, path=path), packet.decoded) for packet in packets if packet.is_key]
    if not times:
        raise ImageUnreadable(
            f"{path} holds no picture from which decoding can begin",
            hint="copy or export it again",
        )
    keys = (KeyPicture(shown, shown if dts is None else min(dts, shown)) for shown, dts in times)
    return tuple(sorted(keys, key=lambda key: key.shown))


def _time(packet: PacketTime, *, path: str) -> int:
    if packet.shown is None:
        raise ImageUnsupported(
            f"{path} does not say when its pictures are shown",
            hint="put it into a .mov or .mkv (ffmpeg -i it -c copy out.mkv), or convert it",
        )
    return packet.shown


def _notes(*, cut: int, is_even: bool) -> tuple[str, ...]:
    notes = []
    if cut:
        notes.append(
            f"the movie's first {cut} pictures need others that were cut away; frame "
            f"{FIRST_FRAME} is the first that is whole"
        )
    if not is_even:
        notes.append(
            "the movie's pictures do not all last equally long; they are numbered as they come"
        )
    return tuple(notes)


def _middle_step(shown: Sequence[int]) -> int:
    """Return how long most pictures last."""
    steps = sorted(later - earlier for earlier, later in itertools.pairwise(shown))
    return steps[len(steps) // 2] if steps else 0


def _is_even(shown: Sequence[int]) -> bool:
    """Tell whether pictures last equally long, but for rounded times and a camera's jitter.

    A picture that is missing or lasts twice as long is no jitter.
    """
    middle = _middle_step(shown)
    steps = (later - earlier for earlier, later in itertools.pairwise(shown))
    return all(abs(step - middle) * 2 <= middle for step in steps)


def _lost_of_length(shown: tuple[int, ...], length: Fraction, *, tolerance: int) -> int:
    """Return how many pictures the header's length has room for that are not there.

    Holes alone are no proof: pictures may last unequally. They are believed near the end of a
    movie that was even for long, or where the last picture is far from the movie's end.
    """
    middle = _middle_step(shown)
    if not length or not middle or not _is_even(shown[: max(2, len(shown) - _REORDERED_MAX)]):
        return 0
    even = _before_holes(shown)
    # The mean of many steps: the rounding of one would add up.
    mean = Fraction(even[-1] - even[0], len(even) - 1) if len(even) > 1 else Fraction(middle)
    end = length + min(0, shown[0])
    has_holes = len(even) < len(shown)
    is_cut_short = round((end - shown[-1]) / mean) > 1 + tolerance
    if has_holes and not is_cut_short and len(even) < 2 * _REORDERED_MAX:
        return 0
    lost = round((end - shown[0]) / mean) - len(shown)
    return lost if lost > (0 if has_holes else tolerance) else 0


def _before_holes(shown: tuple[int, ...]) -> tuple[int, ...]:
    """Return the pictures up to the first hole near the end.

    Where a movie was cut off, pictures that are shown earlier may have been stored later.
    """
    middle = _middle_step(shown)
    for at in range(max(1, len(shown) - _REORDERED_MAX), len(shown)):
        if (shown[at] - shown[at - 1]) * 2 > middle * 3:
            return shown[:at]
    return shown
