"""Patterns of numbered files as hosts write them: with views, versions and either kind of slash.

What a pattern is says ``kwaflux_core.frames.sequence``, as it does on the server. Paths are spelled
with forward slashes, which every host and system takes. Nothing compiled is imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from kwaflux_core.frames.sequence import PADDING, Sequence
from kwaflux_hosting.batch.results_index import ResultsIndex

__all__ = [
    "expand_view",
    "frame_path",
    "has_frame_number",
    "is_known_everywhere",
    "literal_name",
    "next_version",
    "posix_path",
]

_VIEW = re.compile(r"%([Vv])(?![A-Za-z])")
_MEANINGFUL = re.compile(r"[#@%$*<>{}\[\]]")
_VERSION = re.compile(r"(?<=[/._\-])v(\d+)(?=[/._\-]|$)")


def posix_path(path: str) -> str:
    """Return a path with forward slashes."""
    return path.replace("\\", "/")


def expand_view(pattern: str, view: str) -> str:
    """Return a pattern with ``%V`` (the view's name) and ``%v`` (its first letter) filled in."""
    return _VIEW.sub(lambda found: view if found[1] == "V" else view[:1], posix_path(pattern))


def literal_name(text: str) -> str:
    """Return a text for a file's name in a pattern: ``_`` for characters that mean more there."""
    return _MEANINGFUL.sub("_", text)


def has_frame_number(pattern: str) -> bool:
    """Tell whether the file's name has a place for the frame's number.

    Raises:
        RequestError: It is no pattern and no file's path.
    """
    return not _sequence(pattern, "view").is_single


def is_known_everywhere(pattern: str) -> bool:
    """Tell whether every host reads the pattern as it stands: ``#`` or ``%04d``, and no range."""
    padding = PADDING.search(os.path.basename(posix_path(pattern)))
    has_range = _sequence(pattern, "view").default_range is not None
    return padding is not None and padding[0][0] in "#%" and not has_range


def frame_path(pattern: str, frame: int, *, view: str = "") -> str:
    """Return the path of one frame's file; of a pattern without a number, that file.

    Args:
        pattern: With a padding (``%04d``, ``####``) in its name.
        frame: The frame's number.
        view: What ``%V`` and ``%v`` stand for; empty where there are none.

    Raises:
        RequestError: It is no pattern and no file's path.
    """
    return posix_path(_sequence(pattern, view).path(frame))


def next_version(pattern: str, views: Iterable[str] = ()) -> str:
    """Return the pattern of the next version of which there is no file and no results index.

    Every ``v###`` in the path that equals the last one is counted up; a path without one gets
    ``_v002`` behind its name.

    Args:
        pattern: Of the results, with ``%V`` where views have files of their own.
        views: The views that must have nothing there; none where the pattern names no view.

    Raises:
        RequestError: It is no pattern and no file's path.
    """
    pattern, names = posix_path(pattern), tuple(views) or ("",)
    found = _VERSION.findall(pattern)
    now = found[-1] if found else ""
    number = int(now) if now else 1
    while True:
        number += 1
        text = f"v{number:0{len(now) or 3}d}"
        raised = _counted_up(pattern, now, text) if now else _with_version(pattern, text)
        if not any(_is_taken(_sequence(raised, view)) for view in names):
            return raised


def _counted_up(pattern: str, now: str, version: str) -> str:
    return _VERSION.sub(lambda found: version if found[1] == now else found[0], pattern)


def _sequence(pattern: str, view: str) -> Sequence:
    return Sequence.parse(expand_view(pattern, view) if view else posix_path(pattern))


def _is_taken(sequence: Sequence) -> bool:
    """Tell whether a file of the pattern, of any padding, or its results index is there."""
    try:
        names = os.listdir(sequence.folder or os.curdir)
    except OSError:
        return False
    index = os.path.basename(ResultsIndex.path_for(sequence.pattern))
    return any(name == index or sequence.digits_in(name) is not None for name in names)


def _with_version(pattern: str, version: str) -> str:
    folder, name = os.path.split(pattern)
    padding = PADDING.search(name)
    at = padding.start() if padding else len(os.path.splitext(name)[0])
    head = name[:at].rstrip("._")
    return posix_path(os.path.join(folder, f"{head}_{version}{name[len(head) :]}"))
