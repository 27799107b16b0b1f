"""The node's knobs: an effect's controls, and the request of their values. Main thread only."""

from __future__ import annotations

import os
import re
from typing import Any

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_hosting.batch.results_index import RenderRequest
from kwaflux_hosting.panel.controls import Control, EffectEntry
from kwaflux_hosting.panel.panel import Panel
from kwaflux_nuke.nuke_api import nuke, undo_off

__all__ = [
    "PREFIX",
    "fill",
    "flow_of",
    "panel_of",
    "put",
    "request_of",
    "server_environ",
    "set_knob",
    "show_chosen",
    "tell",
    "text",
    "working_space",
]  # fmt: skip

PREFIX = "kw_"
"""How the names of all our knobs begin."""

_NUKES_OWN = "Linear Rec.709 (sRGB)"
_ROLE = re.compile(r"\((.+)\)\s*$")
_GONE = " (not on this server)"


def text(group: nuke.Group, name: str) -> str:
    """Return what one of our knobs says, without the label of a choice."""
    return str(group[PREFIX + name].value() or "").partition("\t")[0].strip()


def set_knob(node: nuke.Node, name: str, value: str | float) -> None:
    """Set a knob where it says something else: one that is set dirties the script."""
    if node[name].value() != value:
        node[name].setValue(value)


def put(group: nuke.Group, name: str, value: str) -> None:
    """Write into one of our own knobs; nobody wants to undo that."""
    with undo_off():
        set_knob(group, PREFIX + name, value)


def tell(group: nuke.Group, status: str) -> None:
    """Write the status line."""
    put(group, "status", status)


def fill(group: nuke.Group, panel: Panel) -> None:
    """Give the node the effects of a server; what a person has set stays set.

    An effect that is chosen and that the server lacks stays chosen, and says so.
    """
    with undo_off():
        before = panel_of(group)
        kept = text(group, "effect") if before is not None else panel.choices[0].id
        gone = [kept] if all(choice.id != kept for choice in panel.choices) else []
        if before is not None and gone:
            panel = Panel((*panel.choices, before.choice(kept)), panel.server_version)
        labels = [f"{c.id}\t{c.label}{_GONE if c.id in gone else ''}" for c in panel.choices]
        group[f"{PREFIX}effect"].setValues(labels)  # type: ignore[attr-defined]
        group[f"{PREFIX}effect"].setValue(kept)
        put(group, "panel", panel.to_json())
        for choice in panel.choices:
            for control in choice.controls:
                _ensure(group, choice, control)
    show_chosen(group)


def panel_of(group: nuke.Group) -> Panel | None:
    """Return the panel that the script keeps; None where none was ever filled in."""
    stored = text(group, "panel")
    return Panel.from_json(stored) if stored else None


def show_chosen(group: nuke.Group) -> None:
    """Show the knobs of the entry that is picked, hide the others', and write the flow down."""
    panel, picked = panel_of(group), text(group, "effect")
    if panel is None:
        return
    for choice in panel.choices:
        for control in choice.controls:
            group[_name(choice, control)].setVisible(choice.id == picked)
    group[f"{PREFIX}effect"].setTooltip(panel.choice(picked).help)
    try:
        put(group, "flow", flow_of(group))
    except KwafluxError as error:
        put(group, "flow", f"(not a flow yet: {error.message.splitlines()[0]})")


def flow_of(group: nuke.Group) -> str:
    """Return the flow that the knobs say.

    Raises:
        HostError: The node has never heard from a server.
        FlowError: A value that the effect does not accept, or a text that is no flow.
    """
    panel = panel_of(group)
    if panel is None:
        raise HostError("no effects are known yet", hint="start the server, press Update effects")
    choice = panel.choice(text(group, "effect"))
    values = {c.name: _plain(group[_name(choice, c)].value()) for c in choice.controls}
    return panel.flow_text(choice.id, values)


def request_of(group: nuke.Group) -> RenderRequest:
    """Return what is asked of the server for every frame; raises what ``flow_of`` raises."""
    return RenderRequest(
        flow=flow_of(group),
        options=RenderOptions(
            colorspace=text(group, "colorspace") or working_space(),
            alpha="straight" if text(group, "alpha") == "straight" else "premultiplied",
            layer=text(group, "layer"),
        ),
    )


def working_space() -> str:
    """Return the OCIO name of the script's working space.

    Nuke's own color management works in linear light and never touches the primaries, which its
    viewers show as Rec.709's: that is the name it has in OCIO. A role stands for the space that
    Nuke shows behind it, for another config may give it another one.

    Raises:
        HostError: The script does not say, or works in something that may not be linear.
    """
    space = nuke.root().knob("workingSpaceLUT")
    name, _, label = str(space.value() if space is not None else "").partition("\t")
    if str(nuke.root()["colorManagement"].value()) == "OCIO" and name:
        entries = [str(entry).partition("\t") for entry in space.values()]  # type: ignore[union-attr]
        behind = _ROLE.search(label or next((text for at, _, text in entries if at == name), ""))
        return behind[1] if behind else name
    if name == "linear":
        return _NUKES_OWN
    raise HostError(
        f"the script's working space is {name or 'not named'}, which may not be linear light",
        hint="write its OCIO name into the node's colorspace knob",
    )


def server_environ() -> dict[str, str]:
    """Return the environment for a server that is started: with the script's own OCIO config.

    The environment wins, as it does in Nuke.
    """
    root = nuke.root()
    names = str(root["colorManagement"].value()), str(root["OCIO_config"].value())
    config = root["customOCIOConfigPath"].value() if names == ("OCIO", "custom") else ""
    return {**({"OCIO": str(config)} if config else {}), **os.environ}


def _name(choice: EffectEntry, control: Control) -> str:
    return f"{PREFIX}{choice.id}_{control.name}"


def _ensure(group: nuke.Group, choice: EffectEntry, control: Control) -> None:
    """Make a control's knob, or bring what it says of itself up to date."""
    name = _name(choice, control)
    knob: Any = group.knob(name)
    if knob is None:
        knob = _made(name, control)
        for flag in (nuke.NO_ANIMATION, nuke.STARTLINE):
            knob.setFlag(flag)
        group.addKnob(knob)
        knob.setValue(control.default)
    elif control.kind == "choice":
        held = knob.value()
        knob.setValues(list(control.choices))
        knob.setValue(held)
    if control.maximum is not None:
        knob.setRange(control.display_minimum, control.display_maximum)
    limits = f" ({control.minimum:g} to {control.maximum:g})" if control.maximum is not None else ""
    knob.setTooltip(control.help + limits)


def _made(name: str, control: Control) -> Any:
    if control.kind == "choice":
        return nuke.Enumeration_Knob(name, control.label, list(control.choices))
    kinds = {"double": nuke.Double_Knob, "int": nuke.Int_Knob, "boolean": nuke.Boolean_Knob}
    return kinds.get(control.kind, nuke.String_Knob)(name, control.label)


def _plain(value: object) -> object:
    """Return a slider's number as a person reads it: 0.6, and not 0.60000002384."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
