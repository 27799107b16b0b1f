"""Results on disk, and which of them the node shows: a step curve on the Switch inside it.

Owns where results lie, what makes one out of date, and the Read and the Switch. A Switch that is
told frame by frame needs no Kwaflux to be read: a farm sees what the artist saw. Must not know
servers or renders. Main thread only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from kwaflux_core.errors import HostError
from kwaflux_core.hosting.hop import FrameStatus, Order, slashed
from kwaflux_core.hosting.places import (
    check_pattern,
    default_pattern,
    next_version_of,
    statuses,
)
from kwaflux_nuke.host import nuke, undo_off
from kwaflux_nuke.knobs import PREFIX, put, set_knob, text
from kwaflux_nuke.node import READ, READY, SIZE

__all__ = ["graph_key", "output_of", "refresh", "reload", "remember_graph", "version_up", "views_of"]

_IDLE_KNOBS = (
    "bookmark", "cached", "dope_sheet", "gl_color", "help", "hide_input", "icon", "indicators",
    "label", "mapsize", "name", "note_font", "panel", "postage_stamp", "selected", "tile_color",
    "window", "xpos", "ypos", f"{PREFIX}flow", f"{PREFIX}graph", f"{PREFIX}panel",
    f"{PREFIX}status",
)  # fmt: skip
"""Knobs that change no pixel."""


def graph_key(group: nuke.Group) -> str:
    """Return a hash of the tree above the node: of every knob that may change a pixel.

    It is the same in the next session. It does not see that files were replaced under their names.
    """
    seen: list[nuke.Node] = []
    pending = [group.input(0)]
    digest = hashlib.sha256()
    while pending:
        node = pending.pop()
        if node is None or node == group or node in seen:
            continue
        seen.append(node)
        lines = [line.strip() for line in node.writeKnobs(nuke.TO_SCRIPT).splitlines()]
        told = sorted(line for line in lines if line.partition(" ")[0] not in _IDLE_KNOBS)
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
    """Return the views that the node enhances.

    Raises:
        HostError: One that the script does not have.
    """
    known = list(nuke.views())
    wanted = text(group, "views").replace(",", " ").split() or known
    for view in wanted:
        if view not in known:
            raise HostError(f"the script has no view {view!r}", hint=f"it has {' '.join(known)}")
    return tuple(wanted)


def output_of(group: nuke.Group) -> str:
    """Return the pattern of the results, and write it into the node where it was empty.

    Raises:
        HostError: A pattern that would write several frames or views into one file, or no EXR.
    """
    script = str(nuke.root()["name"].value() or "")
    pattern = slashed(text(group, "output")) or default_pattern(
        script, group.name(), is_stereo=len(nuke.views()) > 1
    )
    put(group, "output", pattern)
    check_pattern(pattern, views_of(group))
    return pattern


def version_up(group: nuke.Group) -> str:
    """Go on with the next version that no view has results of; return its pattern."""
    pattern = next_version_of(output_of(group), views_of(group))
    put(group, "output", pattern)
    return pattern


def refresh(
    group: nuke.Group, pattern: str, *, order: Order, graph: str
) -> dict[str, dict[int, FrameStatus]]:
    """Show the results that are good and up to date, and the plate elsewhere.

    Returns:
        What is known of every frame of every view of the script.
    """
    found = statuses(pattern, nuke.views(), order=order, source_key=graph)
    shown = {
        view: {n for n, state in states.items() if state in ("ready", "attention")}
        for view, states in found.items()
    }
    with undo_off():
        _show(group, pattern, shown)
    return found


def reload(group: nuke.Group) -> None:
    """Let Nuke read the files again that it has in its cache."""
    _inner(group, READ)["reload"].execute()


def _inner(group: nuke.Group, name: str) -> Any:
    found = group.node(name)
    if found is None:
        raise HostError(f"the node {name} inside {group.name()} is gone", hint="make a new node")
    return found


def _show(group: nuke.Group, pattern: str, shown: Mapping[str, Collection[int]]) -> None:
    read, which = _inner(group, READ), _inner(group, READY)["which"]
    frames = set().union(*shown.values())
    if frames:
        ends = {"first": min(frames), "last": max(frames)}
        ends.update({f"orig{name}": value for name, value in ends.items()})
        for name, value in {"file": pattern, **ends}.items():
            set_knob(read, name, value)
        # Mask and mix are of the plate's size: a result of another size goes around them.
        plate, size = group.input(0), read.format()
        if plate is not None:
            is_same = (size.width(), size.height()) == (plate.width(), plate.height())
            set_knob(_inner(group, SIZE), "which", 0 if is_same else 1)
    is_still = text(group, "range") == "still"
    curves = {view: _steps(frames, is_still=is_still) for view, frames in shown.items()}
    _set_curves(which, curves)


def _set_curves(which: Any, curves: Mapping[str, Mapping[int, int]]) -> None:
    """Let the Switch step; only where views differ is its knob split."""
    first = next(iter(curves.values()))
    if all(steps == first for steps in curves.values()):
        for view in curves if len(curves) > 1 else ():
            which.unsplitView(view)
        text = "{curve K " + " ".join(f"x{at} {first[at]}" for at in sorted(first)) + "}"
        if which.toScript() != text:
            which.fromScript(text)
        return
    for view, steps in curves.items():
        which.splitView(view)
        which.setValueAt(0, min(steps), 0, view)
        curve = which.animation(0, view)
        curve.clear()
        for frame, value in sorted(steps.items()):
            curve.setKey(frame, value)
        curve.changeInterpolation(curve.keys(), nuke.CONSTANT)


def _steps(frames: Collection[int], *, is_still: bool) -> dict[int, int]:
    """Return the keys of a curve that is 1 at these frames and 0 elsewhere; of a still, always."""
    if is_still or not frames:
        return {0: 1 if frames else 0}
    edges = {min(frames) - 1: 0}
    for frame in frames:
        if frame - 1 not in frames:
            edges[frame] = 1
        if frame + 1 not in frames:
            edges[frame + 1] = 0
    return edges
