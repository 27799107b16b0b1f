"""Callbacks of the node's buttons and of ``knobChanged``, in the main thread."""

from __future__ import annotations

import os
import time
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_core.frames.frame_range import format_frames
from kwaflux_hosting.batch.file_patterns import expand_view, next_version
from kwaflux_hosting.node_host.enhance import opener
from kwaflux_hosting.node_host.result_files import told
from kwaflux_hosting.panel.panel import Panel
from kwaflux_hosting.roundtrip_check.compare import run_check
from kwaflux_hosting.roundtrip_check.support_bundle import write_bundle
from kwaflux_hosting.server_link.local_server import connect
from kwaflux_nuke import knobs, read_nodes
from kwaflux_nuke.enhance import Enhancement, requested_frames, running
from kwaflux_nuke.node import connect_mask, create, is_ours
from kwaflux_nuke.nuke_api import beside, nuke, on_main, say
from kwaflux_nuke.write_frames import render_through_write

__all__ = ["knob_changed", "make_node", "pressed", "update_effects", "updated"]

_LOOK_S = 1.0
_looked_s: dict[str, float] = {}


def make_node() -> nuke.Group:
    """Make a node, and fill it as soon as a server has said what it offers."""
    group = create()
    update_effects(group)
    return group


def pressed(name: str) -> None:
    """Do what the button of ``nuke.thisNode()`` says; an error becomes a sentence."""
    group: Any = nuke.thisNode()
    try:
        _BUTTONS[name](group)
    except KwafluxError as error:
        knobs.tell(group, str(error))
        say(str(error))


def update_effects(group: nuke.Group) -> None:
    """Ask the server what it offers, in a thread; without windows, before this returns."""
    environ = knobs.server_environ()

    def tell(text: str) -> None:
        on_main(lambda: knobs.tell(group, text))

    def ask() -> None:
        try:
            with connect(say=tell, name="nuke", environ=environ) as client:
                panel = Panel.from_server(client)
            on_main(lambda: knobs.fill(group, panel))
            tell(f"{len(panel.choices)} effects and flows")
        except KwafluxError as error:
            tell(str(error))

    beside(ask, name="kwaflux-effects")


def knob_changed() -> None:
    """Follow a change of a knob or an input; Nuke calls this for every Group."""
    group: Any = nuke.thisNode()
    name = nuke.thisKnob().name()
    if not is_ours(group):
        return
    if name == "inputChange":
        connect_mask(group)
    elif name.startswith(knobs.PREFIX) and name not in _OWN_TEXTS:
        knobs.show_chosen(group)
        _refresh(group)


def updated() -> None:
    """Notice that the tree above changed; Nuke calls this for every Group, often."""
    group: Any = nuke.thisNode()
    now_s = time.monotonic()
    if now_s - _looked_s.get(group.fullName(), 0.0) < _LOOK_S or not is_ours(group):
        return
    _looked_s[group.fullName()] = now_s
    known = knobs.text(group, "graph")
    if known and running(group) is None and read_nodes.remember_graph(group) != known:
        _refresh(group)


def _refresh(group: nuke.Group) -> None:
    """Show what is still right; a person who is in the middle of typing is not bothered."""
    graph = knobs.text(group, "graph")
    if not graph or running(group) is not None:
        return
    try:
        pattern, order = read_nodes.output_of(group), knobs.request_of(group)
        found = read_nodes.refresh(group, pattern, order=order, graph=graph)
    except KwafluxError as error:
        knobs.tell(group, error.message)
        return
    knobs.tell(group, told(found))


def _enhance(group: nuke.Group, *, frames: tuple[int, ...] = ()) -> None:
    if running(group) is not None:
        raise HostError("this node is being enhanced", hint="wait, or press Cancel")
    Enhancement(group, frames=frames).start()


def _cancel(group: nuke.Group) -> None:
    if (found := running(group)) is not None:
        found.work.cancel()


def _reload(group: nuke.Group) -> None:
    read_nodes.remember_graph(group)
    _refresh(group)
    read_nodes.reload(group)


def _open_folder(group: nuke.Group) -> None:
    folder = os.path.dirname(
        expand_view(read_nodes.output_of(group), read_nodes.views_of(group)[0])
    )
    if not os.path.isdir(folder):
        raise HostError(f"the folder {folder} does not exist yet", hint="enhance a frame first")
    webbrowser.open(Path(folder).as_uri())


def _version_up(group: nuke.Group) -> None:
    pattern = next_version(read_nodes.output_of(group), read_nodes.views_of(group))
    knobs.put(group, "output", pattern)
    knobs.tell(group, f"results go to {pattern}")


def _farm_command(group: nuke.Group) -> None:
    script, frames = nuke.root()["name"].value(), format_frames(requested_frames(group))
    say(f"nuke -t kwaflux_batch.py {script} --node {group.fullName()} --range {frames}")


def _check(group: nuke.Group) -> None:
    """Send a chart the way frames go, report the result, and write a bundle."""
    folder = f"{os.path.dirname(read_nodes.output_of(group))}/check"
    environ, about = knobs.server_environ(), {"nuke": str(nuke.NUKE_VERSION_STRING)}

    def through(source: str, target: str, frames: tuple[int, ...]) -> None:
        on_main(lambda: render_through_write(group, source, target, frames))

    def check() -> None:
        client = opener("nuke check", environ)
        report = run_check("nuke", folder=folder, out=through, back=through, open_client=client)
        try:
            told = f"{report.text()}\n\n{write_bundle(report, about=about, environ=environ)}"
        except KwafluxError as error:
            told = f"{report.text()}\n\n{error}"
        on_main(lambda: knobs.tell(group, told.splitlines()[0]))
        on_main(lambda: say(told))

    beside(check, name="kwaflux-check")


_OWN_TEXTS = tuple(f"{knobs.PREFIX}{name}" for name in ("status", "graph", "panel", "flow"))
_BUTTONS: Mapping[str, Callable[[nuke.Group], object]] = {
    "cancel": _cancel,
    "check": _check,
    "enhance_frame": lambda group: _enhance(group, frames=(nuke.frame(),)),
    "enhance_range": _enhance,
    "farm_command": _farm_command,
    "open_folder": _open_folder,
    "reload": _reload,
    "update_effects": update_effects,
    "version_up": _version_up,
}
