"""Draw the contact sheet of all degradations; ``kwaflux models degrade`` runs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kwaflux_core.color.display_curves import display_decode, display_encode
from kwaflux_core.errors import ImageError, ImageWriteFailed, KwafluxError
from kwaflux_models.child_call import call_in_child
from kwaflux_models.training.commands import end_of, say_line
from kwaflux_models.training.degradations.camera_motion import Path as Motion
from kwaflux_models.training.degradations.camera_motion import film
from kwaflux_models.training.degradations.sensor_noise import Array
from kwaflux_models.training.degradations.sheet_rows import rows
from kwaflux_models.training.pictures.read_movie import read_clip
from kwaflux_models.training.pictures.sources import (
    Picture,
    cache_folder,
    drawn_pictures,
    load,
    scikit_picture,
)

__all__ = ["CELL_PX", "main", "make_sheet"]

CELL_PX = 224
_FRAMES = 5
_LABEL_PX = 20
_LIMIT_S = 300.0


def _clean_clips(cache: Path) -> list[Array]:
    """Return clips to degrade: of the test pictures, or of drawn ones where there are none."""
    try:
        found = load(cache, "test")
        pictures = [
            next(p for p in found if name in p.name) for name in ("friends", "ColorfulCups")
        ]
    except KwafluxError:
        pictures = [Picture("scikit-image/astronaut", "display", scikit_picture("astronaut"))]
    pictures.append(next(p for p in drawn_pictures() if p.name.endswith("type")))
    motion = Motion(velocity=(0.0, 3.0))
    return [film(picture, motion, frames=_FRAMES, side=CELL_PX) for picture in pictures]


def _degrade_all(clips: list[Array], seed: int) -> Array:
    """Return the middle frame of every cell, (rows, 4, CELL_PX, CELL_PX, 3), display-encoded."""
    made = []
    for number, row in enumerate(rows(np.random.default_rng(seed))):
        clip = clips[(number if row.clip < 0 else row.clip) % len(clips)]
        cells = [clip[_FRAMES // 2]]
        for column, chain in enumerate(row.chains):
            rng = np.random.default_rng([seed, number, column])
            cells.append(chain.apply(clip, rng).degraded[_FRAMES // 2])
        made.append(np.stack([display_encode(cell, "srgb") for cell in cells]))
    return np.stack(made)


def make_sheet(clips: list[Array], *, seed: int = 0, limit_s: float = _LIMIT_S) -> Image.Image:
    """Draw the sheet; the encoders run in a child process.

    Args:
        clips: Clean clips, each (5, CELL_PX, CELL_PX, 3), scene-linear; rows take them in turn.
        seed: Same seed, same sheet.
        limit_s: Seconds for all degradations.

    Raises:
        DeadlineExceeded: it took longer.
        WorkerError: an encoder ended its process.
    """
    cells = call_in_child(limit_s, _degrade_all, clips, seed)
    plan = rows(np.random.default_rng(seed))
    pitch = CELL_PX + _LABEL_PX
    sheet = Image.new("RGB", (4 * (CELL_PX + 8) + 8, len(plan) * pitch + 8), (24, 24, 26))
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(plan):
        top = number * pitch + 6
        for column, label in enumerate((row.name, *row.labels)):
            left = column * (CELL_PX + 8) + 8
            draw.text((left, top), label, fill=(225, 225, 220), font_size=13)
            code = np.rint(np.clip(cells[number, column], 0.0, 1.0) * 255.0).astype(np.uint8)
            sheet.paste(Image.fromarray(code), (left, top + _LABEL_PX - 3))
    return sheet


def _footage(path: Path) -> Array:
    """Return the middle of a movie's first frames as a clip in linear light."""
    shown = read_clip(path, frames=_FRAMES)
    height, width = shown.shape[1:3]
    if min(height, width) < CELL_PX:
        hint = f"give one of at least {CELL_PX} x {CELL_PX} pixels"
        raise ImageError(f"{path} has only {width} x {height} pixels", hint=hint)
    top, left = (height - CELL_PX) // 2, (width - CELL_PX) // 2
    return display_decode(shown[:, top : top + CELL_PX, left : left + CELL_PX], "bt709")


def main(argv: Sequence[str], environ: Mapping[str, str], *, say: Callable[[str], None]) -> int:
    """Draw the sheet and write it.

    Raises:
        KwafluxError: a clip cannot be read, an encoder failed, or the sheet cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="kwaflux models degrade", description="Show what each degradation does."
    )
    parser.add_argument("--sheet", action="store_true", help="draw the contact sheet (the default)")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="a .png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip", type=Path, default=None, help="a movie to degrade instead")
    parser.add_argument("--cache", type=Path, default=None, help="folder with the pictures")
    wanted = parser.parse_args(argv)
    cache = wanted.cache or cache_folder(environ, Path.home())
    clips = [_footage(wanted.clip)] if wanted.clip else _clean_clips(cache)
    sheet = make_sheet(clips, seed=wanted.seed)
    try:
        sheet.save(wanted.out)
    except (OSError, ValueError) as error:
        hint = "name a .png in a folder that can be written"
        raise ImageWriteFailed(f"cannot write {wanted.out}: {error}", hint=hint) from error
    say(f"{wanted.out}: {len(rows(np.random.default_rng(wanted.seed)))} rows")
    return 0


if __name__ == "__main__":
    sys.exit(end_of(lambda: main(sys.argv[1:], os.environ, say=say_line)))
