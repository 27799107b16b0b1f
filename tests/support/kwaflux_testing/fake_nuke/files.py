"""How a fake Nuke reads and writes EXR: really, through the library, with Nuke's defaults.

The defaults are as lossy as the real ones: half float, RGB only, metadata left behind, converted
colors, at proxy scale when the script is.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any

import numpy as np

from kwaflux_core.errors import ImageError
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.read import read_exr, write_exr
from kwaflux_core.images.image import Image
from kwaflux_testing.fake_nuke.nodes import Node

__all__ = ["expanded", "read_frame", "span_of", "write_frame"]

_LOSSLESS = {
    "Zip (1 scanline)": "zips",
    "none": "none",
    "Zip (16 scanlines)": "zip",
    "RLE": "rle",
    "PIZ Wavelet (32 scanlines)": "piz",
    "B44": "b44",
    "B44A": "b44a",
    "DWAA": "dwaa",
    "DWAB": "dwab",
}
_LAYERS = {"rgb": ("R", "G", "B"), "rgba": ("R", "G", "B", "A"), "alpha": ("A",)}
_KEPT_BY_DEFAULT = ("timeCode", "framesPerSecond", "expTime")


def expanded(pattern: str, *, frame: float, view: str) -> str:
    """Return the name of one frame's file of one view."""
    name = pattern.replace("%V", view).replace("%v", view[:1])
    name = re.sub("#+", lambda match: str(int(frame)).zfill(len(match[0])), name)
    return re.sub(r"%0?(\d*)d", lambda match: str(int(frame)).zfill(int(match[1] or 1)), name)


def read_frame(node: Node, frame: float, view: str) -> Image:
    """Return the picture that a Read, or a Write that reads, shows."""
    knobs = node._knobs
    pattern = str(knobs["file"]._value)
    if node.Class() == "Read":
        first, last = knobs["first"]._value, knobs["last"]._value
        frame = min(max(frame, first), last)  # before and after hold
    path = expanded(pattern, frame=frame, view=view)
    node._session.reads.append(path)
    try:
        picture = read_exr(path)
    except ImageError as error:
        raise RuntimeError(f"{node.fullName()}: {path} cannot be read. {error}") from error
    return picture if knobs["raw"]._value else _converted(node, picture, factor=2.0)


def span_of(node: Node) -> tuple[int, int]:
    """Return the first and the last frame of a Read."""
    return int(node._knobs["first"]._value), int(node._knobs["last"]._value)


def write_frame(node: Node, frame: float, view: str) -> str:
    """Render one frame of a Write to its file; return the file's name."""
    knobs = {name: knob._value for name, knob in node._knobs.items()}
    pattern = str(knobs["file"])
    if not pattern or "\\" in pattern:
        raise RuntimeError(f"{node.fullName()}: cannot write {pattern!r}")
    if knobs["file_type"] != "exr" and not pattern.endswith(".exr"):
        raise RuntimeError(f"{node.fullName()}: unknown file type")
    path = expanded(pattern, frame=frame, view=view)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        if not knobs["create_directories"]:
            raise RuntimeError(f"{node.fullName()}: there is no folder {folder}")
        os.makedirs(folder)
    picture = _chosen(node._upstream(0)._picture(frame, view), str(knobs["channels"]))
    picture = _with_header(node, picture, str(knobs.get("metadata", "default metadata")))
    picture = picture if knobs["raw"] else _converted(node, picture, factor=0.5)
    if node._session.root["proxy"]._value:
        picture = _halved(picture)
    compression = _LOSSLESS[str(knobs.get("compression", "Zip (1 scanline)"))]
    is_half = knobs.get("datatype", "16 bit half") == "16 bit half"
    write_exr(path, _as_float(picture), compression=compression, half=is_half)
    return path


def _chosen(picture: Image, channels: str) -> Image:
    if channels == "all":
        return picture
    wanted = _LAYERS.get(channels, ())
    kept = {
        name: pixels
        for name, pixels in picture.part.channels.items()
        if name in wanted or name.partition(".")[0] == channels
    }
    if not kept:
        raise RuntimeError(f"there are no channels {channels!r}")
    return replace(picture, parts=(replace(picture.part, channels=kept),))


def _with_header(node: Node, picture: Image, metadata: str) -> Image:
    attributes: dict[str, Any] = {
        name: value
        for name, value in picture.part.attributes.items()
        if metadata == "all metadata" or name in _KEPT_BY_DEFAULT
    }
    attributes["nuke/node_hash"] = f"{node._session.hash_of(node._upstream(0)):x}"
    attributes["nuke/version"] = "15.1v3"
    return replace(picture, parts=(replace(picture.part, attributes=attributes),))


def _converted(node: Node, picture: Image, *, factor: float) -> Image:
    """Change color as a color conversion would, where the script is managed by OCIO."""
    knobs = node._knobs
    is_plain = node._session.root["colorManagement"]._value == "Nuke"
    if is_plain and knobs["colorspace"]._value in ("default", "linear"):
        return picture
    channels = {
        name: pixels * np.float32(factor) if name in ("R", "G", "B") else pixels
        for name, pixels in picture.part.channels.items()
    }
    return replace(picture, parts=(replace(picture.part, channels=channels),))


def _halved(picture: Image) -> Image:
    part = picture.part
    channels = {name: pixels[::2, ::2] for name, pixels in part.channels.items()}
    height, width = next(iter(channels.values())).shape
    window = Box.from_size(width, height)
    small = replace(part, channels=channels, data_window=window, display_window=window)
    return replace(picture, parts=(small,))


def _as_float(picture: Image) -> Image:
    """Return the picture as Nuke holds every channel: in 32-bit float."""
    channels = {name: pixels.astype(np.float32) for name, pixels in picture.part.channels.items()}
    return replace(picture, parts=(replace(picture.part, channels=channels),))
