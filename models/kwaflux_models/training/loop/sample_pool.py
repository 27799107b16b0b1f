"""Keep samples on disk, made in child processes.

Each shard is made from its own seed by a child process with a time limit, so that an encoder that
aborts costs one shard and not the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.errors import KwafluxError, ModelError
from kwaflux_models.child_call import call_in_child
from kwaflux_models.training.pictures.sources import Split, load
from kwaflux_models.training.tasks import find_task

__all__ = ["SHARD_SAMPLES", "Pool", "PoolPlan", "make_pool", "open_pool", "shard_seed"]

SHARD_SAMPLES = 128


@dataclass(frozen=True, slots=True)
class Pool:
    """Samples of one split, in memory. The fields are those of a `Sample`, stacked.

    Attributes:
        degraded: (N, P, P, 3) float16 scene-linear.
        clean: The same for what it should have been, `scale` times as large.
        extra: (N, E, P, P) float16.
        levels: (N,) float32.
        cases: (N,) the name of each sample's case.
    """

    degraded: NDArray[np.float16]
    clean: NDArray[np.float16]
    extra: NDArray[np.float16]
    levels: NDArray[np.float32]
    cases: NDArray[np.str_]

    def __len__(self) -> int:
        return int(self.degraded.shape[0])


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a pool is to hold.

    Attributes:
        effect: Whose task makes the samples.
        split: Whose pictures.
        seed: Seed of the whole pool; each shard derives its own from it.
        shards: How many shards of `SHARD_SAMPLES`.
        processes: Children at work at a time.
        limit_s: Seconds after which a child is ended.
    """

    effect: str
    split: Split
    seed: int
    shards: int
    processes: int = 2
    limit_s: float = 300.0


def shard_seed(seed: int, number: int) -> np.random.Generator:
    """Return the random generator of one shard: it depends on nothing but the two numbers."""
    return np.random.default_rng([seed, number])


def _write_shard(cache: Path, folder: Path, plan: PoolPlan, number: int) -> None:
    """Make one shard and put it in place; runs in a child process."""
    pictures = load(cache, plan.split)
    rng = shard_seed(plan.seed, number)
    samples = find_task(plan.effect).make(pictures, rng, SHARD_SAMPLES)
    part = folder / f"shard-{number:05d}.part"
    with part.open("wb") as stream:
        np.savez(
            stream,
            degraded=np.stack([sample.degraded for sample in samples]).astype(np.float16),
            clean=np.stack([sample.clean for sample in samples]).astype(np.float16),
            extra=np.stack([sample.extra for sample in samples]).astype(np.float16),
            levels=np.array([sample.level for sample in samples], np.float32),
            cases=np.array([sample.case for sample in samples]),
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
    missing = [n for n in range(plan.shards) if not (folder / f"shard-{n:05d}.npz").is_file()]
    failed: list[int] = []
    threads = ThreadPoolExecutor(plan.processes)
    try:
        futures = {
            threads.submit(call_in_child, plan.limit_s, _write_shard, cache, folder, plan, n): n
            for n in missing
        }
        for future in as_completed(futures):
            number = futures[future]
            try:
                future.result()
            except KwafluxError as error:
                failed.append(number)
                say(f"{plan.split} shard {number} failed: {error.message}")
            else:
                if number % 10 == 9:
                    say(f"{plan.split} shard {number + 1} of {plan.shards}")
    finally:
        threads.shutdown(cancel_futures=True)
    if len(failed) * 10 > plan.shards:
        raise ModelError(f"{len(failed)} of {plan.shards} shards could not be made")
    about = {**asdict(plan), "failed": failed}
    (folder / "pool.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def open_pool(folder: Path) -> Pool:
    """Read the shards of a folder.

    Raises:
        ModelError: there is none.
    """
    names = sorted(folder.glob("shard-*.npz"))
    if not names:
        raise ModelError(f"no shards in {folder}", hint="make the pool first")
    shards = [np.load(name) for name in names]
    degraded, clean, extra, levels, cases = (
        np.concatenate([shard[key] for shard in shards])
        for key in ("degraded", "clean", "extra", "levels", "cases")
    )
    for shard in shards:
        shard.close()
    return Pool(degraded, clean, extra, levels, cases)
