"""The kinds of node a fake Nuke has: their knobs, and what they compute.

The knobs of Read and Write, their defaults and choices are those of a scan of Nuke 17.0v3
(github.com/kirkjr2/nuke-python-reference); a Write grows its codec's knobs when it is told its
``file_type``, and loses them with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kwaflux_core.images.image import Image, Part
from kwaflux_testing.fake_nuke.files import read_frame, span_of
from kwaflux_testing.fake_nuke.knobs import Knob
from kwaflux_testing.fake_nuke.nodes import Node

__all__ = ["KINDS", "Kind"]


def _pass(node: Node, frame: float, view: str) -> Image:
    return node._upstream(0)._picture(frame, view)


def _span_of_input(node: Node) -> tuple[int, int]:
    return node._upstream(0)._span() if node._inputs else (1, 1)


def _nothing(node: Node, knob: Knob) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Kind:
    """Describe one class of node."""

    name: str
    inputs_max: int = 1
    knobs: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    picture: Callable[[Node, float, str], Image] = _pass
    span: Callable[[Node], tuple[int, int]] = _span_of_input
    changed: Callable[[Node, Knob], None] = _nothing


_FILE_TYPES = [" ", "cin", "dpx", "exr", "jpeg", "mov\t\t\tffmpeg", "png", "tiff"]
_EXR_KNOBS: Mapping[str, tuple[str, Any]] = {
    "datatype": ("Enumeration_Knob", ["16 bit half", "32 bit float"]),
    "compression": (
        "Enumeration_Knob",
        [
            "Zip (1 scanline)",
            "none",
            "Zip (16 scanlines)",
            "PIZ Wavelet (32 scanlines)",
            "RLE",
            "B44",
            "B44A",
            "DWAA",
            "DWAB",
        ],
    ),
    "metadata": (
        "Enumeration_Knob",
        ["default metadata", "no metadata", "default metadata and exr/*", "all metadata",
         "all metadata except input/*"],
    ),
    "noprefix": ("Boolean_Knob", False),
    "interleave": (
        "Enumeration_Knob",
        ["channels, layers and views", "channels and layers", "channels"],
    ),
    "autocrop": ("Boolean_Knob", False),
    "write_ACES_compliant_EXR": ("Boolean_Knob", False),
    "checkHashOnRead": ("Boolean_Knob", True),
}  # fmt: skip
_COLORSPACES = ["default", "linear", "sRGB", "rec709", "Cineon"]
_WRITE: Mapping[str, tuple[str, Any]] = {
    "channels": ("ChannelMask_Knob", "rgb"),
    "file": ("File_Knob", ""),
    "proxy": ("File_Knob", ""),
    "frame_mode": ("Enumeration_Knob", ["expression", "start at", "offset"]),
    "frame": ("String_Knob", ""),
    "views": ("MultiView_Knob", "main"),
    "file_type": ("Enumeration_Knob", _FILE_TYPES),
    "colorspace": ("Enumeration_Knob", _COLORSPACES),
    "raw": ("Boolean_Knob", False),
    "premultiplied": ("Boolean_Knob", False),
    "transformType": ("Enumeration_Knob", ["colorspace", "display"]),
    "create_directories": ("Boolean_Knob", False),
    "render_order": ("Array_Knob", 1.0),
    "use_limit": ("Boolean_Knob", False),
    "first": ("Array_Knob", 1.0),
    "last": ("Array_Knob", 1.0),
    "reading": ("Boolean_Knob", False),
    "on_error": ("Enumeration_Knob", ["error", "black", "checkerboard", "read input"]),
}
_READ: Mapping[str, tuple[str, Any]] = {
    "file": ("File_Knob", ""),
    "proxy": ("File_Knob", ""),
    "localizationPolicy": (
        "Enumeration_Knob",
        ["fromAutoLocalizePath\tfrom auto-localize path", "on", "onDemand\ton demand", "off"],
    ),
    "first": ("Int_Knob", 1),
    "last": ("Int_Knob", 1),
    "origfirst": ("Int_Knob", 1),
    "origlast": ("Int_Knob", 1),
    "before": ("Enumeration_Knob", ["hold", "loop", "bounce", "black"]),
    "after": ("Enumeration_Knob", ["hold", "loop", "bounce", "black"]),
    "frame_mode": ("Enumeration_Knob", ["expression", "start at", "offset"]),
    "frame": ("String_Knob", ""),
    "on_error": ("Enumeration_Knob", ["error", "black", "checkerboard", "nearest frame"]),
    "colorspace": ("Enumeration_Knob", _COLORSPACES),
    "raw": ("Boolean_Knob", False),
    "premultiplied": ("Boolean_Knob", False),
    "reload": ("Script_Knob", "knob version [expr [value version]+1]"),
    "version": ("Int_Knob", 0),
}
_ROOT: Mapping[str, tuple[str, Any]] = {
    "first_frame": ("Double_Knob", 1.0),
    "last_frame": ("Double_Knob", 100.0),
    "fps": ("Double_Knob", 24.0),
    "proxy": ("Boolean_Knob", False),
    "views": ("String_Knob", "main"),
    "colorManagement": ("Enumeration_Knob", ["Nuke", "OCIO"]),
    "OCIO_config": (
        "Enumeration_Knob",
        ["nuke-default", "fn-nuke_cg-config-v1.0.0_aces-v1.3_ocio-v2.1", "custom"],
    ),
    "customOCIOConfigPath": ("File_Knob", ""),
    "workingSpaceLUT": (
        "Enumeration_Knob",
        ["linear", "scene_linear\tscene_linear (ACEScg)", "ACEScg", "ACES - ACEScg", "Studio Lin"],
    ),
    "floatLut": ("Enumeration_Knob", ["linear", "sRGB"]),
}


def _write_changed(node: Node, knob: Knob) -> None:
    """Give a Write the knobs of its codec, fresh ones, and take the former codec's away."""
    if knob._name != "file_type":
        return
    for name in _EXR_KNOBS:
        node._knobs.pop(name, None)
    if knob._value == "exr":
        for name, (kind, value) in _EXR_KNOBS.items():
            node._grow(name, kind, value)


def _write(node: Node, frame: float, view: str) -> Image:
    if not node._knobs["reading"]._value:
        return _pass(node, frame, view)
    try:
        return read_frame(node, frame, view)
    except RuntimeError:
        if node._knobs["on_error"]._value == "read input":
            return _pass(node, frame, view)
        raise


def _switch(node: Node, frame: float, view: str) -> Image:
    which = node._knobs["which"].getValueAt(frame, 0, view)  # type: ignore[attr-defined]
    index = min(max(int(which + 0.5), 0), len(node._inputs) - 1)
    return node._upstream(index)._picture(frame, view)


def _time_offset(node: Node, frame: float, view: str) -> Image:
    return node._upstream(0)._picture(frame - node._knobs["time_offset"]._value, view)


def _offset_span(node: Node) -> tuple[int, int]:
    offset = int(node._knobs["time_offset"]._value)
    first, last = _span_of_input(node)
    return first + offset, last + offset


def _hold(node: Node, frame: float, view: str) -> Image:
    return node._upstream(0)._picture(node._knobs["firstFrame"]._value, view)


def _multiply(node: Node, frame: float, view: str) -> Image:
    value = np.float32(node._knobs["value"]._value)
    return _with_color(_pass(node, frame, view), lambda pixels: pixels * value)


def _with_color(picture: Image, change: Callable[[Any], Any]) -> Image:
    channels = {
        name: change(pixels) if name in ("R", "G", "B") else pixels
        for name, pixels in picture.part.channels.items()
    }
    return replace(picture, parts=(replace(picture.part, channels=channels),))


def _merge(node: Node, frame: float, view: str) -> Image:
    """Copy A over B through the mask and the mix; of one size, or Nuke's own rules begin."""
    knobs = node._knobs
    if knobs["operation"]._value != "copy":
        raise RuntimeError("only copy is modeled")
    below = node._upstream(0)._picture(frame, view)
    above = node._upstream(1)._picture(frame, view)
    mix = float(knobs["mix"]._value)
    mask_node = node._inputs[2] if len(node._inputs) > 2 else None
    if mask_node is None and mix == 1:
        return above
    mask: Any = np.float32(mix)
    if mask_node is not None:
        mask = _matte(mask_node, frame, view) * np.float32(mix)
    if above.part.data_window != below.part.data_window:
        raise RuntimeError("a merge of pictures of two sizes is not modeled")
    is_all = knobs["also_merge"]._value == "all"
    channels = dict(below.part.channels)
    for name, pixels in above.part.channels.items():
        under = channels.get(name, np.zeros_like(pixels))
        if is_all or name in ("R", "G", "B", "A"):
            channels[name] = (pixels * mask + under * (1 - mask)).astype(pixels.dtype)
    source = above if knobs["metainput"]._value == "A" else below
    part: Part = replace(source.part, channels=channels)
    return replace(source, parts=(part,))


def _matte(node: Node, frame: float, view: str) -> Any:
    """Return the mask's alpha; an input of a group that nothing is connected to is black."""
    group = node._parent
    if node.Class() == "Input" and group is not None:
        number = int(node._knobs["number"]._value)
        if number >= len(group._inputs) or group._inputs[number] is None:
            return np.float32(0)
    return node._picture(frame, view).part.channels["A"]


def _input(node: Node, frame: float, view: str) -> Image:
    group = node._parent
    assert group is not None
    return group._upstream(int(node._knobs["number"]._value))._picture(frame, view)


def _input_span(node: Node) -> tuple[int, int]:
    group = node._parent
    assert group is not None
    number = int(node._knobs["number"]._value)
    return group._upstream(number)._span() if number < len(group._inputs) else (1, 1)


def _made(node: Node, frame: float, view: str) -> Image:
    make = node._session.plates[node.name()]
    return make(frame, view)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("Root", 0, _ROOT),
        Kind("Group", 0),
        Kind("Input", 0, {"number": ("Int_Knob", 0)}, _input, _input_span),
        Kind("Output", 1),
        Kind("Read", 0, _READ, read_frame, span_of),
        Kind("Write", 1, _WRITE, _write, changed=_write_changed),
        Kind("Switch", 10, {"which": ("Array_Knob", 0.0)}, _switch),
        Kind("TimeOffset", 1, {"time_offset": ("Array_Knob", 0.0)}, _time_offset, _offset_span),
        Kind("FrameHold", 1, {"firstFrame": ("Array_Knob", 0.0)}, _hold),
        Kind("Multiply", 1, {"value": ("Double_Knob", 1.0)}, _multiply),
        Kind("Dot", 1),
        Kind("NoOp", 1),
        Kind("Viewer", 10),
        Kind("CheckerBoard2", 0, {}, _made, lambda node: (1, 100)),
        Kind(
            "Merge2",
            3,
            {
                "operation": ("Enumeration_Knob", ["over", "copy", "plus"]),
                "mix": ("Double_Knob", 1.0),
                "also_merge": ("ChannelMask_Knob", "none"),
                "metainput": ("Enumeration_Knob", ["B", "A", "All"]),
                "bbox": ("Enumeration_Knob", ["union", "intersection", "A", "B"]),
                "maskChannelMask": ("Channel_Knob", "alpha"),
            },
            _merge,
        ),
    )
}
"""Every kind under its name; ``CheckerBoard2`` shows what a test puts in ``session.plates``."""
