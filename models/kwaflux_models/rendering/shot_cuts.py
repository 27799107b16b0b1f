"""Find the shots of a clip: its frames between two cuts.

Frames far apart are compared first, and what lies between them only where they differ, so that a
long clip is not read whole. Whether there is a cut between two frames depends on them and the
frames around them alone, never on the part of the clip that is rendered.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_models.rendering.plate import Plate

__all__ = ["BLACK", "Thumbnail", "shot_around", "thumbnail"]

Thumbnail: TypeAlias = npt.NDArray[np.float32]

_STRIDE = 8
"""Frames this far apart are compared. A shot that is shorter, between two frames of another that
look alike, is overlooked."""
_LONGEST = 1920
"""Frames of a clip are looked at in pieces of this many; a shot ends with its piece."""
_SIDE = 24
"""Height and width of a thumbnail."""
_ALIKE = 0.03
"""Mean difference of thumbnails, in codes from 0 to 1, that no cut leaves."""
_ABRUPT = 3.0
"""A cut differs so many times more than the frames before it and after it do,"""
_UNRELATED = 0.15
"""or by as much as only pictures of different things do."""


BLACK: Thumbnail = np.zeros((3, _SIDE, _SIDE), np.float32)
"""The thumbnail of a frame that cannot be read and has none before it."""


def thumbnail(plate: Plate) -> Thumbnail:
    """Return (3, 24, 24) means of a plate, square roots of its light held to 0..1."""
    height, width = plate.window.height, plate.window.width
    rows = np.linspace(0, height, _SIDE, endpoint=False).astype(int)
    columns = np.linspace(0, width, _SIDE, endpoint=False).astype(int)
    # Every fourth row and column is enough where a cell has many.
    step = max(1, min(height, width) // (8 * _SIDE))
    at_rows, at_columns = np.arange(0, height, step), np.arange(0, width, step)
    starts = np.searchsorted(at_rows, rows), np.searchsorted(at_columns, columns)
    cells = []
    for plane in plate.color:
        some = np.nan_to_num(plane[::step, ::step], nan=0.0, posinf=1.0, neginf=0.0)
        sums = np.add.reduceat(np.clip(some, 0.0, 1.0), starts[0], axis=0)
        cells.append(np.add.reduceat(sums, starts[1], axis=1))
    counts = np.outer(
        np.diff(starts[0], append=len(at_rows)), np.diff(starts[1], append=len(at_columns))
    )
    means: Thumbnail = np.sqrt(np.stack(cells) / np.maximum(counts, 1)).astype(np.float32)
    return means


def shot_around(
    frame: int, clip: Sequence[int], look: Callable[[int], Thumbnail]
) -> tuple[int, ...]:
    """Return the frames of the shot that a frame lies in.

    Args:
        frame: The frame.
        clip: The frames that there are, ascending. A shot ends at a gap, too.
        look: Returns the thumbnail of a frame; called once for each frame that is needed if it
            caches.
    """
    at = bisect_right(clip, frame) - 1
    if at < 0 or clip[at] != frame:
        return (frame,)
    piece = at // _LONGEST * _LONGEST
    finder = _Finder(clip[piece : piece + _LONGEST], look)
    first, last = finder.around(at - piece)
    return tuple(clip[piece + first : piece + last + 1])


class _Finder:
    def __init__(self, clip: Sequence[int], look: Callable[[int], Thumbnail]) -> None:
        self._clip = clip
        self._look = look

    def around(self, at: int) -> tuple[int, int]:
        """Return the indices of the first and the last frame of the shot of an index."""
        low = at // _STRIDE * _STRIDE
        first, last = 0, len(self._clip) - 1
        for start in range(low, -1, -_STRIDE):
            if cuts := [cut for cut in self._cuts(start) if cut < at]:
                first = max(cuts) + 1
                break
        for start in range(low, len(self._clip), _STRIDE):
            if cuts := [cut for cut in self._cuts(start) if cut >= at]:
                last = min(cuts)
                break
        return first, last

    def _cuts(self, start: int) -> list[int]:
        """Return the indices after which a cut is, from ``start`` to the next stride's start."""
        end = min(start + _STRIDE, len(self._clip) - 1)
        found: list[int] = []
        pieces = [(start, end)] if end > start else []
        while pieces:
            low, high = pieces.pop()
            if self._clip[high] - self._clip[low] == high - low and self._is_alike(low, high):
                continue
            cut = self._widest(low, high)
            if self._is_cut(cut):
                found.append(cut)
                pieces += [piece for piece in ((low, cut), (cut + 1, high)) if piece[0] < piece[1]]
        return found

    def _widest(self, low: int, high: int) -> int:
        """Return the index of the frame after which the difference is, halving."""
        while high - low > 1:
            middle = (low + high) // 2
            before = self._gap(low, middle), self._difference(low, middle)
            after = self._gap(middle, high), self._difference(middle, high)
            low, high = (low, middle) if before >= after else (middle, high)
        return low

    def _is_cut(self, at: int) -> bool:
        if self._gap(at, at + 1):
            return True
        across = self._difference(at, at + 1)
        if across < _ALIKE:
            return False
        beside = [self._difference(i, i + 1) for i in (at - 1, at + 1) if self._is_next(i)] or [0.0]
        is_abrupt = across >= max(_ABRUPT * min(beside), max(beside))
        if not is_abrupt and across < _UNRELATED:
            return False
        # A flash is over in the frame after.
        return not (self._is_next(at + 1) and self._difference(at, at + 2) < across / _ABRUPT)

    def _is_next(self, at: int) -> bool:
        return 0 <= at < len(self._clip) - 1 and not self._gap(at, at + 1)

    def _gap(self, low: int, high: int) -> int:
        return self._clip[high] - self._clip[low] - (high - low)

    def _is_alike(self, low: int, high: int) -> bool:
        return self._difference(low, high) < _ALIKE

    def _difference(self, low: int, high: int) -> float:
        one, other = self._look(self._clip[low]), self._look(self._clip[high])
        return float(np.abs(one - other).mean())
