"""Clips on a timeline as plain numbers: their media, the frames they show, and refusals.

Frames are numbered as the media's files are: a sequence by its numbers, a movie from 0. All ranges
here include both ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from kwaflux_core.errors import HostError
from kwaflux_core.frames.sequence import RESOLVE_RANGE
from kwaflux_hosting.batch.file_patterns import frame_path, posix_path

__all__ = ["ClipRange", "FrameSpan", "MediaInfo", "first_file", "rate_of"]

_FPS_TOLERANCE: Final = 0.002
_SPAN_TOLERANCE: Final = 1  # hosts were measured one off


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """Hold the media of a clip: the numbers of its first and last frame, its rate and size."""

    name: str
    path: str
    first: int
    last: int
    fps: float
    size_px: tuple[int, int]

    @property
    def count(self) -> int:
        """How many frames it has."""
        return self.last - self.first + 1

    @property
    def whole(self) -> FrameSpan:
        """All of its frames, to be rendered."""
        return FrameSpan(first=self.first, last=self.last, used=(self.first, self.last))

    @classmethod
    def of_texts(
        cls, name: str, *, path: str, first: str, last: str, fps: str, size: str
    ) -> MediaInfo:
        """Return the media of what a host shows of it.

        Raises:
            HostError: It shows none: a title, a generator, a compound.
        """
        sides = re.fullmatch(r"(\d+)\s*x\s*(\d+)", size)
        if not path or sides is None or not all(re.fullmatch(r"-?\d+", n) for n in (first, last)):
            raise _refused(
                name, "is a title, a generator or a compound: it has no media of its own"
            )
        return cls(
            name=name,
            path=path,
            first=int(first),
            last=int(last),
            fps=rate_of(fps),
            size_px=(int(sides[1]), int(sides[2])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSpan:
    """Hold frames that are to be rendered, or were.

    Args:
        first: The number of the first.
        last: The last, which belongs to them.
        used: The first and last that the timeline shows; the others are handles.
        pattern: Their files; empty until they are rendered.
    """

    first: int
    last: int
    used: tuple[int, int]
    pattern: str = ""

    @property
    def count(self) -> int:
        """How many they are."""
        return self.last - self.first + 1

    @property
    def head(self) -> int:
        """How many handles lie before the frames that are shown."""
        return self.used[0] - self.first

    def starts(self, number: int) -> list[int]:
        """Return what a host may call the first frame that is shown, of a clip of these frames.

        Versions differ in whether they count from the number of the first file or from 0.
        """
        return list(dict.fromkeys((number + self.head, self.head)))

    @property
    def first_file(self) -> str:
        """The path of the first frame's file."""
        return frame_path(self.pattern, self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRange:
    """Hold where a clip lies on a timeline, and what of its media it shows.

    Args:
        media: What it shows.
        start: Its first frame on the timeline, absolute.
        count: How many frames it lasts there; as many of the media, for retimes are refused.
        left: The first frame of the media that it shows, counted from a base that hosts keep to
            themselves.
    """

    media: MediaInfo
    start: int
    count: int
    left: int

    @classmethod
    def of_media(
        cls,
        media: MediaInfo,
        *,
        span: tuple[int | None, int | None],
        left: int | None,
        shown: tuple[int | None, int | None],
        fps: float,
        changed: Mapping[str, str],
    ) -> ClipRange:
        """Return the cut of what a host says of a clip, or refuse it.

        Args:
            media: What it shows.
            span: Its first frame on the timeline, and the one behind its last.
            left: As in the class.
            shown: The same of its media, in whatever numbers: only their distance counts.
            fps: The timeline's rate.
            changed: Attributes of the clip by which the host would change its pixels.

        Raises:
            HostError: A still, a retime, of another frame rate, or changed.
        """
        start, end = span
        if start is None or end is None or left is None:
            raise _refused(media.name, "cannot be read: the host reports no frame numbers")
        _check_media(media, fps=fps, changed=changed)
        if media.count == 1 and end - start > 1:
            raise _refused(media.name, "is a still", hint="enhance its file: kwaflux enhance")
        _check_speed(media.name, *shown, count=end - start)
        return cls(media=media, start=start, count=end - start, left=left)

    def used(self, *, base: int) -> tuple[int, int]:
        """Return the first and last frame of the media that the timeline shows.

        Args:
            base: What ``left`` is where the whole media lies on a timeline: versions of a host
                differ in whether a sequence counts from its first number or from 0.
        """
        first = self.media.first + self.left - base
        return first, first + self.count - 1

    def planned(self, base: int, *, handles: int = 0, is_whole: bool = False) -> FrameSpan:
        """Return which frames of the media are to be rendered.

        Args:
            base: As of ``used``.
            handles: Frames more on both sides, as far as there are any.
            is_whole: Whether it is the whole media.

        Raises:
            HostError: The clip shows more than its media has.
        """
        media, used = self.media, self.used(base=base)
        if not media.first <= used[0] <= used[1] <= media.last:
            raise _refused(
                media.name,
                f"shows the frames {used[0]}-{used[1]}, and its media has "
                f"{media.first}-{media.last}",
                hint="add it to the timeline again from its media",
            )
        if is_whole:
            return replace(media.whole, used=used)
        first, last = max(media.first, used[0] - handles), min(media.last, used[1] + handles)
        return FrameSpan(first=first, last=last, used=used)

    def is_shown_at(self, start: int | None, count: int | None) -> bool:
        """Tell whether what begins there, and lasts so long, lies where the clip does."""
        return (start, count) == (self.start, self.count)

    def on_timeline(self) -> FrameSpan:
        """Return the frames that the timeline shows where the clip lies, in its own numbers."""
        last = self.start + self.count - 1
        return FrameSpan(first=self.start, last=last, used=(self.start, last))


def first_file(path: str) -> str:
    """Return the path of a sequence's first file, which hosts show as ``x.[1001-1050].exr``."""
    return RESOLVE_RANGE.sub(r"\1", posix_path(path))


def rate_of(text: str) -> float:
    """Return the number that a rate begins with (``29.97 DF``); 0 where there is none."""
    found = re.match(r"\d+(\.\d+)?", text)
    return float(found[0]) if found else 0.0


def _check_media(media: MediaInfo, *, fps: float, changed: Mapping[str, str]) -> None:
    if not media.fps or abs(media.fps - fps) > _FPS_TOLERANCE:
        raise _refused(
            media.name,
            f"has {media.fps:g} frames a second and its timeline {fps:g}: its frames are not "
            "those of its media",
            hint="put it on a timeline of its own rate, and enhance it there",
        )
    if changed:
        name, value = next(iter(changed.items()))
        raise _refused(
            media.name,
            f"has {name} = {value}: the render would change its pixels",
            hint="set it back in the clip's attributes, or enhance the graded composite",
        )


def _check_speed(name: str, begin: int | None, end: int | None, *, count: int) -> None:
    """Refuse retimes. No host tells the speed: the media's span against the timeline's does."""
    if begin is None or end is None or (begin == 0 == end and count > 1):
        raise _refused(
            name,
            "reports no source frames, as clips of an imported timeline",
            hint="add it to the timeline again from its media",
        )
    if begin > end:
        raise _refused(name, "plays in reverse", hint="enhance it forward, then reverse the result")
    if abs(end - begin - count) > _SPAN_TOLERANCE:
        raise _refused(
            name,
            f"is retimed: {end - begin} source frames in {count}",
            hint="enhance it at 100 %, then retime the result",
        )


def _refused(name: str, why: str, *, hint: str = "choose a clip with media") -> HostError:
    return HostError(f"{name or 'the item'} {why}", hint=hint)
