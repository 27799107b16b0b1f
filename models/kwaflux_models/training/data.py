"""Draw clips from clean pictures, degrade them in child processes, and keep the pairs on disk.

Owns crops, exposures, motion and the pool of pairs: shards of float16 scene-linear patches, each
made from its own seed by a child process with a time limit, so that an encoder that aborts costs
one shard and not the run. Must not know networks.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.errors import ModelError
from kwaflux_models.training.degrade import (
    LOG_PEAK,
    Array,
    Case,
    Pair,
    degrade_clip,
    display_decode,
    draw_case,
)
from kwaflux_models.training.sources import Picture, Split, load

__all__ = ["Pool", "draw_clip", "make_pairs", "make_pool", "open_pool", "shard_seed"]

FRAMES = 5
CLIP_PX = 160
PATCH_PX = 128
SHARD_PAIRS = 256

_SRGB = display_decode((np.arange(256) / 255.0).astype(np.float32), "srgb")


@dataclass(frozen=True, slots=True)
class Pool:
    """Pairs of one split, in memory.

    Attributes:
        degraded: (N, P, P, 3) float16 scene-linear.
        clean: The same for what it should have been.
        cases: (N,) the name of each pair's case.
    """

    degraded: NDArray[np.float16]
    clean: NDArray[np.float16]
    cases: NDArray[np.str_]

    def __len__(self) -> int:
        return int(self.degraded.shape[0])


def _window(picture: Picture, top: int, left: int, side: int) -> Array:
    """Cut a (side, side, 3) scene-linear window; 8-bit pictures are halved in linear light.

    ``top`` and ``left`` count stored pixels, so an odd step moves a halved picture half a pixel.
    """
    if picture.kind == "linear":
        window = picture.pixels[top : top + side, left : left + side]
        return np.maximum(window, 0.0).astype(np.float32)
    stored = picture.pixels[top : top + 2 * side, left : left + 2 * side]
    linear = _SRGB[np.asarray(stored)]
    return np.asarray(linear.reshape(side, 2, side, 2, 3).mean(axis=(1, 3)), dtype=np.float32)


def _extent(picture: Picture, side: int) -> int:
    """Return how many stored pixels a window of ``side`` covers."""
    return side if picture.kind == "linear" else 2 * side


def _gradient_energy(window: Array) -> float:
    """Return the mean squared step between neighbors of the cube root of luma."""
    luma = np.cbrt(np.minimum(window.mean(axis=-1), 4.0))
    return float(np.square(np.diff(luma, axis=0)).mean() + np.square(np.diff(luma, axis=1)).mean())


def _place(picture: Picture, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Choose where to cut: four times in five the liveliest of several places."""
    extent = _extent(picture, side)
    height, width = picture.pixels.shape[:2]
    tries = 4 if rng.random() < 0.8 else 1
    places = [
        (int(rng.integers(height - extent + 1)), int(rng.integers(width - extent + 1)))
        for _ in range(tries)
    ]
    if tries == 1:
        return places[0]
    centers = [
        _window(picture, top + extent // 4, left + extent // 4, side // 2) for top, left in places
    ]
    return places[int(np.argmax([_gradient_energy(center) for center in centers]))]


def _exposure(rng: np.random.Generator) -> float:
    """Draw an exposure: mostly about normal, sometimes dark, sometimes up to 3 stops over."""
    draw = rng.random()
    if draw < 0.62:
        return float(2.0 ** rng.uniform(-0.8, 0.35))
    if draw < 0.82:
        return float(2.0 ** rng.uniform(-3.5, -0.8))
    return float(2.0 ** rng.uniform(0.35, 3.0))


def _light(window: Array, rng: np.random.Generator, *, is_linear: bool) -> Array:
    """Expose a clip; sometimes lift what is nearly white into a highlight, up to 8."""
    exposed = window
    if is_linear:
        exposed = exposed * np.float32(0.18 / max(float(np.median(window)), 0.02))
    elif rng.random() < 0.3:
        lift = np.square(np.clip((exposed - 0.6) / 0.4, 0.0, 1.0))
        exposed = exposed * (1.0 + np.float32(rng.uniform(0.5, 6.0)) * lift)
    balance = rng.uniform(0.88, 1.14, size=3) if rng.random() < 0.5 else np.ones(3)
    lit = exposed * (_exposure(rng) * balance).astype(np.float32)
    return np.minimum(lit, LOG_PEAK).astype(np.float32)


def draw_clip(
    pictures: list[Picture], rng: np.random.Generator, *, frames: int, side: int
) -> Array:
    """Draw a clip that moves over one picture at a steady speed.

    Args:
        pictures: Where to draw from; each is as likely as any other.
        rng: The random generator.
        frames: Number of frames.
        side: Height and width, even.

    Returns:
        (frames, side, side, 3) scene-linear, 0..8.
    """
    picture = pictures[int(rng.integers(len(pictures)))]
    reach = _extent(picture, side)
    speed = float(rng.choice([0.0, 2.0, 8.0], p=[0.15, 0.55, 0.3]))
    step = rng.normal(0.0, max(speed, 1e-6), size=2)
    limit = np.array(picture.pixels.shape[:2]) - reach
    start = np.array(_place(picture, side, rng))
    windows = []
    for number in range(frames):
        top, left = np.clip(np.rint(start + step * number), 0, limit).astype(int)
        windows.append(_window(picture, int(top), int(left), side))
    clip = _light(np.stack(windows), rng, is_linear=picture.kind == "linear")
    for axis in (1, 2):
        if rng.random() < 0.5:
            clip = np.flip(clip, axis=axis)
    return np.ascontiguousarray(np.swapaxes(clip, 1, 2) if rng.random() < 0.5 else clip)


def make_pairs(pictures: list[Picture], rng: np.random.Generator, count: int) -> list[Pair]:
    """Make pairs of (`PATCH_PX`, `PATCH_PX`, 3), cut off the codec's block grid at random."""
    pairs: list[Pair] = []
    while len(pairs) < count:
        case: Case = draw_case(rng)
        needs_clip = case in ("sensor_codec", "gauss_codec", "codec", "light")
        clip = draw_clip(pictures, rng, frames=FRAMES if needs_clip else 1, side=CLIP_PX)
        for pair in degrade_clip(clip, case, rng):
            top, left = (int(v) for v in rng.integers(0, CLIP_PX - PATCH_PX + 1, size=2))
            cut = np.s_[top : top + PATCH_PX, left : left + PATCH_PX]
            pairs.append(Pair(pair.degraded[cut], pair.clean[cut], case))
    return pairs[:count]


def shard_seed(seed: int, number: int) -> np.random.Generator:
    """Return the random generator of one shard: it depends on nothing but the two numbers."""
    return np.random.default_rng([seed, number])


def _write_shard(cache: Path, folder: Path, split: Split, seed: int, number: int) -> None:
    """Make one shard and put it in place; runs in a child process."""
    pairs = make_pairs(load(cache, split), shard_seed(seed, number), SHARD_PAIRS)
    part = folder / f"shard-{number:05d}.part"
    with part.open("wb") as stream:
        np.savez(
            stream,
            degraded=np.stack([pair.degraded for pair in pairs]).astype(np.float16),
            clean=np.stack([pair.clean for pair in pairs]).astype(np.float16),
            cases=np.array([pair.case for pair in pairs]),
        )
    part.rename(folder / f"shard-{number:05d}.npz")


def make_pool(
    cache: Path,
    folder: Path,
    *,
    split: Split,
    seed: int,
    shards: int,
    processes: int,
    say: Callable[[str], None],
    limit_s: float = 300.0,
) -> None:
    """Make the shards that are missing, several child processes at a time.

    A shard whose process dies or exceeds its time is left out and named; the pool must reach nine
    tenths of its size.

    Raises:
        ModelError: more than a tenth of the shards failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    load(cache, split)
    spawn = multiprocessing.get_context("spawn")
    waiting = [n for n in range(shards) if not (folder / f"shard-{n:05d}.npz").is_file()]
    running: dict[int, tuple[multiprocessing.process.BaseProcess, float]] = {}
    failed: list[int] = []
    while waiting or running:
        while waiting and len(running) < processes:
            number = waiting.pop(0)
            child = spawn.Process(target=_write_shard, args=(cache, folder, split, seed, number))
            child.start()
            running[number] = (child, time.monotonic() + limit_s)
        for number, (child, until) in list(running.items()):
            child.join(0.05)
            if child.is_alive() and time.monotonic() < until:
                continue
            if child.is_alive():
                child.kill()
                child.join()
            if child.exitcode != 0:
                failed.append(number)
                say(f"{split} shard {number} failed with exit status {child.exitcode}")
            elif number % 10 == 9:
                say(f"{split} shard {number + 1} of {shards}")
            del running[number]
    if len(failed) * 10 > shards:
        raise ModelError(f"{len(failed)} of {shards} shards could not be made")
    about = {"split": split, "seed": seed, "shards": shards, "failed": failed}
    (folder / "pool.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def open_pool(folder: Path) -> Pool:
    """Read the shards of a folder.

    Raises:
        ModelError: there is none.
    """
    names = sorted(folder.glob("shard-*.npz"))
    if not names:
        raise ModelError(f"no shards in {folder}", hint="make the pool first")
    total = len(names) * SHARD_PAIRS
    shape = (total, PATCH_PX, PATCH_PX, 3)
    degraded, clean = np.empty(shape, np.float16), np.empty(shape, np.float16)
    cases = np.empty(total, dtype="<U12")
    for number, name in enumerate(names):
        rows = slice(number * SHARD_PAIRS, (number + 1) * SHARD_PAIRS)
        with np.load(name) as shard:
            degraded[rows], clean[rows] = shard["degraded"], shard["clean"]
            cases[rows] = shard["cases"]
    return Pool(degraded, clean, cases)
