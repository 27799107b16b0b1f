"""Draw the before-and-after picture: crops at 100 % side by side, with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from kwaflux_core.errors import ImageError
from kwaflux_core.geometry import Box
from kwaflux_core.images.atomic_write import atomic_path
from kwaflux_models.evaluation.metrics.display_values import shown

__all__ = ["Panel", "draw_before_after"]

Picture: TypeAlias = npt.NDArray[np.float32]

_GAP_PX, _BAR_PX, _TEXT_PX, _INDENT_PX = 4, 26, 15, 8
_INK, _PAPER = (236, 236, 236), (24, 24, 24)


@dataclass(frozen=True, slots=True)
class Panel:
    """Hold one picture and what is written below it.

    Args:
        label: A few words.
        linear: (H, W, 3) scene-linear Rec.709.
    """

    label: str
    linear: Picture


def draw_before_after(panels: Sequence[Panel], path: Path, *, crop: Box) -> None:
    """Write a PNG with the same crop of every panel, pixel for pixel, side by side.

    Args:
        panels: From left to right, all of one size.
        path: The PNG; whole or not at all.
        crop: What is shown; 0, 0 is the first pixel of the arrays.

    Raises:
        ImageError: No panel, or the crop reaches beyond one.
        ImageWriteFailed: The disk is full, or the folder is missing or closed to us.
    """
    if not panels or not all(_box_of(panel).contains(crop) for panel in panels):
        raise ImageError(f"the crop {crop.as_tuple()} reaches beyond a panel")
    width = len(panels) * crop.width + (len(panels) - 1) * _GAP_PX
    sheet = Image.new("RGB", (width, crop.height + _BAR_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_TEXT_PX)
    for index, panel in enumerate(panels):
        left = index * (crop.width + _GAP_PX)
        cut = panel.linear[crop.y0 : crop.y1, crop.x0 : crop.x1]
        code = np.rint(shown(cut) * 255.0).astype(np.uint8)
        sheet.paste(Image.fromarray(code), (left, 0))
        middle = (left + _INDENT_PX, crop.height + _BAR_PX / 2)
        draw.text(middle, panel.label, fill=_INK, font=font, anchor="lm")
    with atomic_path(path) as temporary:
        sheet.save(temporary, optimize=True)


def _box_of(panel: Panel) -> Box:
    return Box.from_size(panel.linear.shape[1], panel.linear.shape[0])
