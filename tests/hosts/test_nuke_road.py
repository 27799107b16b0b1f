"""A fake Nuke, real EXR plates, a real server: frames go out, are enhanced, and come back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from kwaflux_core.exr import read_exr
from kwaflux_core.image import Image
from kwaflux_testing.nuke_scenes import Scene, nuke_scene
from kwaflux_testing.pictures import same_bits
from kwaflux_testing.servers import RunningServer, StartServer


def _same_pixels(first: Image, second: Image, *, but: tuple[str, ...] = ()) -> bool:
    ours, theirs = first.part, second.part
    return (
        ours.channels.keys() == theirs.channels.keys()
        and (ours.data_window, ours.display_window) == (theirs.data_window, theirs.display_window)
        and all(same_bits(ours.channels[n], theirs.channels[n]) for n in ours.channels if n not in but)
    )


def _leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(".kwaflux")]


def test_a_range_goes_through_by_path_and_nothing_is_lost_on_the_way(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server) as scene:
        scene.set(kw_effect="identity")
        undo, selected = list(scene.nuke.rules.undo), scene.node.isSelected()
        nodes = [node.name() for node in scene.nuke.root.nodes()]
        assert scene.press("enhance_range") == "5 of 5 frames are ready"
        for frame in range(1001, 1006):
            assert _same_pixels(scene.look(frame), scene.plate(frame))
            header = scene.look(frame).part.attributes
            assert header["kwaflux/flow"] == "identity()" or "identity" in str(header["kwaflux/flow"])
            assert header["timeCode"] == scene.plate(frame).part.attributes["timeCode"]
            assert header["camera"] == "A-cam"
        assert [node.name() for node in scene.nuke.root.nodes()] == nodes
        assert scene.node.node("KwHop") is None
        assert scene.node.isSelected() == selected
        assert scene.nuke.rules.undo == undo
        assert not _leftovers(tmp_path)
        assert scene.nuke.rules.printed == []
