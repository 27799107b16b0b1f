"""Draw batches from a pool, and say how well a network does on one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kwaflux_models.rendering import working_curves
from kwaflux_models.training.degradations.sensor_noise import Array
from kwaflux_models.training.loop.losses import block_energy
from kwaflux_models.training.loop.recipe import Recipe
from kwaflux_models.training.loop.sample_pool import Pool
from kwaflux_models.training.loop.task_api import Batch, Network, Task

__all__ = ["Score", "draw_batch", "validate", "whole_batch", "working"]

_PERMUTED = 0.6
"""Share of samples whose red, green and blue change places."""

_TEXTURED_ENERGY = 1e-3
"""Blocks above this Laplacian energy in the working curve count in the texture score."""


def working(patches: NDArray[np.float16]) -> Tensor:
    """Bring (N, H, W, 3) half scene-linear patches to (N, 3, H, W) float32, working curve."""
    linear = torch.from_numpy(patches.astype(np.float32)).permute(0, 3, 1, 2)
    return working_curves.encode(linear, "extended_srgb")


def draw_batch(
    pool: Pool,
    recipe: Recipe,
    task: Task,
    rng: np.random.Generator,
    *,
    told: NDArray[np.float32],
) -> Batch:
    """Draw random crops in random orientation, most of them with their colors exchanged.

    A few dozen photographs hold few colors; a network that learned from them alone takes the
    texture of a red brush for noise.

    Args:
        pool: Where from.
        recipe: How large and how many, and what they count.
        task: What the pool was made for.
        rng: The random generator.
        told: (N,), the level that the network is told of each sample of the pool.
    """
    side, grid, scale = recipe.patch_px, task.grid_px, task.scale
    picks = rng.integers(len(pool), size=recipe.batch)
    places = (pool.degraded.shape[1] - side) // grid + 1
    columns: list[list[NDArray[np.float16]]] = [[], [], []]
    for pick in picks:
        top, left = (int(v) * grid for v in rng.integers(places, size=2))
        turns, is_flipped = int(rng.integers(4)), bool(rng.random() < 0.5)
        order = rng.permutation(3) if rng.random() < _PERMUTED else np.arange(3)
        near, far = _cut(top, left, side), _cut(top * scale, left * scale, side * scale)
        extra = _cropped(pool.extra[pick].transpose(1, 2, 0), near)
        patches = (
            pool.degraded[pick][near][..., order],
            pool.clean[pick][far][..., order],
            task.varied(extra, order, rng),
        )
        for column, patch in zip(columns, patches, strict=True):
            turned = np.rot90(patch, k=turns)
            column.append(np.flip(turned, axis=1) if is_flipped else turned)
    degraded, clean = (working(np.stack(column)) for column in columns[:2])
    return Batch(
        degraded=degraded,
        clean=clean,
        level=_jittered(told[picks], recipe.level_jitter, rng),
        detail=_numbers(rng.choice([0.0, 0.5, 1.0], size=recipe.batch)),
        extra=torch.from_numpy(np.stack(columns[2]).astype(np.float32)).permute(0, 3, 1, 2),
        weight=_weights(degraded, clean, task.scale)
        * _numbers(recipe.case_weights(pool.cases[picks])),
    )


def whole_batch(pool: Pool, part: slice, *, told: NDArray[np.float32]) -> Batch:
    """Return stored samples as they are, told these levels of the pool and no detail."""
    levels = _numbers(told[part])
    zero = torch.zeros_like(levels)
    extra = torch.from_numpy(pool.extra[part].astype(np.float32))
    degraded, clean = working(pool.degraded[part]), working(pool.clean[part])
    return Batch(degraded, clean, levels, zero, extra, zero + 1.0)


def _cropped(extra: NDArray[np.float16], cut: tuple[slice, slice]) -> NDArray[np.float16]:
    """Return a crop of (P, P, E) planes; where there are none, none."""
    return extra[cut] if extra.shape[2] else extra


def _cut(top: int, left: int, side: int) -> tuple[slice, slice]:
    return slice(top, top + side), slice(left, left + side)


def _numbers(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).reshape(-1, 1, 1, 1)


def _jittered(levels: NDArray[np.float32], jitter: float, rng: np.random.Generator) -> Tensor:
    """Return levels as a probe would tell them: a little off."""
    return _numbers(levels * np.exp(jitter * rng.standard_normal(levels.shape)))


def _weights(degraded: Tensor, clean: Tensor, scale: int) -> Tensor:
    """Return (N, 1, 1, 1): what is hardly degraded counts more, as its errors are smaller."""
    if scale != 1:
        return torch.ones(degraded.shape[0], 1, 1, 1)
    error = (degraded - clean).flatten(1).std(dim=1).reshape(-1, 1, 1, 1)
    return 0.1 / (error + 0.05)


@dataclass(frozen=True, slots=True)
class Score:
    """How a network does on one case of the validation pool.

    Attributes:
        before_db: PSNR of what the effect starts from, display-encoded, 0..1.
        after_db: PSNR of the result, no detail wanted.
        detailed_db: PSNR with all detail wanted.
        texture: Laplacian energy of the result / the clean picture's, no detail wanted.
        detailed_texture: The same with all detail wanted.
    """

    before_db: float
    after_db: float
    detailed_db: float
    texture: float
    detailed_texture: float


@torch.no_grad()
def validate(
    network: Network, pool: Pool, task: Task, *, told: NDArray[np.float32]
) -> dict[str, Score]:
    """Return a score per case of a pool, told these levels."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    for start in range(0, len(pool), 16):
        part = slice(start, start + 16)
        batch = whole_batch(pool, part, told=told)
        plain = task.answer(network, batch)
        batch.detail.fill_(1.0)
        detailed = task.answer(network, batch)
        before = plain.restored - plain.change
        pictures = (before, plain.restored, detailed.restored)
        errors = [_errors(picture, plain.wanted) for picture in pictures]
        textures = [_textures(picture, plain.wanted) for picture in pictures[1:]]
        for row, case in enumerate(pool.cases[part]):
            values = [float(column[row]) for column in (*errors, *textures)]
            rows.setdefault(str(case), []).append(tuple(values))
    return {case: _score(np.array(found)) for case, found in sorted(rows.items())}


def _score(rows: NDArray[np.float64]) -> Score:
    decibels = [float(np.mean(rows[:, column])) for column in range(3)]
    textures = [float(np.exp(np.nanmean(np.log(rows[:, column])))) for column in (3, 4)]
    return Score(decibels[0], decibels[1], decibels[2], textures[0], textures[1])


def _errors(picture: Tensor, clean: Tensor) -> list[float]:
    """Return each picture's PSNR in dB, display-encoded, at most 60."""
    error = np.square(_display(picture) - _display(clean)).mean(axis=(1, 2, 3))
    return [min(60.0, -10.0 * math.log10(max(float(e), 1e-9))) for e in error]


def _textures(picture: Tensor, clean: Tensor) -> list[float]:
    wanted, found = block_energy(clean), block_energy(picture)
    is_textured = wanted > _TEXTURED_ENERGY
    ratio = (found * is_textured).sum(dim=(1, 2, 3)) / (wanted * is_textured).sum(dim=(1, 2, 3))
    return [float(value) for value in ratio]


def _display(picture: Tensor) -> Array:
    """Return what a display shows; the working curve above 0 is the display's."""
    return np.asarray(np.clip(picture.cpu().numpy(), 0.0, 1.0), dtype=np.float32)
