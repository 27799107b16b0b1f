"""Frames out of Nuke: a temporary Write that loses nothing, rendered frame by frame.

Owns the Write's knobs and their order, and what must be as it was afterwards: proxy, undo, the
nodes. Must not know servers or results. Main thread only.
"""

from __future__ import annotations

import os
from typing import Any

from kwaflux_core.errors import Cancelled, HostError
from kwaflux_core.hosting.hop import frame_path
from kwaflux_nuke.host import is_cancelled_by_person, nuke, undo_off

__all__ = ["HOP_NAME", "is_busy", "picture_bytes", "render_frame"]

HOP_NAME = "KwHop"
"""The name of the Write, while there is one."""

_KNOBS: tuple[tuple[str, tuple[Any, ...], bool], ...] = (
    # Name, values in the order of preference, whether Nuke must have it. The codec's knobs are not
    # there before file_type is set, so that comes first.
    ("file_type", ("exr",), True),
    ("channels", ("all",), True),
    ("datatype", ("32 bit float",), True),
    ("compression", ("Zip (1 scanline)", "none", "Zip (16 scanlines)", "Zip (16 scanline)"), True),
    ("metadata", ("all metadata",), True),
    ("interleave", ("channels, layers and views",), False),
    ("autocrop", (False,), False),
    ("write_ACES_compliant_EXR", (False,), False),
    ("raw", (True,), True),
    ("transformType", ("colorspace",), False),
    ("premultiplied", (False,), False),
    ("create_directories", (True,), True),
    ("render_order", (1,), False),
)
_FLOAT_BYTES = 4


def render_frame(group: nuke.Group, frame: int, *, pattern: str, view: str) -> None:
    """Render one frame of the node's plate losslessly; leave no trace in the script.

    The Write is there for this frame alone: one that stayed would be rendered by whoever renders
    all Writes of the script. The undo stack, proxy mode and the script's "modified" stay as they
    were, and nothing is left changed while a person works between two frames.

    Raises:
        Cancelled: The person pressed Cancel.
        HostError: Nuke could not render it (its own words), or lacks a knob or a value that a
            lossless file needs.
    """
    root = nuke.root()
    was_proxy, was_modified = bool(root["proxy"].value()), bool(root.modified())
    write: nuke.Node | None = None
    with undo_off():
        try:
            if was_proxy:
                root["proxy"].setValue(False)
            write = _made(group, pattern=pattern, view=view)
            write["use_limit"].setValue(True)
            write["first"].setValue(frame)
            write["last"].setValue(frame)
            _execute(write, frame, view=view)
        finally:
            nuke.delete(write)
            if was_proxy:
                root["proxy"].setValue(True)
            if not was_modified:
                root.setModified(False)
    path = frame_path(pattern, frame, view=view)
    if not os.path.isfile(path) or not os.path.getsize(path):
        raise HostError("Nuke rendered no file", hint=f"it should be {path}")


def is_busy() -> bool:
    """Tell whether Nuke renders right now: another render would be refused."""
    return bool(nuke.executing())


def picture_bytes(group: nuke.Group) -> int:
    """Return about how many bytes a frame of the plate takes, unpacked."""
    plate = group.input(0)
    if plate is None:
        return 0
    return plate.width() * plate.height() * max(len(plate.channels()), 3) * _FLOAT_BYTES


def _execute(write: nuke.Node, frame: int, *, view: str) -> None:
    try:
        nuke.execute(write, frame, frame, 1, [view])
    except Exception as error:
        if is_cancelled_by_person(error):
            raise Cancelled("the render was cancelled") from error
        text = str(error).strip() or type(error).__name__
        raise HostError(text.splitlines()[0], hint="look at the tree above the node") from error


def _made(group: nuke.Group, *, pattern: str, view: str) -> nuke.Node:
    nuke.delete(group.node(HOP_NAME))  # of a session that crashed
    with group:
        write = nuke.nodes.Write(name=HOP_NAME)
    try:
        write.setInput(0, group.node("Input"))
        for name, values, is_needed in _KNOBS:
            _set(write, name, values, is_needed=is_needed)
        write["file"].setValue(pattern)
        write["views"].setValue(view)
    except BaseException:
        nuke.delete(write)
        raise
    return write


def _set(write: nuke.Node, name: str, values: tuple[Any, ...], *, is_needed: bool) -> None:
    """Set a knob to the first value that it takes; Nuke ignores those that it does not know."""
    knob = write.knob(name)
    if knob is None and not is_needed:
        return
    for value in values if knob is not None else ():
        knob.setValue(value)
        if knob.value() == value:
            return
    raise HostError(
        f"this Nuke's Write has no {name} {' or '.join(map(str, values))}",
        hint="frames would lose something on the way; please report the version of Nuke",
    )
