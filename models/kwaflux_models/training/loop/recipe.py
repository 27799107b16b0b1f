"""Read a training recipe.

A recipe is a TOML file beside this module; its hash goes into the weights, so that weights name the
recipe they were made by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomllib
from numpy.typing import NDArray

from kwaflux_models.training.loop.losses import LossWeights

__all__ = ["Recipe", "read_recipe", "recipe_path"]


def recipe_path(effect: str) -> Path:
    """Return where an effect's recipe lies."""
    return Path(__file__).parents[1] / "recipes" / f"{effect}.toml"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe file says, and the file's hash. The file's comments explain the fields."""

    pool_seed: int
    train_shards: int
    valid_shards: int
    seed: int
    batch: int
    patch_px: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    ema: float
    level_jitter: float
    finish_share: float
    start: str
    start_slope: float
    start_zero: float
    loss: LossWeights
    case_weight: Mapping[str, float]
    sha256: str

    def case_weights(self, cases: NDArray[np.str_]) -> NDArray[np.float32]:
        """Return what samples of these cases count; a case that is not named counts 1."""
        return np.array([self.case_weight.get(str(case), 1.0) for case in cases], dtype=np.float32)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file; a key that is missing raises KeyError."""
    text = path.read_bytes()
    values = tomllib.loads(text.decode())
    pool, training, loss = values["pool"], values["training"], values["loss"]
    return Recipe(
        pool_seed=int(pool["seed"]),
        train_shards=int(pool["train_shards"]),
        valid_shards=int(pool["valid_shards"]),
        seed=int(training["seed"]),
        batch=int(training["batch"]),
        patch_px=int(training["patch_px"]),
        learning_rate=float(training["learning_rate"]),
        weight_decay=float(training["weight_decay"]),
        warmup_steps=int(training["warmup_steps"]),
        ema=float(training["ema"]),
        level_jitter=float(training["level_jitter"]),
        finish_share=float(training["finish_share"]),
        start=str(training.get("start", "")),
        start_slope=float(training.get("start_slope", 1.0)),
        start_zero=float(training.get("start_zero", 0.0)),
        loss=LossWeights(
            gradient=float(loss["gradient"]),
            texture=float(loss["texture"]),
            excess=float(loss.get("excess", 0.0)),
        ),
        case_weight={case: float(weight) for case, weight in values["case_weight"].items()},
        sha256=hashlib.sha256(text).hexdigest(),
    )
