"""Patterns of numbered files and ranges of frames, as hosts write them.

Paths are spelled with forward slashes, which every host and system takes. Nothing compiled is
imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

from kwaflux_core.errors import HostError
from kwaflux_hosting.batch.results_index import ResultsIndex

__all__ = [
    "expand_view",
    "format_frames",
    "frame_path",
    "has_frame_number",
    "next_version",
    "parse_frames",
    "posix_path",
]

_PADDING = re.compile(r"%0?(\d*)d|#+")
_VIEW = re.compile(r"%([Vv])(?![A-Za-z])")
_VERSION = re.compile(r"(?<=[/._\-])v(\d+)(?=[/._\-]|$)")
_NUMBER = r"-?\d{1,9}"
_CHUNK = re.compile(rf"\s*({_NUMBER})(?:-({_NUMBER})(?:x(\d{{1,9}}))?)?\s*")
_FRAMES_MAX: Final = 1_000_000


def posix_path(path: str) -> str:
    """Return a path with forward slashes."""
    return path.replace("\\", "/")


def expand_view(pattern: str, view: str) -> str:
    """Return a pattern with ``%V`` (the view's name) and ``%v`` (its first letter) filled in."""
    return _VIEW.sub(lambda found: view if found[1] == "V" else view[:1], posix_path(pattern))


def has_frame_number(pattern: str) -> bool:
    """Tell whether the file's name has a place for the frame's number."""
    return _PADDING.search(os.path.basename(posix_path(pattern))) is not None


def frame_path(pattern: str, frame: int, *, view: str = "") -> str:
    """Return the path of one frame's file; of a pattern without a number, that file.

    Args:
        pattern: With ``%04d`` or ``####`` in its name.
        frame: The frame's number.
        view: What ``%V`` and ``%v`` stand for; empty: they are left.
    """
    folder, name = os.path.split(expand_view(pattern, view) if view else posix_path(pattern))

    def number(found: re.Match[str]) -> str:
        width = len(found[0]) if found[0][0] == "#" else int(found[1] or 1)
        return str(frame).zfill(width)

    filled = _PADDING.sub(number, name, count=1)
    return f"{folder}/{filled}" if folder and not folder.endswith("/") else f"{folder}{filled}"


def next_version(pattern: str) -> str:
    """Return the pattern of the next version that nothing stands under.

    Every ``v###`` in the path that equals the last one is counted up; a path without one gets
    ``_v002`` behind its name.
    """
    pattern = posix_path(pattern)
    found = _VERSION.findall(pattern)
    now = found[-1] if found else ""
    number = int(now) if now else 1
    while True:
        number += 1
        text = f"v{number:0{len(now) or 3}d}"
        raised = _counted_up(pattern, now, text) if now else _with_version(pattern, text)
        if not _is_taken(raised):
            return raised


def _counted_up(pattern: str, now: str, version: str) -> str:
    return _VERSION.sub(lambda found: version if found[1] == now else found[0], pattern)


def _is_taken(pattern: str) -> bool:
    """Tell whether a file of the pattern, or its record, is there."""
    folder, name = os.path.split(pattern)
    around = [re.escape(part) for part in _PADDING.sub("\0", name, count=1).split("\0")]
    wanted = re.compile(r"-?\d+".join(around))
    try:
        names = os.listdir(folder or os.curdir)
    except OSError:
        return False
    record = os.path.basename(ResultsIndex.path_for(pattern))
    return any(entry == record or wanted.fullmatch(entry) for entry in names)


def _with_version(pattern: str, version: str) -> str:
    folder, name = os.path.split(pattern)
    padding = _PADDING.search(name)
    at = padding.start() if padding else len(os.path.splitext(name)[0])
    head = name[:at].rstrip("._")
    return os.path.join(folder, f"{head}_{version}{name[len(head) :]}").replace("\\", "/")


# --- ranges -----------------------------------------------------------------------------------


def parse_frames(text: str) -> tuple[int, ...]:
    """Return the frames of ``1001-1010,1020`` or ``1001-1100x2``, each once, in order.

    Raises:
        HostError: No range, or one of more than a million frames.
    """
    frames: dict[int, None] = {}
    for chunk in text.split(","):
        found = _CHUNK.fullmatch(chunk)
        if found is None or found[3] == "0":
            raise HostError(
                f"{text[:80]!r} is not a frame range",
                hint="write 1001-1100, 1001-1100x2 or 1001,1005",
            )
        first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
        if abs(last - first) // step >= _FRAMES_MAX:
            raise HostError(f"{text[:80]!r} has more than {_FRAMES_MAX} frames", hint="split it")
        way = 1 if last >= first else -1
        frames.update(dict.fromkeys(range(first, last + way, way * step)))
    return tuple(frames)


def format_frames(frames: Iterable[int]) -> str:
    """Return frames, sorted, as short text: ``1001-1010,1020``. ``parse_frames`` reads it."""
    spans: list[list[int]] = []
    for frame in sorted(set(frames)):
        if spans and frame == spans[-1][1] + 1:
            spans[-1][1] = frame
        else:
            spans.append([frame, frame])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
