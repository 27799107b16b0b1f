"""Write before/after pictures at 100 %: the best, the middle and the worst of a case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kwaflux_models.evaluation.run.collect_results import Shown

__all__ = ["CREDITS", "chosen", "write_pictures"]

CREDITS = """\
## Credits

The pictures above are parts of: life and friends by Aitzol Berasategi, Picture_1A by Trevor
"Freespace", Wine by Jakub Mede (all 2018, CC-BY-4.0, from the package lomiri-wallpapers); night,
sunrise and sunset (environment maps of Blender, CC0); astronaut and rocket (NASA, public domain)
and coffee (CC0), from scikit-image. They were halved, exposed, cropped, damaged and restored. The
test set's other pictures (mate-backgrounds, plasma-workspace-wallpapers) are scored and not shown,
as their licences would bind this page.
"""

_NOT_SHOWN = ("mate-backgrounds", "plasma-workspace-wallpapers")
_SIDE_PX = 176
_STRIP_PX = 14
_GAP_PX = 4
_QUALITY = 92


def chosen(shown: Sequence[Shown]) -> list[tuple[str, Shown]]:
    """Return the pictures with the greatest, the middle and the least gain, in words."""
    ranked = sorted(shown, key=lambda one: -one.gain_db)
    if len(ranked) < 3:
        return [("", one) for one in ranked]
    middle = ranked[len(ranked) // 2]
    return [("best", ranked[0]), ("middle", middle), ("worst", ranked[-1])]


def write_pictures(shown: Sequence[Shown], folder: Path) -> list[str]:
    """Write the chosen pictures of each case; return Markdown lines that show them.

    Chosen among those whose licence lets them be shown.

    Args:
        shown: Pictures of one effect.
        folder: Where to write; made when missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = [one for one in shown if not one.picture.startswith(_NOT_SHOWN)]
    lines = []
    for case in dict.fromkeys(one.case for one in shown):
        lines.append(f"{case}: before, after, clean at 100 %, chosen by gain (see the credits).\n")
        for word, one in chosen([one for one in shown if one.case == case]):
            name = f"{one.effect}-{_plain(case)}-{word or 'only'}.webp"
            _panel(one, word).save(folder / name, quality=_QUALITY, method=6)
            lines.append(f"![{case}, {word}: {_short(one.picture)}, {one.gain_db:+.2f} dB]({name})")
    return lines


def _plain(text: str) -> str:
    kept = "".join(c if c.isalnum() else "-" for c in text.lower())
    return "-".join(part for part in kept.split("-") if part)


def _short(picture: str) -> str:
    """Return what a picture is called, without its package's folders."""
    parts = [p for p in picture.split("/") if p not in ("contents", "images", "2560x1600.jpg")]
    return parts[-1].rpartition(".")[0] or parts[-1]


def _panel(one: Shown, word: str) -> Image.Image:
    """Return before, after and clean beside each other, the liveliest part of the picture."""
    side = min(_SIDE_PX, *one.clean.shape[:2])
    top, left = _place(one.clean, side)
    width = 3 * side + 2 * _GAP_PX
    panel = Image.new("RGB", (width, side + _STRIP_PX), (255, 255, 255))
    draw = ImageDraw.Draw(panel)
    labels = ("before", f"after, {one.gain_db:+.2f} dB ({word})", f"clean: {_short(one.picture)}")
    for index, (picture, label) in enumerate(
        zip((one.before, one.after, one.clean), labels, strict=True)
    ):
        cut = picture[top : top + side, left : left + side]
        code = np.rint(np.clip(cut, 0.0, 1.0) * 255.0).astype(np.uint8)
        x = index * (side + _GAP_PX)
        panel.paste(Image.fromarray(code), (x, _STRIP_PX))
        draw.text((x + 2, 1), label[: side // 6], fill=(0, 0, 0))
    return panel


def _place(clean: np.ndarray[tuple[int, ...], np.dtype[np.float32]], side: int) -> tuple[int, int]:
    """Return the corner of the part with the most detail, on a grid of 16 pixels."""
    gray = clean.mean(axis=2)
    energy = np.square(np.diff(gray, axis=0))[:, :-1] + np.square(np.diff(gray, axis=1))[:-1]
    total = np.pad(energy, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    reach = side - 1
    height, width = energy.shape
    corners = [
        (top, left)
        for top in range(0, height - reach + 1, 16)
        for left in range(0, width - reach + 1, 16)
    ]

    def detail(corner: tuple[int, int]) -> float:
        top, left = corner
        bottom, right = top + reach, left + reach
        return float(
            total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        )

    return max(corners, key=detail)
