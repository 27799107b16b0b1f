"""A show in the fake Resolve: footage on disk, a clip of it on a timeline.

Owns what most tests begin with. The footage is hard: negatives, highlights to 5000, and a number in
every frame, so that a frame that was exchanged, clipped or shifted is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kwaflux_core.images.exr.read import read_exr, write_exr
from kwaflux_core.images.image import Channel, Image
from kwaflux_testing.fake_resolve.application import Resolve
from kwaflux_testing.fake_resolve.model import Clip, Cut, Placed, Quirks, World

__all__ = ["Scene", "footage", "pixels", "scene"]

SIZE_PX = (24, 16)


def footage(folder: Path, *, first: int = 1001, count: int = 12, name: str = "plate") -> Clip:
    """Write a sequence, and return the clip of it (in no bin yet)."""
    folder.mkdir(parents=True, exist_ok=True)
    width, height = SIZE_PX
    for number in range(first, first + count):
        ramp = np.linspace(-0.5, 1.5, width * height, dtype=np.float32).reshape(height, width)
        ramp[0, 0], ramp[0, 1] = 5000.0, number
        channels = {c: ramp * np.float32(k) for c, k in (("R", 1.0), ("G", 0.5), ("B", 0.25))}
        write_exr(folder / f"{name}.{number:04d}.exr", Image.from_channels(channels))
    pattern = str(folder / f"{name}.%04d.exr")
    shown = f"{name}.[{first:04d}-{first + count - 1:04d}].exr"
    return Clip(shown, pattern, first, count, first, SIZE_PX)


def pixels(path: Path | str) -> dict[str, Channel]:
    """Return the color of a frame on disk."""
    channels = read_exr(path).part.channels
    return {name: channels[name] for name in "RGB"}


@dataclass(slots=True)
class Scene:
    """Hold a world with one clip, six frames of which lie on the open timeline."""

    world: World
    clip: Clip
    cut: Cut
    item: Placed

    @property
    def names(self) -> dict[str, object]:
        """What Resolve gives to a script of its menu."""
        return {"resolve": Resolve(self.world)}


def scene(folder: Path, *, quirks: Quirks | None = None, **clip: int) -> Scene:
    """Make footage in a folder and a world around it; ``clip`` is as in ``footage``."""
    world = World(quirks=quirks or Quirks())
    made = footage(folder / "media", **clip)  # type: ignore[arg-type]
    world.root.clips.append(made)
    cut = Cut("edit")
    item = Placed(made, first=2, start=86500, count=6, gain=2.0)
    cut.tracks[0].items = [item]
    cut.playhead, cut.selected = 86502, [item]
    world.cuts.append(cut)
    world.cut = cut
    return Scene(world, made, cut, item)
