"""Numbered pictures: their patterns, their frame ranges, and which frame becomes which file.

A pattern names one file for every frame: ``plate.####.exr`` (each ``#`` is one digit, as in Nuke),
``plate.%04d.exr``, ``plate.$F4.exr``, or with its range ``plate.1001-1050####.exr`` and, as Resolve
shows it, ``plate.[1001-1050].exr``. A name without padding is a single picture.

This is the one reading of patterns, for the server and for hosts, so it imports nothing compiled.
Digits before the padding are a range only where they begin the name or follow ``.``, ``_`` or a
space (``take2####.exr`` has none), and a number in a name without padding is part of the name.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from kwaflux_core.errors import FrameMissing, RequestError
from kwaflux_core.frames.frame_range import NUMBER, SPAN, FrameRange
from kwaflux_core.suggestions import shortened

__all__ = [
    "PADDING",
    "RESOLVE_RANGE",
    "FrameTask",
    "Sequence",
    "plan",
    "temporal_window",
]

_MAX_PADDING_DIGITS = 32
_MAX_NAME_CHARACTERS = 1024
_COMPARED_NAMES = 2000
_PATTERN_EXAMPLE = "write plate.####.exr (each # is one digit) or plate.%04d.exr"

PADDING: Final = re.compile(r"#+|@+|%(?:0(?P<printf>[0-9]+))?d|\$F(?P<houdini>[0-9]*)")
"""Where the frame's number goes: ``####``, ``@@@@``, ``%04d``, ``%d``, ``$F4`` or ``$F``."""

RESOLVE_RANGE: Final = re.compile(r"\[([0-9]{1,10})-([0-9]{1,10})\]")
"""Range and padding in one, as Resolve shows a sequence: ``[1001-1050]``."""

_CHUNK = rf"(?:{SPAN}|{NUMBER})"
_RANGE = rf"{_CHUNK}(?:,{_CHUNK})+|{SPAN}"  # one number alone belongs to the name
_RANGE_BEFORE = re.compile(rf"(?:^|(?<=[._ ]))({_RANGE})\Z")
_OTHER_SPELLINGS = re.compile(
    r"\{[a-z]*(?::[0-9]*d)?\}|<UDIM>|%\(UDIM\)d|%[0-9]+d|%[vV](?![A-Za-z])|\*"
)
_DIGITS = re.compile(r"-?[0-9]{1,40}")
_LAST_NUMBER = re.compile(rf"(?:^|[._])({NUMBER})(?=\.[^.]*$|$)")


@dataclass(frozen=True, slots=True)
class Sequence:
    """Name one file for every frame, or one single file. Make one with ``parse``.

    Args:
        folder: The folder as it was written; empty for the current one.
        head: The file's name up to the frame number; the whole name of a single file.
        tail: The file's name from the frame number on (``.exr``, ``_L.exr``).
        width_digits: The least number of digits of a frame number, its minus sign included; 0 for
            a single file.
        default_range: The range that the pattern itself names, or None.
    """

    folder: str
    head: str
    tail: str = ""
    width_digits: int = 0
    default_range: FrameRange | None = None

    @classmethod
    def parse(cls, pattern: str) -> Sequence:
        """Read a pattern or the path of a single file.

        Raises:
            RequestError: No file name, more than one padding, or another program's spelling.
        """
        folder, name = os.path.split(pattern)
        if not name or name in (".", "..") or "\0" in pattern:
            raise RequestError(f"{shortened(pattern)} names no file", hint=_PATTERN_EXAMPLE)
        if len(name) > _MAX_NAME_CHARACTERS:
            raise RequestError(
                f"a file name of {len(name)} characters: {shortened(pattern)}",
                hint="give a long list of frames apart from the pattern",
            )
        name = RESOLVE_RANGE.sub(lambda m: f"{m[1]}-{m[2]}%0{len(m[1])}d", name)
        paddings = list(PADDING.finditer(name))
        if len(paddings) > 1:
            raise RequestError(
                f"{shortened(pattern)} has more than one padding",
                hint="a frame has one number; " + _PATTERN_EXAMPLE,
            )
        head, tail = (
            (name[: paddings[0].start()], name[paddings[0].end() :]) if paddings else (name, "")
        )
        strange = _OTHER_SPELLINGS.search(f"{head}\0{tail}")
        if strange is not None:
            raise RequestError(
                f"{strange[0]!r} in {shortened(pattern)} is no frame padding",
                hint=_PATTERN_EXAMPLE,
            )
        if not paddings:
            return cls(folder, name)
        width = _width_of(paddings[0], pattern=pattern)
        written = _RANGE_BEFORE.search(head)
        if written is None:
            return cls(folder, head, tail, width)
        default = _written_range(written[1], width=width, pattern=pattern)
        return cls(folder, head[: written.start()], tail, width, default)

    @property
    def is_single(self) -> bool:
        """Whether this is one file and not a pattern."""
        return self.width_digits == 0

    @property
    def pattern(self) -> str:
        """The pattern without its range, spelled with ``#``; the path of a single file."""
        return os.path.join(self.folder, f"{self.head}{'#' * self.width_digits}{self.tail}")

    @property
    def title(self) -> str:
        """The name without number and suffix: ``plate`` of ``plate.####.exr``."""
        if self.is_single:
            return os.path.splitext(self.head)[0]
        return self.head.rstrip("._- ")

    def path(self, frame: int) -> str:
        """Return the path of a frame's file; of a single file, whatever the frame."""
        return os.path.join(self.folder, self._name(frame))

    def digits_in(self, name: str) -> str | None:
        """Return what stands for the frame's number in a file's name, whatever its padding.

        Empty where the name is that of this single file; None where it is another file's.
        """
        if self.is_single:
            return "" if name == self.head else None
        if not (name.startswith(self.head) and name.endswith(self.tail)):
            return None
        digits = name[len(self.head) : len(name) - len(self.tail)]
        return digits if _DIGITS.fullmatch(digits) else None

    def frames_on_disk(self) -> tuple[int, ...]:
        """Return the frames whose files are there, in ascending order.

        A single file that is there counts as one frame: the number that stands before its suffix
        (``plate.1001.exr``), or 1. A number with more zeros than the padding asks for is another
        sequence's.

        Raises:
            FrameMissing: The folder cannot be listed.
        """
        if self.is_single:
            number = _LAST_NUMBER.search(self.head)
            frame = int(number[1]) if number else 1
            return (frame,) if os.path.isfile(self.path(frame)) else ()
        numbers = filter(None, map(self.digits_in, self._listing()))
        return tuple(sorted(int(n) for n in numbers if self._digits(int(n)) == n))

    def missing(self, frames: Iterable[int]) -> tuple[int, ...]:
        """Return those of the frames whose files are not there, in the order given.

        Raises:
            FrameMissing: The folder cannot be listed.
        """
        listing = set(self._listing())
        return tuple(frame for frame in frames if self._name(frame) not in listing)

    def _digits(self, frame: int) -> str:
        return str(frame).zfill(self.width_digits)

    def _name(self, frame: int) -> str:
        return self.head if self.is_single else f"{self.head}{self._digits(frame)}{self.tail}"

    def _listing(self) -> list[str]:
        try:
            return os.listdir(self.folder or os.curdir)
        except OSError as error:
            raise FrameMissing(
                f"the folder {self.folder or os.curdir!r} cannot be listed: {error.strerror}",
                hint="check the path, and whether this machine sees it",
                path=self.pattern,
            ) from error


@dataclass(frozen=True, slots=True)
class FrameTask:
    """Say which file one frame is read from, and which it is written to."""

    frame: int
    source_path: str
    target_path: str


def plan(
    source: str | Sequence,
    target: str | Sequence,
    frames: str | FrameRange = "",
    *,
    movie_frames: range | None = None,
) -> tuple[FrameTask, ...]:
    """Return what is to be read and written for each frame, in order.

    A frame that is not on disk stays in the plan when the range was given: it fails by itself,
    and the others are done.

    Args:
        source: Where frames are read; a pattern or a single file.
        target: Where they are written.
        frames: Which frames; empty for the source's own range, or else for all on disk.
        movie_frames: The frames that the source holds when it is a movie: one file with many.

    Raises:
        FrameMissing: Not one file of the source is there.
        RequestError: A pattern or range that cannot be read, several frames to or from a single
            file, a target that names other frames, or a target that is the source (under any
            spelling or link).
    """
    if isinstance(source, str):
        # A movie's name is a name: "take#2.mov" is no pattern.
        is_pattern = movie_frames is None
        source = Sequence.parse(source) if is_pattern else Sequence(*os.path.split(source))
    target = Sequence.parse(target) if isinstance(target, str) else target
    given = FrameRange.parse(frames) if isinstance(frames, str) and frames else frames
    on_disk = source.frames_on_disk() if movie_frames is None else tuple(movie_frames)
    if not on_disk:
        raise _nothing_there(source)
    wanted = given if isinstance(given, FrameRange) else source.default_range
    wanted = wanted or FrameRange(on_disk)
    _refuse_other_frames(source, target, wanted, is_movie=movie_frames is not None)
    tasks = tuple(FrameTask(frame, source.path(frame), target.path(frame)) for frame in wanted)
    _refuse_overwriting(source, target, tasks)
    return tasks


def temporal_window(frame: int, *, radius: int, first: int, last: int) -> tuple[int, ...]:
    """Return the ``2 * radius + 1`` frames around a frame, mirrored at the ends of the clip.

    The first and last frame are not repeated by the mirror: before 1001 stands 1002. In a clip
    that is shorter than the radius the mirrors face each other. Nothing wraps around.

    Args:
        frame: The middle of the window; ``first <= frame <= last``.
        radius: Frames on each side, from 0.
        first: First frame of the clip.
        last: Last frame of the clip.

    Raises:
        RequestError: A frame outside the clip, or a negative radius.
    """
    if radius < 0 or not first <= frame <= last:
        raise RequestError(
            f"no window of radius {radius} around frame {frame} in the clip {first}-{last}",
            hint="ask for a frame of the clip, and a radius from 0",
        )
    length = last - first
    if length == 0:
        return (frame,) * (2 * radius + 1)
    offsets = range(frame - first - radius, frame - first + radius + 1)
    return tuple(first + length - abs(length - offset % (2 * length)) for offset in offsets)


def _width_of(padding: re.Match[str], *, pattern: str) -> int:
    """Return the least number of digits: one per sign, or as printf or Houdini say."""
    is_counted = padding[0][0] in "#@"
    width = len(padding[0]) if is_counted else int(padding["printf"] or padding["houdini"] or 1)
    if width > _MAX_PADDING_DIGITS:
        raise RequestError(
            f"a padding of {width} digits in {shortened(pattern)}", hint=_PATTERN_EXAMPLE
        )
    return max(width, 1)


def _written_range(text: str, *, width: int, pattern: str) -> FrameRange:
    """Return the range in a pattern; refuse one of another padding."""
    for number in re.findall(r"(?<![0-9])0[0-9]+", text):
        if len(number) != width:
            raise RequestError(
                f"{shortened(pattern)} writes its range with {len(number)} digits, and pads its"
                f" files to {width}",
                hint=f"each # is one digit: write {'#' * len(number)}",
            )
    return FrameRange.parse(text)


def _nothing_there(source: Sequence) -> FrameMissing:
    """Return an error that names the folder and, where there is one, the pattern that was meant."""
    folder = source.folder or os.curdir
    what = "no such file" if source.is_single else "no frame"
    counts: dict[str, int] = {}
    for name in source._listing():
        numbers = list(re.finditer(r"[0-9]+", os.path.splitext(name)[0]))
        if numbers and not source.is_single:
            start, stop = numbers[-1].span()
            name = f"{name[:start]}{'#' * (stop - start)}{name[stop:]}"
        counts[name] = counts.get(name, 0) + 1
    near = difflib.get_close_matches(
        os.path.basename(source.pattern), list(counts)[:_COMPARED_NAMES], n=1
    )
    found = f"did you mean {near[0]!r}? It has {counts[near[0]]} of its kind" if near else ""
    return FrameMissing(
        f"{what} of {os.path.basename(source.pattern)!r} in the folder {folder!r}",
        hint=found or "check the name and the number of digits",
        path=source.pattern,
    )


def _refuse_other_frames(
    source: Sequence, target: Sequence, wanted: FrameRange, *, is_movie: bool
) -> None:
    """Refuse several frames for one file, and a target that names frames nobody asked for."""
    for sequence, role in ((source, "source"), (target, "target")):
        if sequence.is_single and len(wanted) > 1 and not (is_movie and sequence is source):
            raise RequestError(
                f"the {role} {sequence.pattern!r} is one file, and {len(wanted)} frames are asked"
                f" for ({shortened(str(wanted))})",
                hint=_PATTERN_EXAMPLE,
            )
    if target.default_range is not None and set(target.default_range) != set(wanted):
        raise RequestError(
            f"the target names the frames {shortened(str(target.default_range))}, and"
            f" {shortened(str(wanted))} are asked for",
            hint="leave the range out of the target",
        )


def _refuse_overwriting(source: Sequence, target: Sequence, tasks: tuple[FrameTask, ...]) -> None:
    """Refuse a plan in which a file that is written is a file that is read, of any frame."""
    if os.path.realpath(source.folder) == os.path.realpath(target.folder):
        read = {os.path.basename(task.source_path) for task in tasks}
        for task in tasks:
            if os.path.basename(task.target_path) in read:
                raise _overwriting(task)
    # Links and file systems that do not mind case: the same file under two names.
    identities = set(_identities(source, {task.source_path for task in tasks}).values())
    for path, identity in _identities(target, (task.target_path for task in tasks)).items():
        if identity in identities:
            raise _overwriting(next(task for task in tasks if task.target_path == path))


def _identities(sequence: Sequence, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return device and inode of those paths that exist; one listing, no call for the others."""
    try:
        listing: Collection[str] = frozenset(os.listdir(sequence.folder or os.curdir))
    except OSError:
        return {}
    found: dict[str, tuple[int, int]] = {}
    for path in paths:
        if os.path.basename(path) in listing and os.path.exists(path):
            status = os.stat(path)
            found[path] = (status.st_dev, status.st_ino)
    return found


def _overwriting(task: FrameTask) -> RequestError:
    return RequestError(
        f"the target is the source: frame {task.frame} would be written over {task.source_path!r}",
        hint="give the target another folder or name",
        frame=task.frame,
        path=task.target_path,
    )
