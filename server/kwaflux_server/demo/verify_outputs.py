"""Read the demonstration's results back from the disk, and hold them against the plate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.errors import FrameMissing
from kwaflux_core.images.io import read_image
from kwaflux_server.demo.folders import FIRST_FRAME, Folders
from kwaflux_server.demo.report import Check
from kwaflux_server.demo.score import COLOR, altered, color_of, differing_channels

__all__ = ["ReadBack", "check", "read_back"]

Picture: TypeAlias = npt.NDArray[np.float32]

_SAID_AT_MOST = 6


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Hold the frames that are there, each (H, W, 3) scene-linear Rec.709, and what was checked.

    Args:
        plate: The plate's frames, of which there is a result.
        enhanced: The results.
        clean: What they should be.
        is_untouched: Whether all but color came back as it was.
        is_repeated: Whether the second run made the same pixels.
    """

    plate: list[Picture]
    enhanced: list[Picture]
    clean: list[Picture]
    is_untouched: Check
    is_repeated: Check


def check(text: str, differing: list[str]) -> Check:
    """Return a check that holds where nothing differs, and otherwise says what does."""
    if not differing:
        return Check(text, True)
    return Check(f"{text}; but not {', '.join(differing[:_SAID_AT_MOST])}", False)


def read_back(
    folders: Folders, clean: npt.NDArray[np.float32], *, on_frame: Callable[[], None]
) -> ReadBack:
    """Read every result that is there, and compare it.

    Args:
        folders: Where they are.
        clean: (T, H, W, 3) what they should be; the first is frame 1001.
        on_frame: Called when a frame is done.

    Raises:
        FrameMissing: There is no result at all.
        ImageUnreadable: A file is damaged.
    """
    plates, enhanced, wanted = [], [], []
    changes: list[str] = []
    unequal: list[str] = []
    for frame, clean_frame in enumerate(clean, FIRST_FRAME):
        result, repeated = folders.enhanced.file(frame), folders.repeated.file(frame)
        if result.is_file():
            before, after = read_image(folders.plate.file(frame)), read_image(result)
            changes += [f"{name} of {frame}" for name in altered(before, after)]
            if repeated.is_file():
                names = differing_channels(after, read_image(repeated), COLOR)
                unequal += [f"{name} of {frame}" for name in names]
            plates.append(color_of(before))
            enhanced.append(color_of(after))
            wanted.append(clean_frame)
        on_frame()
    if not enhanced:
        raise FrameMissing(f"there is no frame of {folders.enhanced.pattern}")
    kept = "depth.Z, object.id, timecode, all other attributes and windows came back bit for bit"
    same = "the second run made the same pixels as the first, bit for bit"
    return ReadBack(plates, enhanced, wanted, check(kept, changes), check(same, unequal))
