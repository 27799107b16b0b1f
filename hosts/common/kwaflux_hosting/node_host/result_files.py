"""Default paths of a node's results, and their state, per view.

Nothing compiled is imported.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from kwaflux_core.errors import HostError
from kwaflux_core.frames.frame_range import format_frames
from kwaflux_hosting.batch.file_patterns import (
    expand_view,
    frame_path,
    has_frame_number,
    is_known_everywhere,
    posix_path,
)
from kwaflux_hosting.batch.results_index import FrameStatus, RenderRequest, ResultsIndex

__all__ = [
    "check_pattern",
    "chosen_views",
    "default_pattern",
    "shown_frames",
    "statuses",
    "step_keys",
    "told",
]


def default_pattern(project: str, name: str, *, is_stereo: bool, home: Path | None = None) -> str:
    """Return where results go: beside the project, in a folder of its own.

    A project without a file, or in a folder that cannot be written, has its results in the home
    directory.

    Args:
        project: The project's file; empty: it was never saved.
        name: What the results are called.
        is_stereo: Whether each view has files of its own.
        home: The home directory.
    """
    home = home or Path.home()
    folder = Path(project).parent if project else home
    folder = folder if os.access(folder, os.W_OK) else home
    version, view = f"{name}_v001", ".%V" if is_stereo else ""
    stem = Path(project).stem or "unsaved"
    return posix_path(str(folder / "kwaflux" / stem / version / f"{version}{view}.%04d.exr"))


def check_pattern(pattern: str, views: Collection[str]) -> None:
    """Refuse a pattern that would write two pictures into one file, or that is no EXR.

    The host's own reader gets it as it stands, so the padding is one that every host knows, and it
    names no range.

    Raises:
        HostError: It would; the hint says what to add.
        RequestError: It is no pattern.
    """
    is_exr = pattern.lower().endswith(".exr") and has_frame_number(pattern)
    if not is_exr or not is_known_everywhere(pattern):
        raise HostError(f"the output {pattern} is not an EXR sequence", hint="write name.%04d.exr")
    if len({expand_view(pattern, view) for view in views}) < len(views):
        raise HostError(f"the output {pattern} is one file for all views", hint="put %V into it")


def statuses(
    pattern: str, views: Iterable[str], *, order: RenderRequest, source_key: str
) -> dict[str, dict[int, FrameStatus]]:
    """Return what a host should show of every frame that was ever done, of every view.

    Args:
        pattern: Of the results, with ``%V`` where views have files of their own.
        views: Which views.
        order: What is asked for now.
        source_key: What the source of every frame is now.
    """
    found: dict[str, dict[int, FrameStatus]] = {}
    for view in views:
        target = expand_view(pattern, view)
        record = ResultsIndex.load(target)
        found[view] = {
            n: record.status(n, frame_path(target, n), order=order, source_key=source_key)
            for n in record.entries
        }
    return found


def chosen_views(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the views that a text names, with spaces or commas between them; empty: all.

    Raises:
        HostError: One that there is not.
    """
    wanted = text.replace(",", " ").split() or known
    for view in wanted:
        if view not in known:
            raise HostError(f"the script has no view {view!r}", hint=f"it has {' '.join(known)}")
    return tuple(wanted)


def shown_frames(found: Mapping[str, Mapping[int, FrameStatus]]) -> dict[str, frozenset[int]]:
    """Return the frames of each view whose results may be shown, of what ``statuses`` says."""
    return {
        view: frozenset(n for n, state in states.items() if state in ("ready", "attention"))
        for view, states in found.items()
    }


def told(found: Mapping[str, Mapping[int, FrameStatus]]) -> str:
    """Return what ``statuses`` says as a sentence: ``1001-1050 ready, 1051 out of date``."""
    pairs = [(n, state) for states in found.values() for n, state in states.items()]
    ready, stale = (
        format_frames(sorted({n for n, state in pairs if state == word}))
        for word in ("ready", "stale")
    )
    return f"{ready or 'no frame'} ready" + (f", {stale} out of date" if stale else "")


def step_keys(frames: Collection[int], *, is_still: bool) -> dict[int, int]:
    """Return the keys of a step curve that is 1 at these frames and 0 elsewhere.

    Args:
        frames: Where it is 1.
        is_still: Whether any frame stands for all: then it is 1 everywhere.
    """
    if is_still or not frames:
        return {0: 1 if frames else 0}
    starts = {frame: 1 for frame in frames if frame - 1 not in frames}
    return {min(frames) - 1: 0, **starts, **{n + 1: 0 for n in frames if n + 1 not in frames}}
