"""Where a host's results lie when nobody says, and what is known of them, view by view.

Owns the default place, the check of an output pattern, the next version of all views, and the
states of a pattern's frames. Must not know a host or a server. Nothing compiled is imported.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from kwaflux_core.errors import HostError
from kwaflux_core.hosting.hop import (
    FrameStatus,
    Order,
    Record,
    expand_view,
    frame_path,
    has_frame_number,
    next_version,
    slashed,
)

__all__ = ["check_pattern", "default_pattern", "next_version_of", "statuses"]


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
    return slashed(str(folder / "kwaflux" / stem / version / f"{version}{view}.%04d.exr"))


def check_pattern(pattern: str, views: Collection[str]) -> None:
    """Refuse a pattern that would write two pictures into one file, or that is no EXR.

    Raises:
        HostError: It would; the hint says what to add.
    """
    if not pattern.lower().endswith(".exr") or not has_frame_number(pattern):
        raise HostError(f"the output {pattern} is no EXR sequence", hint="write name.%04d.exr")
    if len({expand_view(pattern, view) for view in views}) < len(views):
        raise HostError(f"the output {pattern} is one file for all views", hint="put %V into it")


def next_version_of(pattern: str, views: Iterable[str]) -> str:
    """Return the pattern of the next version that no view has results of."""
    names = tuple(views)
    while True:
        pattern = next_version(pattern)
        targets = [expand_view(pattern, view) for view in names]
        if not any(os.path.exists(Record.path_for(target)) for target in targets):
            return pattern


def statuses(
    pattern: str, views: Iterable[str], *, order: Order, source_key: str
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
        record = Record.load(target)
        found[view] = {
            n: record.status(n, frame_path(target, n), order=order, source_key=source_key)
            for n in record.entries
        }
    return found
