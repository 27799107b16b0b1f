"""The node: a Group of Nuke's own nodes, so that a script opens and renders without Kwaflux.

Owns what is inside the Group and its fixed knobs. Must not know effects, servers or renders. Main
thread only.
"""

from __future__ import annotations

from typing import Any

from kwaflux_nuke.host import nuke
from kwaflux_nuke.knobs import PREFIX

__all__ = ["MIX", "READ", "READY", "SIZE", "connect_mask", "create", "is_ours"]

READ, READY, MIX, SIZE = "KwResult", "KwReady", "KwMix", "KwSize"
"""Inside: the results on disk; the plate where there is none; mask and mix; the way around both
for results of another size."""

_NO_EFFECTS = "-\t(press Update effects)"
_BUTTON = """\
try:
    from kwaflux_nuke import buttons
except ImportError:
    nuke.message("Kwaflux is not installed here. The results that are on disk are shown.")
else:
    buttons.pressed("{name}")
"""
_HELP = (
    "Restores its input on a Kwaflux server. Where a frame has no result yet, where its result is "
    "out of date or has failed, the input is shown untouched. The results are plain EXR files, and "
    "everything in here is Nuke's own, so the script renders where Kwaflux is not installed."
)


def create() -> nuke.Group:
    """Make a node, connect it to the selected one, and select it; one step of undo."""
    above = nuke.selectedNodes()
    nuke.Undo.begin("Kwaflux")
    try:
        group: nuke.Group = nuke.nodes.Group(name="Kwaflux1")
        _add_inside(group)
        _add_knobs(group)
        if above:
            group.setInput(0, above[0])
            group.setXYpos(above[0].xpos(), above[0].ypos() + 80)
            if above[0].firstFrame() == above[0].lastFrame():
                group[f"{PREFIX}range"].setValue("still")
        for node in above:
            node.setSelected(False)
        group.setSelected(True)
    finally:
        nuke.Undo.end()
    return group


def is_ours(node: nuke.Node) -> bool:
    """Tell whether a node is one of ours."""
    return node.Class() == "Group" and node.knob(f"{PREFIX}panel") is not None


def connect_mask(group: nuke.Group) -> None:
    """Connect the mask inside where one is connected outside.

    An input of a group that nothing is connected to is black inside: a mask that lets nothing
    through.
    """
    mix, mask = group.node(MIX), group.node("mask")
    wanted = mask if group.input(1) is not None else None
    if mix is not None and mix.input(2) != wanted:
        mix.setInput(2, wanted)


def _add_inside(group: nuke.Group) -> None:
    with group:
        plate = nuke.nodes.Input(name="Input")
        nuke.nodes.Input(name="mask")
        read = nuke.nodes.Read(name=READ)
        for name, value in (("raw", True), ("localizationPolicy", "off"), ("on_error", "error")):
            read[name].setValue(value)
        ready = nuke.nodes.Switch(name=READY, inputs=[plate, read])
        mix = nuke.nodes.Merge2(name=MIX, inputs=[plate, ready])
        for name, value in (("operation", "copy"), ("also_merge", "all"), ("metainput", "A")):
            mix[name].setValue(value)
        size = nuke.nodes.Switch(name=SIZE, inputs=[mix, ready])
        output = nuke.nodes.Output(name="Output")
        output.setInput(0, size)


def _add_knobs(group: nuke.Group) -> None:
    group["help"].setValue(_HELP)
    group["label"].setValue(f"[value {PREFIX}status]")
    for knob, tooltip in _knobs():
        knob.setTooltip(tooltip)
        group.addKnob(knob)
    mix: Any = nuke.Link_Knob("mix", "mix")
    mix.makeLink(MIX, "mix")
    mix.setTooltip("How much of the result is seen; 0 is the plate.")
    group.addKnob(mix)
    group.addKnob(nuke.Enumeration_Knob(f"{PREFIX}effect", "effect", [_NO_EFFECTS]))


def _knobs() -> list[tuple[Any, str]]:
    """Return the fixed knobs in order, each with its tooltip."""
    return [
        (nuke.Tab_Knob("kwaflux", "Kwaflux"), ""),
        (_text("status", "", is_fixed=True), "What is going on."),
        _button("enhance_frame", "Enhance frame", "Enhance the current frame.", is_first=True),
        _button("enhance_range", "Enhance range", "Enhance what is missing or out of date."),
        _button("cancel", "Cancel", "Stop. Frames that are done stay done."),
        _button("reload", "Reload", "Look at the results on disk again.", is_first=True),
        _button("open_folder", "Open folder", "Show the results' folder."),
        _button("version_up", "Version up", "Go on with the next version; this one stays."),
        _button("update_effects", "Update effects", "Ask the server what it offers.", is_first=True),
        _button("farm_command", "Farm command", "Show the command for a farm."),
        _button("check", "Check the road", "Send a chart the way frames go, and compare."),
        (
            nuke.Enumeration_Knob(
                f"{PREFIX}range", "range", ["input", "script", "custom", "still"]
            ),
            "The input's range, the script's, the frames below, or one frame that stands for all.",
        ),
        (_text("frames", "frames"), "For a custom range: 1001-1100, 1001-1100x2, 1001,1005."),
        (_text("views", "views"), "With spaces between them; empty: all views of the script."),
        (_flag("redo", "redo frames that are done"), "Also enhance what is there and up to date."),
        (
            nuke.File_Knob(f"{PREFIX}output", "output"),
            "Where the results go: %V is the view, %04d the frame. Empty: beside the script.",
        ),
        (_text("colorspace", "colorspace"), "OCIO name of the plate; empty: the working space."),
        (
            nuke.Enumeration_Knob(f"{PREFIX}alpha", "alpha", ["premultiplied", "straight"]),
            "Whether the plate's color is multiplied with its alpha.",
        ),
        (_text("layer", "layer"), "Which layer is enhanced; empty: rgb. The others pass through."),
        (_text("flow", "flow", is_fixed=True), "What will be done, as text."),
        (_text("panel", "", is_hidden=True), "What the server offered, for when it is away."),
        (_text("graph", "", is_hidden=True), "What the tree above was when frames were made."),
    ]


def _text(name: str, label: str, *, is_fixed: bool = False, is_hidden: bool = False) -> Any:
    knob = nuke.String_Knob(f"{PREFIX}{name}", label)
    if is_fixed:
        knob.setFlag(nuke.READ_ONLY)
    if is_hidden:
        knob.setFlag(nuke.INVISIBLE)
    return knob


def _flag(name: str, label: str) -> Any:
    knob = nuke.Boolean_Knob(f"{PREFIX}{name}", label)
    knob.setFlag(nuke.STARTLINE)
    return knob


def _button(name: str, label: str, tooltip: str, *, is_first: bool = False) -> tuple[Any, str]:
    knob = nuke.PyScript_Knob(f"{PREFIX}{name}", label, _BUTTON.format(name=name))
    if is_first:
        knob.setFlag(nuke.STARTLINE)
    return knob, tooltip
