"""Train an effect's network: ``python -m kwaflux_models.training.train denoise --hours 1``.

Owns the command line: fetch the pictures, make the pool, train, export, measure. Needs Python 3.11
and, for the pictures, a Debian system.
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

from kwaflux_models.training import sources
from kwaflux_models.training.loop import Trainer, run
from kwaflux_models.training.pool import Pool, PoolPlan, make_pool, open_pool
from kwaflux_models.training.recipe import Recipe, read_recipe, recipe_path
from kwaflux_models.training.report import write_report

__all__ = ["main", "shipped_weights"]

_LOG = logging.getLogger("kwaflux.models.training")


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="train an effect's network from its recipe")
    parser.add_argument("effect", choices=["denoise"])
    parser.add_argument("--hours", type=float, default=1.0, help="training time, pool not included")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    parser.add_argument("--out", type=Path, default=Path("training"), help="checkpoints and table")
    parser.add_argument("--weights", type=Path, default=None, help="where the weights are written")
    parser.add_argument("--processes", type=int, default=2, help="children that make the pool")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="to train with")
    parser.add_argument("--every", type=float, default=240.0, help="seconds between checkpoints")
    return parser.parse_args(argv)


def _pools(recipe: Recipe, cache: Path, processes: int) -> dict[sources.Split, Pool]:
    """Make what is missing of the pools for training and validation, and open them."""
    shards: dict[sources.Split, int] = {"valid": recipe.valid_shards, "train": recipe.train_shards}
    pools: dict[sources.Split, Pool] = {}
    for split, count in shards.items():
        folder = cache / f"pool-{split}"
        plan = PoolPlan(split, seed=recipe.pool_seed, shards=count, processes=processes)
        make_pool(cache, folder, plan, say=_LOG.info)
        pools[split] = open_pool(folder)
    return pools


def main(argv: Sequence[str]) -> int:
    """Fetch the pictures, make the pool, train, export, and measure the result."""
    wanted = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    recipe = read_recipe(recipe_path(wanted.effect))
    cache = sources.cache_folder(os.environ, Path.home())
    for source, licence in sources.licences().items():
        _LOG.info("source %s: %s", source, licence)
    sources.fetch(cache)
    wanted.out.mkdir(parents=True, exist_ok=True)
    pools = _pools(recipe, cache, wanted.processes)
    torch.set_num_threads(1)
    trainer = Trainer(
        recipe,
        pools["train"],
        wanted.out,
        budget_s=wanted.hours * 3600.0,
        clock=time.monotonic,
        threads=wanted.threads,
    )
    if wanted.resume and trainer.resume():
        _LOG.info("resumed at step %d", trainer.steps)
    weights = wanted.weights or shipped_weights(wanted.effect)
    run(trainer, pools["valid"], weights, every_s=wanted.every)
    torch.set_num_threads(wanted.threads)
    write_report(weights, cache, wanted.out / f"{wanted.effect}-report.json", say=_LOG.info)
    return 0


def shipped_weights(effect: str) -> Path:
    """Return where the weights lie that the package ships."""
    return Path(__file__).parents[1] / "weights" / f"{effect}.safetensors"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
