"""Check that the frames a host rendered are complete: numbers, size, 32-bit float."""

from __future__ import annotations

import os
import re

from kwaflux_core.errors import FrameMissing, ImageUnreadable, ImageUnsupported
from kwaflux_core.frames.frame_range import format_frames
from kwaflux_core.images.exr.header import read_layout

__all__ = ["rendered_pattern"]

_NUMBERED = re.compile(r"(.*?)([0-9]+)(\.exr)", re.IGNORECASE)


def rendered_pattern(folder: str, *, first: int, last: int, size_px: tuple[int, int]) -> str:
    """Return the pattern (``name_%08d.exr``) of the EXR sequence that lies in a folder.

    Args:
        folder: Where nothing but these frames was written.
        first: The number that the first must have.
        last: The last, which belongs to them.
        size_px: Width and height that each must have.

    Raises:
        FrameMissing: Frames are missing, or there are others.
        ImageUnsupported: A frame is not of 32-bit float RGB, or of another size.
        ImageUnreadable: A frame is no whole EXR header.
    """
    matches = [_NUMBERED.fullmatch(name) for name in sorted(os.listdir(folder))]
    found = {int(match[2]): match for match in matches if match is not None}
    wanted = set(range(first, last + 1))
    if found.keys() != wanted:
        raise FrameMissing(
            f"the render should have the frames {first}-{last} and has "
            f"{format_frames(sorted(found)) or 'none'}",
            hint="check the host's render settings; nothing was enhanced",
            path=folder,
        )
    if len({(match[1], len(match[2])) for match in found.values()}) != 1:
        raise FrameMissing(f"{folder} holds more than one sequence", hint="render again")
    for match in found.values():
        _check(os.path.join(folder, match[0]), size_px=size_px)
    head = found[first]
    return os.path.join(folder, f"{head[1]}%0{len(head[2])}d{head[3]}").replace("\\", "/")


def _check(path: str, *, size_px: tuple[int, int]) -> None:
    try:
        with open(path, "rb") as stream:
            part = read_layout(stream, label=path).parts[0]
    except OSError as error:
        raise ImageUnreadable(f"{path} cannot be read: {error.strerror}", path=path) from error
    types = {channel.name: channel.pixel_type for channel in part.channels}
    if not {"R", "G", "B"} <= types.keys() or any(types[name] != "float" for name in "RGB"):
        held = ", ".join(f"{name} {kind}" for name, kind in types.items())
        raise ImageUnsupported(
            f"{path} holds {held}: RGB in 32-bit float is required",
            hint="highlights and blacks would be lost; nothing was enhanced",
            path=path,
        )
    left, top, right, bottom = part.display_window
    size = (right - left + 1, bottom - top + 1)
    if size != size_px:
        raise ImageUnsupported(
            f"{path} is {size[0]} x {size[1]}, and the source {size_px[0]} x {size_px[1]}",
            hint="the host scaled it; nothing was enhanced",
            path=path,
        )
