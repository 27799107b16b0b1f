"""Train an effect's network: ``python -m kwaflux_models.training.train denoise --hours 1``.

Needs Python 3.11 and, for the pictures, a Debian system.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from kwaflux_models.training.loop.initial_weights import (
    fitted_state,
    shipped_weights,
    start_tensors,
)
from kwaflux_models.training.loop.plot import write_plot
from kwaflux_models.training.loop.precision import training_precision
from kwaflux_models.training.loop.recipe import Recipe, read_recipe, recipe_path
from kwaflux_models.training.loop.sample_pool import Pool, PoolPlan, make_pool, open_pool
from kwaflux_models.training.loop.trainer import Run, Trainer, run
from kwaflux_models.training.pictures import sources
from kwaflux_models.training.tasks import find_task, trainable_effects

__all__ = ["main"]

_LOG = logging.getLogger("kwaflux.models.training")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwaflux models train", description="Train an effect's network from its recipe."
    )
    parser.add_argument("effect", choices=trainable_effects())
    parser.add_argument("--hours", type=float, default=1.0, help="training time, pool not included")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    parser.add_argument("--out", type=Path, default=None, help="checkpoint and history")
    parser.add_argument("--weights", type=Path, default=None, help="where the weights are written")
    parser.add_argument("--processes", type=int, default=2, help="children that make the pool")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="to train with")
    parser.add_argument("--every", type=float, default=240.0, help="seconds between checkpoints")
    parser.add_argument("--pool-only", action="store_true", help="make the samples and stop")
    return parser.parse_args(argv)


def _pools(effect: str, recipe: Recipe, cache: Path, processes: int) -> dict[sources.Split, Pool]:
    """Make what is missing of the pools for training and validation, and open them."""
    shards: dict[sources.Split, int] = {"valid": recipe.valid_shards, "train": recipe.train_shards}
    pools: dict[sources.Split, Pool] = {}
    for split, count in shards.items():
        folder = cache / f"pool-{effect}-{split}"
        plan = PoolPlan(effect, split, recipe.pool_seed, shards=count, processes=processes)
        make_pool(cache, folder, plan, say=_LOG.info)
        pools[split] = open_pool(folder)
    return pools


def _device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` prefers CUDA."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def main(argv: Sequence[str]) -> int:
    """Fetch the pictures, make the pool, train, and export."""
    wanted = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    recipe, task = read_recipe(recipe_path(wanted.effect)), find_task(wanted.effect)
    cache = sources.cache_folder(os.environ, Path.home())
    for source, licence in sources.licences().items():
        _LOG.info("source %s: %s", source, licence)
    sources.fetch(cache)
    out = wanted.out or cache / "runs" / wanted.effect
    out.mkdir(parents=True, exist_ok=True)
    pools = _pools(wanted.effect, recipe, cache, wanted.processes)
    if wanted.pool_only:
        return 0
    torch.set_num_threads(1)
    device = _device(wanted.device)
    dtype = training_precision(task.network(), device)
    _LOG.info("training on %s in %s", device, dtype)
    goal = Run(wanted.effect, out, wanted.hours * 3600.0, device, dtype, wanted.threads)
    trainer = Trainer(goal, recipe, task, pools["train"], clock=time.monotonic)
    if wanted.resume and trainer.resume():
        _LOG.info("resumed at step %d", trainer.steps)
    elif recipe.start:
        slope, zero = recipe.start_slope, recipe.start_zero
        tensors = start_tensors(recipe.start, slope=slope, zero=zero)
        trainer.follow_from(fitted_state(trainer.network, tensors))
    weights = wanted.weights or shipped_weights(wanted.effect)
    run(trainer, pools["valid"], weights, every_s=wanted.every)
    write_plot(out / "history.json", out / "run.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
