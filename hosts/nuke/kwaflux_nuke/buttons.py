"""What the node's buttons do, and what it does when a knob or the tree above it changes.

Owns the way from a press to the modules that act, and how errors are told. Main thread only, but
for the thread that asks a server for its effects.
"""

from __future__ import annotations

import threading
import time
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_core.hosting.hop import expand_view, frames_text
from kwaflux_core.hosting.link import connect
from kwaflux_core.hosting.panel import Panel
from kwaflux_nuke import knobs, results
from kwaflux_nuke.enhance import Enhancement, connect_environ, frames_asked, running
from kwaflux_nuke.host import nuke, on_main, say
from kwaflux_nuke.node import connect_mask, create, is_ours

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
    group = nuke.thisNode()
    try:
        _BUTTONS[name](group)  # type: ignore[arg-type]
    except KwafluxError as error:
        knobs.tell(group, str(error))  # type: ignore[arg-type]
        say(str(error))


def update_effects(group: nuke.Group) -> threading.Thread | None:
    """Ask the server what it offers, in a thread; without windows, before this returns."""
    environ = connect_environ()

    def ask() -> None:
        try:
            with connect(
                say=lambda text: on_main(lambda: knobs.tell(group, text)), name="nuke", environ=environ
            ) as client:
                panel = Panel.from_server(client)
            on_main(lambda: knobs.fill(group, panel))
            on_main(lambda: knobs.tell(group, f"{len(panel.choices)} effects and flows"))
        except KwafluxError as error:
            told = str(error)
            on_main(lambda: knobs.tell(group, told))

    if not nuke.GUI:
        ask()
        return None
    thread = threading.Thread(target=ask, name="kwaflux-effects", daemon=True)
    thread.start()
    return thread


def knob_changed() -> None:
    """Follow a change of a knob or an input; Nuke calls this for every Group."""
    group, name = nuke.thisNode(), nuke.thisKnob().name()
    if not is_ours(group) or not (name.startswith(knobs.PREFIX) or name == "inputChange"):
        return
    if name == "inputChange":
        connect_mask(group)  # type: ignore[arg-type]
    elif name not in _OWN_TEXTS:
        knobs.show_chosen(group)  # type: ignore[arg-type]
        _refresh(group, has_new_graph=False)  # type: ignore[arg-type]


def updated() -> None:
    """Notice that the tree above changed; Nuke calls this for every Group, often."""
    group = nuke.thisNode()
    now_s = time.monotonic()
    if now_s - _looked_s.get(group.fullName(), 0.0) < _LOOK_S or not is_ours(group):
        return
    _looked_s[group.fullName()] = now_s
    known = knobs.text(group, "graph")
    if known and running(group) is None and results.graph_key(group) != known:  # type: ignore[arg-type]
        _refresh(group, has_new_graph=True)  # type: ignore[arg-type]


def _refresh(group: nuke.Group, *, has_new_graph: bool) -> None:
    """Show what is still right; a person who is in the middle of typing is not bothered."""
    known = knobs.text(group, "graph")
    if not known or running(group) is not None:
        return
    try:
        graph = results.remember_graph(group) if has_new_graph else known
        pattern, order = results.output_of(group), knobs.order_of(group)
        found = results.refresh(group, pattern, order=order, graph=graph)
    except KwafluxError as error:
        knobs.tell(group, error.message)
        return
    ready = {n for states in found.values() for n, state in states.items() if state == "ready"}
    stale = {n for states in found.values() for n, state in states.items() if state == "stale"}
    told = f"{frames_text(ready) or 'no frame'} ready"
    knobs.tell(group, f"{told}, {frames_text(stale)} out of date" if stale else told)


def _enhance(group: nuke.Group, *, frames: tuple[int, ...] = ()) -> None:
    if running(group) is not None:
        raise HostError("this node is at work", hint="wait, or press Cancel")
    Enhancement(group, frames=frames).start()


def _cancel(group: nuke.Group) -> None:
    if (found := running(group)) is not None:
        found.work.cancel()


def _reload(group: nuke.Group) -> None:
    results.remember_graph(group)
    _refresh(group, has_new_graph=True)
    results.reload(group)


def _open_folder(group: nuke.Group) -> None:
    folder = Path(expand_view(results.output_of(group), results.views_of(group)[0])).parent
    if not folder.is_dir():
        raise HostError(f"there is no {folder} yet", hint="enhance a frame first")
    webbrowser.open(folder.as_uri())


def _version_up(group: nuke.Group) -> None:
    knobs.tell(group, f"results go to {results.version_up(group)}")


def _farm_command(group: nuke.Group) -> None:
    script = str(nuke.root()["name"].value() or "SCRIPT.nk")
    frames = frames_text(frames_asked(group))
    say(f"nuke -t kwaflux_batch.py {script} --node {group.fullName()} --range {frames}")


_OWN_TEXTS = frozenset(f"{knobs.PREFIX}{name}" for name in ("status", "graph", "panel", "flow"))
_BUTTONS: Mapping[str, Callable[[nuke.Group], object]] = {
    "cancel": _cancel,
    "enhance_frame": lambda group: _enhance(group, frames=(nuke.frame(),)),
    "enhance_range": _enhance,
    "farm_command": _farm_command,
    "open_folder": _open_folder,
    "reload": _reload,
    "update_effects": update_effects,
    "version_up": _version_up,
}
