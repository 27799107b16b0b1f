"""The node: a Group of Nuke's own nodes, so that a script opens and renders without Kwaflux.

The nodes of the Group and its fixed knobs are listed in ``node.json``. Main thread only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kwaflux_nuke.knobs import PREFIX
from kwaflux_nuke.nuke_api import nuke

__all__ = ["MIX", "READ", "READY", "SIZE", "connect_mask", "create", "is_ours"]

READ, READY, MIX, SIZE = "KwResult", "KwReady", "KwMix", "KwSize"
"""Inside: the results on disk; the plate where there is none; mask and mix; the way around both
for results of another size."""


def create() -> nuke.Group:
    """Make a node, connect it to the selected one, and select it; one step of undo."""
    above = nuke.selectedNodes()
    nuke.Undo.begin("Kwaflux")
    try:
        group: nuke.Group = nuke.nodes.Group(name="Kwaflux1")
        _fill(group, json.loads((Path(__file__).parent / "node.json").read_text(encoding="utf-8")))
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
    """Connect the mask inside where one is outside: else it may be black, and hide all."""
    mix, mask = group.node(MIX), group.node("mask")
    wanted = mask if group.input(1) is not None else None
    if mix is not None and mix.input(2) != wanted:
        mix.setInput(2, wanted)


def _fill(group: nuke.Group, said: Mapping[str, Any]) -> None:
    group["help"].setValue(said["help"])
    group["label"].setValue(said["label"])
    with group:
        for entry in said["nodes"]:
            node = getattr(nuke.nodes, entry["kind"])(name=entry["name"])
            for index, name in enumerate(entry.get("inputs", ())):
                node.setInput(index, group.node(name))
            for name, value in entry.get("knobs", {}).items():
                node[name].setValue(value)
    for entry in said["knobs"]:
        rest = [entry["values"]] if "values" in entry else []
        if entry["kind"] == "PyScript_Knob":
            button = entry["name"][len(PREFIX) :]
            rest = ["\n".join(said["press"]).replace("{name}", button)]
        knob = getattr(nuke, entry["kind"])(entry["name"], entry["label"], *rest)
        knob.setTooltip(entry["tooltip"])
        if "flag" in entry:
            knob.setFlag(getattr(nuke, entry["flag"]))
        if "link" in entry:
            knob.makeLink(*entry["link"].split("."))
        group.addKnob(knob)
