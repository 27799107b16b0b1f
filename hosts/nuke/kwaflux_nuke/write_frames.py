"""Lossless frames from Nuke: a temporary Write, rendered frame by frame.

Main thread only.
"""

from __future__ import annotations

import os
from typing import Any

from kwaflux_core.errors import Cancelled, HostError
from kwaflux_hosting.batch.file_patterns import frame_path
from kwaflux_nuke.knobs import set_knob
from kwaflux_nuke.nuke_api import nuke, undo_off

__all__ = ["is_busy", "picture_bytes", "render_frame", "render_through_write"]

_NAME = "KwExchange"
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
    ("use_limit", (True,), False),
)


def render_frame(
    group: nuke.Group, frame: int, *, pattern: str, view: str, plate: nuke.Node | None = None
) -> None:
    """Render one frame losslessly, of the node's plate or another; leave no trace in the script.

    The Write is there for this frame alone: one that stayed would be rendered by whoever renders
    all Writes of the script. Undo, proxy mode and the script's "modified" stay as they were.

    Raises:
        Cancelled: The person pressed Cancel.
        HostError: Nuke could not, in its own words, or its Write cannot be lossless.
    """
    root = nuke.root()
    was_proxy, was_modified = bool(root["proxy"].value()), bool(root.modified())
    with undo_off():
        try:
            set_knob(root, "proxy", False)
            write = _made(group, plate or group.node("Input"))
            for name, value in {
                "file": pattern,
                "views": view,
                "first": frame,
                "last": frame,
            }.items():
                write[name].setValue(value)
            _execute(write, frame, view=view)
        finally:
            nuke.delete(group.node(_NAME))
            set_knob(root, "proxy", was_proxy)
            if not was_modified:
                root.setModified(False)
    path = frame_path(pattern, frame, view=view)
    if not os.path.isfile(path) or not os.path.getsize(path):
        raise HostError("Nuke rendered no file", hint=f"it should be {path}")


def render_through_write(
    group: nuke.Group, source: str, target: str, frames: tuple[int, ...]
) -> None:
    """Read the frames of a pattern and write them as a plate is written."""
    with undo_off():
        with group:
            read = nuke.nodes.Read(name="KwChart", raw=True, first=frames[0], last=frames[-1])
        try:
            read["file"].setValue(source)
            for frame in frames:
                render_frame(group, frame, pattern=target, view=nuke.views()[0], plate=read)
        finally:
            nuke.delete(read)


def is_busy() -> bool:
    """Tell whether Nuke renders right now: another render would be refused."""
    return bool(nuke.executing())


def picture_bytes(group: nuke.Group) -> int:
    """Return about how many bytes a frame of the plate takes, unpacked: four a channel."""
    plate = group.input(0)
    if plate is None:
        return 0
    return 4 * plate.width() * plate.height() * max(len(plate.channels()), 3)


def _execute(write: nuke.Node, frame: int, *, view: str) -> None:
    try:
        nuke.execute(write, frame, frame, 1, [view])
    except Exception as error:
        text = str(error).strip() or type(error).__name__
        # Versions differ in the class of what Cancel raises.
        if type(error).__name__ == "CancelledError" or text[:9].lower() == "cancelled":
            raise Cancelled("the render was cancelled") from error
        raise HostError(text.splitlines()[0], hint="check the tree above the node") from error


def _made(group: nuke.Group, plate: nuke.Node | None) -> nuke.Node:
    nuke.delete(group.node(_NAME))  # of a session that crashed
    with group:
        write = nuke.nodes.Write(name=_NAME)
    write.setInput(0, plate)
    for name, values, is_needed in _KNOBS:
        knob: Any = write.knob(name)
        if knob is None and not is_needed:
            continue
        for value in values if knob is not None else ():
            knob.setValue(value)
            if knob.value() == value:
                break  # Nuke ignores values that it does not know.
        else:
            raise HostError(
                f"this Nuke's Write has no {name} {' or '.join(map(str, values))}",
                hint="frames would not be lossless; please report the version of Nuke",
            )
    return write
