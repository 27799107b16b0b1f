"""Keep pairs on disk, made in child processes.

Owns the pool: shards of float16 scene-linear patches. Each shard is made from its own seed by a
child process with a time limit, so that an encoder that aborts costs one shard and not the run.
Must not know how a pair is made, nor networks.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.errors import ModelError
from kwaflux_models.training.data import PATCH_PX, make_pairs
from kwaflux_models.training.sources import Split, load

__all__ = ["SHARD_PAIRS", "Pool", "PoolPlan", "make_pool", "open_pool", "shard_seed"]

SHARD_PAIRS = 256


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


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a pool is to hold.

    Attributes:
        split: Whose pictures.
        seed: Seed of the whole pool; each shard derives its own from it.
        shards: How many shards of `SHARD_PAIRS` pairs.
        processes: Children at work at a time.
        limit_s: Seconds after which a child is ended.
    """

    split: Split
    seed: int
    shards: int
    processes: int = 2
    limit_s: float = 300.0


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


def make_pool(cache: Path, folder: Path, plan: PoolPlan, *, say: Callable[[str], None]) -> None:
    """Make the shards that are missing, several child processes at a time.

    A shard whose process dies or exceeds its time is left out and named; the pool must reach nine
    tenths of its size.

    Raises:
        ModelError: more than a tenth of the shards failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    load(cache, plan.split)
    spawn = multiprocessing.get_context("spawn")
    waiting = [n for n in range(plan.shards) if not (folder / f"shard-{n:05d}.npz").is_file()]
    running: dict[int, tuple[BaseProcess, float]] = {}
    failed: list[int] = []
    while waiting or running:
        while waiting and len(running) < plan.processes:
            number = waiting.pop(0)
            task = (cache, folder, plan.split, plan.seed, number)
            child = spawn.Process(target=_write_shard, args=task)
            child.start()
            running[number] = (child, time.monotonic() + plan.limit_s)
        for number in [n for n, (child, until) in running.items() if _has_ended(child, until)]:
            child_done, _ = running.pop(number)
            if child_done.exitcode != 0:
                failed.append(number)
                say(f"{plan.split} shard {number} failed, exit status {child_done.exitcode}")
            elif number % 10 == 9:
                say(f"{plan.split} shard {number + 1} of {plan.shards}")
    if len(failed) * 10 > plan.shards:
        raise ModelError(f"{len(failed)} of {plan.shards} shards could not be made")
    about = {"split": plan.split, "seed": plan.seed, "shards": plan.shards, "failed": failed}
    (folder / "pool.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def _has_ended(child: BaseProcess, until: float) -> bool:
    """Wait a moment for a child; end it when its time is over."""
    child.join(0.05)
    if child.is_alive() and time.monotonic() >= until:
        child.kill()
        child.join()
    return not child.is_alive()


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
