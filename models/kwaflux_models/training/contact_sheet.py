"""Contact sheet of the samples an effect trains on; ``kwaflux models degrade`` draws it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kwaflux_core.color.display_curves import display_encode
from kwaflux_core.errors import ImageWriteFailed, KwafluxError
from kwaflux_models.child_call import call_in_child
from kwaflux_models.training.command_output import end_of, say_line
from kwaflux_models.training.degradations.sensor_noise import Array
from kwaflux_models.training.loop.sample_pool import shard_seed
from kwaflux_models.training.loop.task_api import Sample
from kwaflux_models.training.pictures.read_movie import read_clip
from kwaflux_models.training.pictures.sources import (
    Picture,
    cache_folder,
    drawn_pictures,
    load,
    scikit_picture,
)
from kwaflux_models.training.tasks import find_task, trainable_effects

__all__ = ["main", "make_section"]

_PAIRS_PER_ROW = 4
_LABEL_PX = 20
_GAP_PX = 8
_LIMIT_S = 300.0


def _pictures(cache: Path, movie: Path | None) -> list[Picture]:
    """Return a movie's first frame, or the training pictures, or drawn ones if none are fetched."""
    if movie is not None:
        frame = np.rint(read_clip(movie, frames=1)[0] * 255.0).astype(np.uint8)
        return [Picture(movie.name, "pristine", frame)]
    try:
        return load(cache, "train")
    except KwafluxError:
        astronaut = Picture("scikit-image/astronaut", "display", scikit_picture("astronaut"))
        return [astronaut, *drawn_pictures()]


def _cell(patch: Array, side_px: int) -> Image.Image:
    """Return a scene-linear patch as sRGB; a smaller one is enlarged by repeating pixels."""
    code = np.rint(np.clip(display_encode(patch, "srgb"), 0.0, 1.0) * 255.0).astype(np.uint8)
    return Image.fromarray(code).resize((side_px, side_px), Image.Resampling.NEAREST)


def _draw_rows(effect: str, samples: Sequence[Sample]) -> Image.Image:
    """Draw samples as (clean, degraded) pairs, labeled with case and level."""
    side_px = samples[0].clean.shape[0]
    pair_px, row_px = 2 * side_px + 2 * _GAP_PX, side_px + _LABEL_PX + _GAP_PX
    rows = -(-len(samples) // _PAIRS_PER_ROW)
    size = (_PAIRS_PER_ROW * pair_px + _GAP_PX, rows * row_px)
    sheet = Image.new("RGB", size, (24, 24, 26))
    draw = ImageDraw.Draw(sheet)
    for number, sample in enumerate(samples):
        row, column = divmod(number, _PAIRS_PER_ROW)
        left, top = column * pair_px + _GAP_PX, row * row_px
        label = f"{effect}: {sample.case}, level {sample.level:.3f}"
        draw.text((left, top + 2), label, fill=(225, 225, 220), font_size=13)
        for place, patch in enumerate((sample.clean, sample.degraded)):
            at = (left + place * (side_px + 1), top + _LABEL_PX)
            sheet.paste(_cell(patch, side_px), at)
    return sheet


def make_section(effect: str, cache: Path, movie: Path | None, *, seed: int, count: int) -> Array:
    """Draw the samples of one effect's task, ordered by case and level.

    The samples are those of the first shard of a training pool with this seed. The task runs
    encoders: call it through `call_in_child`.

    Args:
        effect: A name of `trainable_effects`.
        cache: Folder with the pictures.
        movie: A movie whose first frame the samples are cut from, instead of the pictures.
        seed: The same seed gives the same samples.
        count: Number of samples, at least 1.

    Returns:
        (H, W, 3), sRGB code values 0..255.

    Raises:
        KwafluxError: the movie cannot be read, or is smaller than a sample.
    """
    rng = shard_seed(seed, 0)
    samples = find_task(effect).make(_pictures(cache, movie), rng, count)
    samples.sort(key=lambda sample: (sample.case, sample.level))
    return np.asarray(_draw_rows(effect, samples), dtype=np.float32)


def _stack(sections: Sequence[Array]) -> Image.Image:
    """Lay sections one below the other, on the width of the widest."""
    width = max(section.shape[1] for section in sections)
    padded = [
        np.pad(section, ((0, 0), (0, width - section.shape[1]), (0, 0)), constant_values=24.0)
        for section in sections
    ]
    return Image.fromarray(np.concatenate(padded).astype(np.uint8))


def main(argv: Sequence[str], environ: Mapping[str, str], *, say: Callable[[str], None]) -> int:
    """Draw the sheet and write it.

    Raises:
        DeadlineExceeded: the samples of an effect took too long.
        WorkerError: an encoder ended its process.
        KwafluxError: the movie cannot be read, or the sheet cannot be written.
    """
    effects = trainable_effects()
    parser = argparse.ArgumentParser(
        prog="kwaflux models degrade",
        description="Draw clean and degraded samples as training sees them.",
    )
    parser.add_argument(
        "--effect", choices=effects, default=None, help="the task that draws them (default: all)"
    )
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="a .png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=24, help="how many of each effect")
    parser.add_argument("--clip", type=Path, default=None, help="a movie to degrade instead")
    parser.add_argument("--cache", type=Path, default=None, help="folder with the pictures")
    wanted = parser.parse_args(argv)
    if wanted.samples < 1:
        parser.error("--samples: at least 1")
    cache = wanted.cache or cache_folder(environ, Path.home())
    chosen = [wanted.effect] if wanted.effect else effects
    sections = [
        call_in_child(
            _LIMIT_S,
            make_section,
            effect,
            cache,
            wanted.clip,
            seed=wanted.seed,
            count=wanted.samples,
        )
        for effect in chosen
    ]
    try:
        _stack(sections).save(wanted.out)
    except (OSError, ValueError) as error:
        hint = "name a .png in a folder that can be written"
        raise ImageWriteFailed(f"cannot write {wanted.out}: {error}", hint=hint) from error
    say(f"{wanted.out}: {wanted.samples} samples of {', '.join(chosen)}")
    return 0


if __name__ == "__main__":
    sys.exit(end_of(lambda: main(sys.argv[1:], os.environ, say=say_line)))
