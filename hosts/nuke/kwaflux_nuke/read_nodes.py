"""Results on disk, and the step curve of the node's Switch that selects which are shown.

A Switch with a curve needs no Kwaflux: a farm renders what the artist saw.
Main thread only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from kwaflux_core.errors import HostError
from kwaflux_hosting.batch.file_patterns import posix_path
from kwaflux_hosting.batch.results_index import FrameStatus, RenderRequest
from kwaflux_hosting.node_host.result_files import (
    check_pattern,
    chosen_views,
    default_pattern,
    shown_frames,
    statuses,
    step_keys,
)
from kwaflux_nuke.knobs import put, set_knob, text
from kwaflux_nuke.node import READ, READY, SIZE
from kwaflux_nuke.nuke_api import nuke, undo_off

__all__ = ["graph_key", "output_of", "refresh", "reload", "remember_graph", "views_of"]

_IDLE_KNOBS = (
    " bookmark cached dope_sheet gl_color help hide_input icon indicators label mapsize name "
    "note_font note_font_color note_font_size panel postage_stamp selected tile_color window "
    "xpos ypos kw_flow kw_graph kw_panel kw_status "
)
"""Knobs that change no pixel."""


def graph_key(group: nuke.Group) -> str:
    """Return a hash of the tree above the node: of every knob that may change a pixel.

    It is the same in the next session. It does not see that files were replaced under their names.
    """
    seen = {group.fullName()}
    pending = [group.input(0)]
    digest = hashlib.sha256()
    while pending:
        node = pending.pop()
        if node is None or node.fullName() in seen:
            continue
        seen.add(node.fullName())
        lines = [line.strip() for line in node.writeKnobs(nuke.TO_SCRIPT).splitlines()]
        told = sorted(x for x in lines if f" {x.partition(' ')[0]} " not in _IDLE_KNOBS)
        above = [node.input(index) for index in range(node.inputs())]
        digest.update("\n".join([node.Class(), *told, str(len(above)), ""]).encode())
        pending += [*(node.nodes() if node.Class() == "Group" else ())]  # type: ignore[attr-defined]
        pending += [*node.dependencies(nuke.EXPRESSIONS), *reversed(above)]
    return digest.hexdigest()[:32]


def remember_graph(group: nuke.Group) -> str:
    """Return ``graph_key``, and write it into the node."""
    put(group, "graph", graph_key(group))
    return text(group, "graph")


def views_of(group: nuke.Group) -> tuple[str, ...]:
    """Return the views that the node enhances; raises what ``chosen_views`` raises."""
    return chosen_views(text(group, "views"), list(nuke.views()))


def output_of(group: nuke.Group) -> str:
    """Return the pattern of the results, checked; write it into the node where it was empty."""
    script, is_stereo = str(nuke.root()["name"].value() or ""), len(nuke.views()) > 1
    pattern = posix_path(text(group, "output"))
    put(group, "output", pattern or default_pattern(script, group.name(), is_stereo=is_stereo))
    check_pattern(text(group, "output"), views_of(group))
    return text(group, "output")


def refresh(
    group: nuke.Group, pattern: str, *, order: RenderRequest, graph: str
) -> dict[str, dict[int, FrameStatus]]:
    """Show the results that are up to date, the plate elsewhere; return what is known of each."""
    found = statuses(pattern, nuke.views(), order=order, source_key=graph)
    with undo_off():
        _show(group, pattern, shown_frames(found))
    return found


def reload(group: nuke.Group) -> None:
    """Let Nuke read the files again that it has in its cache."""
    _inner(group, READ)["reload"].execute()


def _inner(group: nuke.Group, name: str) -> Any:
    found = group.node(name)
    if found is None:
        raise HostError(f"the node {name} inside {group.name()} is missing", hint="make a new node")
    return found


def _show(group: nuke.Group, pattern: str, shown: Mapping[str, Collection[int]]) -> None:
    read, frames = _inner(group, READ), set().union(*shown.values())
    if frames:
        ends: dict[str, str | float] = {"first": min(frames), "last": max(frames)}
        ends.update({f"orig{name}": value for name, value in ends.items()})
        for name, value in {"file": pattern, **ends}.items():
            set_knob(read, name, value)
        # Mask and mix are of the plate's size: a result of another size goes around them.
        plate, size = group.input(0), read.format()
        if plate is not None:
            is_same = (size.width(), size.height()) == (plate.width(), plate.height())
            set_knob(_inner(group, SIZE), "which", 0 if is_same else 1)
    is_still = text(group, "range") == "still"
    curves = {view: step_keys(frames, is_still=is_still) for view, frames in shown.items()}
    _set_curves(_inner(group, READY)["which"], curves)


def _set_curves(which: Any, curves: Mapping[str, Mapping[int, int]]) -> None:
    """Let the Switch step; only where views differ is its knob split."""
    first = next(iter(curves.values()))
    if all(steps == first for steps in curves.values()):
        for view in curves if len(curves) > 1 else ():
            which.unsplitView(view)
        script = "{curve K " + " ".join(f"x{at} {first[at]}" for at in sorted(first)) + "}"
        if which.toScript() != script:
            which.fromScript(script)
        return
    for view, steps in curves.items():
        which.splitView(view)
        which.setValueAt(0, min(steps), 0, view)
        curve = which.animation(0, view)
        curve.clear()
        for frame, value in sorted(steps.items()):
            curve.setKey(frame, value)
        curve.changeInterpolation(curve.keys(), nuke.CONSTANT)
