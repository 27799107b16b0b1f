"""Scripts for tests of Nuke's adapter: plates on disk, a Read, a node of ours, a server.

A scene runs in a fake Nuke; ``press`` waits, as the event loop of that Nuke, until the work that
the press began has ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from kwaflux_core.images.exr.read import write_exr
from kwaflux_core.images.image import Image
from kwaflux_hosting.panel.panel import Panel
from kwaflux_testing.fake_nuke import FakeNuke, running
from kwaflux_testing.fake_nuke.nodes import Node
from kwaflux_testing.pictures import hard_floats, plate
from kwaflux_testing.servers import RunningServer

__all__ = ["PANEL_OF_NONE", "Scene", "hostile_plate", "nuke_scene", "write_plates"]

PANEL_OF_NONE = Panel.from_descriptors(())
"""What a server without effects offers: a flow as text."""


def hostile_plate(*, seed: int = 0) -> Image:
    """Return a picture with overscan, a layer, values that half cannot hold, and a header."""
    picture = plate(24, 32, seed=seed)
    part = picture.part
    shape = next(iter(part.channels.values())).shape
    beyond = hard_floats(np.float32, shape=shape)
    far = np.where(np.isfinite(beyond), beyond, np.float32(70000.0)).astype(np.float32)
    channels = {**part.channels, "specular.R": far, "specular.G": far, "specular.B": far}
    channels["R"] = channels["R"] * np.float32(4000) - np.float32(0.5)
    attributes = {**part.attributes, "camera": "A-cam", "frameNumber": seed}
    display = part.data_window.expanded(-2)
    return replace(
        picture,
        parts=(replace(part, channels=channels, attributes=attributes, display_window=display),),
    )


def write_plates(folder: Path, frames: Iterable[int], *, views: Sequence[str] = ()) -> str:
    """Write a sequence; return its pattern, with ``%V`` where there are views."""
    for index, view in enumerate(views or ("",)):
        for frame in frames:
            name = f"plate{'.' + view if view else ''}.{frame:04d}.exr"
            write_exr(folder / name, hostile_plate(seed=frame + 1000 * index))
    return f"{folder.as_posix()}/plate{'.%V' if views else ''}.%04d.exr"


@dataclass(slots=True)
class Scene:
    """Hold a fake Nuke with a script."""

    nuke: FakeNuke
    folder: Path
    read: Any
    node: Any

    @property
    def status(self) -> str:
        """What the node's status line says."""
        return str(self.node._knobs["kw_status"]._value)

    def set(self, **knobs: Any) -> None:
        """Set knobs of the node."""
        for name, value in knobs.items():
            self.node[name].setValue(value)

    def press(self, button: str, *, waits: bool = True, timeout_s: float = 90.0) -> str:
        """Press a button and wait for the end; return the status line."""
        self.nuke.press(self.node, f"kw_{button}")
        if waits:
            self.wait(timeout_s=timeout_s)
        return self.status

    def wait(self, *, timeout_s: float = 90.0) -> str:
        """Be Nuke's event loop until nothing is under way; return the status line."""
        from kwaflux_nuke import enhance

        self.nuke.rules.pump(until=lambda: not enhance._RUNNING, timeout_s=timeout_s)
        # The last call of a work comes after it left the list of those under way.
        self.nuke.rules.pump(until=lambda: not _threads(), timeout_s=timeout_s)
        return self.status

    def look(self, frame: int, *, view: str = "main") -> Image:
        """Return what the node shows."""
        return self.nuke.look(self.node, frame=frame, view=view)

    def plate(self, frame: int, *, view: str = "main") -> Image:
        """Return what the node's input shows."""
        return self.nuke.look(self.node._inputs[0], frame=frame, view=view)


def _threads() -> list[str]:
    ours = ("kwaflux-nuke", "kwaflux-effects", "kwaflux-check")
    return [thread.name for thread in threading.enumerate() if thread.name in ours]


@contextmanager
def nuke_scene(
    folder: Path,
    *,
    server: RunningServer | None = None,
    gui: bool = True,
    frames: Iterable[int] = range(1001, 1006),
    views: Sequence[str] = ("main",),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Scene]:
    """Run a Nuke with a Read of plates that were written, and a node below it.

    Args:
        folder: Where the script and the plates are.
        server: Whose settings the node finds; its effects are in the node.
        gui: Whether there are windows.
        frames: Of the plate.
        views: Of the script; of the plate too, where there are several.
        environ: Further settings.
    """
    numbers = list(frames)
    settings = {k: v for k, v in os.environ.items() if not k.startswith("KWAFLUX_")}
    settings |= dict(server.place.environ if server is not None else {}) | dict(environ or {})
    with (
        mock.patch.dict(os.environ, settings, clear=True),
        running(gui=gui, views=views) as session,
    ):
        import nuke

        session.root._knobs["name"]._value = str(folder / "shot.nk")
        pattern = write_plates(folder, numbers, views=views if len(views) > 1 else ())
        read: Node = nuke.nodes.Read(name="Plate")  # type: ignore[assignment]
        ends = (min(numbers), max(numbers))
        for name, value in {
            "file": pattern,
            "raw": True,
            "first": ends[0],
            "last": ends[1],
        }.items():
            read[name].setValue(value)
        read.setSelected(True)
        session.frame_now = ends[0]
        from kwaflux_nuke import callbacks, knobs
        from kwaflux_nuke.node import create

        node: Any = create()
        scene = Scene(session, folder, read, node)
        if server is None:
            knobs.fill(node, PANEL_OF_NONE)
        else:
            callbacks.update_effects(node)
            scene.wait()
        nuke.addKnobChanged(callbacks.knob_changed, nodeClass="Group")
        nuke.addUpdateUI(callbacks.updated, nodeClass="Group")
        yield scene
