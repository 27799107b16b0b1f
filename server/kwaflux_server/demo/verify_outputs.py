"""Read the demonstration's results from disk and compare them with the plate."""

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

_LISTED_AT_MOST = 6


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The rendered frames, each (H, W, 3) scene-linear Rec.709, and the checks.

    Args:
        plate: The plate's frames that have a result.
        enhanced: The results.
        clean: The clean frames.
        is_untouched: Whether everything but color is unchanged.
        is_repeated: Whether the second run gave the same pixels.
    """

    plate: list[Picture]
    enhanced: list[Picture]
    clean: list[Picture]
    is_untouched: Check
    is_repeated: Check


def check(text: str, differing: list[str]) -> Check:
    """Return a check that passes if nothing differs, and otherwise lists what does."""
    if not differing:
        return Check(text, True)
    return Check(f"{text}; but not {', '.join(differing[:_LISTED_AT_MOST])}", False)


def read_back(
    folders: Folders, clean: npt.NDArray[np.float32], *, on_frame: Callable[[], None]
) -> ReadBack:
    """Read and compare every result on disk.

    Args:
        folders: Folders of the plate and of the results.
        clean: (T, H, W, 3) the clean frames; the first is frame 1001.
        on_frame: Called when a frame is done.

    Raises:
        FrameMissing: There is no result.
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
    kept = (
        "depth.Z, object.id, timecode, all other attributes and windows are unchanged, bit for bit"
    )
    same = "the second run gave the same pixels as the first, bit for bit"
    return ReadBack(plates, enhanced, wanted, check(kept, changes), check(same, unequal))
