"""Run the training loop and write what comes out of it.

The learning rate follows the wall clock, so that a run ends when it was asked to, however busy the
machine is.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kwaflux_models.training.loop.batch import draw_batch, validate
from kwaflux_models.training.loop.fit_level_probe import (
    STEPS,
    cross_judged,
    fit_probe,
    pool_statistics,
)
from kwaflux_models.training.loop.losses import restoration_loss
from kwaflux_models.training.loop.recipe import Recipe
from kwaflux_models.training.loop.sample_pool import Pool
from kwaflux_models.training.loop.task_api import Batch, Network, Task
from kwaflux_models.training.pictures import sources

__all__ = ["Run", "Trainer", "export", "run"]

_LOG = logging.getLogger("kwaflux.models.training")
_PARTS = 4
"""A batch goes through in this many parts on a CPU, whole on a GPU."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is asked for.

    Attributes:
        effect: Whose network.
        folder: Where the checkpoint and the history lie.
        budget_s: Seconds of training in all, resumed parts included.
        device: Where it runs.
        dtype: Autocast's precision; float32 for none.
        threads: Threads that compute parts of a batch side by side, on a CPU.
    """

    effect: str
    folder: Path
    budget_s: float
    device: torch.device
    dtype: torch.dtype
    threads: int = 1


@dataclass(frozen=True, slots=True)
class _Part:
    """What one part of a batch gives: gradients, and the pixel, gradient and texture terms."""

    gradients: tuple[Tensor, ...]
    terms: tuple[float, float, float]


class Trainer:
    """One run: network, its moving average, optimiser, random generator and time used so far.

    Args:
        wanted: What the run is asked for.
        recipe: The recipe.
        task: What is learned.
        pool: Training samples.
        clock: Monotonic seconds.
    """

    def __init__(
        self, wanted: Run, recipe: Recipe, task: Task, pool: Pool, *, clock: Callable[[], float]
    ) -> None:
        self.wanted, self.recipe, self.task, self.pool = wanted, recipe, task, pool
        self.clock = clock
        torch.manual_seed(recipe.seed)
        self.rng = np.random.default_rng(recipe.seed)
        self.network = _placed(task.network(), wanted.device)
        self.average = _placed(task.network(), wanted.device)
        self.follow_from(self.network.state_dict())
        self.told = pool.levels
        self.parameters = list(self.network.body.parameters())
        self.threads = ThreadPoolExecutor(
            wanted.threads, initializer=torch.set_num_threads, initargs=(1,)
        )
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=recipe.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=recipe.weight_decay,
        )
        self.steps = 0
        self.used_s = 0.0
        self.history: list[dict[str, object]] = []

    def follow_from(self, state: dict[str, Tensor]) -> None:
        """Set the network and its average to given tensors."""
        self.network.load_state_dict(state)
        self.average.load_state_dict(state)

    def learning_rate(self) -> float:
        """Return the rate for the time used: a short warm-up, then half a cosine down to 0."""
        warm = min(1.0, (self.steps + 1) / self.recipe.warmup_steps)
        share = min(1.0, self.used_s / self.wanted.budget_s)
        return self.recipe.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * share))

    def step(self) -> tuple[float, ...]:
        """Take one step and return its pixel, gradient and texture terms.

        On a CPU the batch goes through in small parts, one thread each, as threads come free: on
        a machine that others use too, a thread that is held up holds up one part and not every
        layer. The parts are summed in order, so the result does not depend on which came first.
        """
        begin = self.clock()
        batch = draw_batch(self.pool, self.recipe, self.task, self.rng, told=self.told)
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        is_cpu = self.wanted.device.type == "cpu"
        size = max(1, self.recipe.batch // _PARTS) if is_cpu else self.recipe.batch
        parts = list(self.threads.map(self._part, batch.split(size)))
        for index, parameter in enumerate(self.parameters):
            parameter.grad = torch.stack([part.gradients[index] for part in parts]).mean(dim=0)
        nn.utils.clip_grad_norm_(self.parameters, 0.5)
        self.optimiser.step()
        self._follow()
        self.steps += 1
        self.used_s += self.clock() - begin
        return tuple(float(v) for v in np.mean([part.terms for part in parts], axis=0))

    def _part(self, batch: Batch) -> _Part:
        """Compute the gradients of a part of a batch; runs in a thread of its own."""
        batch = batch.to(self.wanted.device)
        with torch.autocast(
            self.wanted.device.type,
            dtype=self.wanted.dtype,
            enabled=self.wanted.dtype != torch.float32,
        ):
            answer = self.task.answer(self.network, batch)
        losses = restoration_loss(
            answer.restored,
            answer.wanted,
            sample_weight=batch.weight,
            detail=batch.detail,
            weights=self.recipe.loss,
        )
        gradients = torch.autograd.grad(losses.total, self.parameters)
        terms = (float(losses.pixels), float(losses.gradient), float(losses.texture))
        return _Part(gradients, terms)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the network; faster in the beginning."""
        keep = min(self.recipe.ema, (self.steps + 1) / (self.steps + 10))
        pairs = zip(self.average.body.parameters(), self.parameters, strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast, 1.0 - keep)

    @property
    def is_finishing(self) -> bool:
        """Whether the last part of the run has begun."""
        return self.used_s >= self.wanted.budget_s * (1.0 - self.recipe.finish_share)

    def begin_finish(self, *, fit_steps: int = STEPS) -> None:
        """Fit the probe, and tell the network from here on what such a probe says.

        In use the network is told what the probe judges; trained on the truth alone it would trust
        a number that is often a little off. Each sample is judged by a probe that has not seen it.
        """
        found, levels = pool_statistics(self.pool), torch.from_numpy(self.pool.levels)
        seed = self.recipe.seed
        self.told = cross_judged(found, levels, seed=seed, steps=fit_steps).numpy()
        probe = fit_probe(found, levels, seed=seed, steps=fit_steps).state_dict()
        for network in (self.network, self.average):
            if network.probe is not None:
                network.probe.load_state_dict(probe)

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "history": json.dumps(self.history),
            "steps": self.steps,
            "used_s": self.used_s,
        }
        part = self.wanted.folder / "checkpoint.part"
        torch.save(state, part)
        part.replace(self.wanted.folder / "checkpoint.pt")

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is one; returns whether there was."""
        path = self.wanted.folder / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True, map_location=self.wanted.device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.history = json.loads(state["history"])
        self.steps, self.used_s = int(state["steps"]), float(state["used_s"])
        return True


def _placed(network: Network, device: torch.device) -> Network:
    # torch's own annotations leave this overload of Module.to out.
    placed: Network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def export(network: nn.Module, path: Path, *, about: dict[str, str]) -> None:
    """Write a network as float16 safetensors with strings about its origin, atomically."""
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
    }
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=about)
    part.chmod(0o644)
    part.replace(path)


def _about(trainer: Trainer) -> dict[str, str]:
    recipe = trainer.recipe
    patches = trainer.steps * recipe.batch
    return {
        "effect": trainer.wanted.effect,
        "recipe_sha256": recipe.sha256,
        "start": recipe.start,
        "steps": str(trainer.steps),
        "patches": str(patches),
        "minutes": f"{trainer.used_s / 60:.0f}",
        "minutes_per_million_patches": f"{trainer.used_s / 60 / max(patches, 1) * 1e6:.0f}",
        "device": str(trainer.wanted.device),
        "seed": str(recipe.seed),
        "pool_seed": str(recipe.pool_seed),
        "data": json.dumps(sources.licences()),
        "torch": str(torch.__version__),
    }


def run(trainer: Trainer, valid: Pool, weights: Path, *, every_s: float) -> None:
    """Train until the time is used, with a checkpoint, weights and a validation now and then."""
    due = trainer.clock() + every_s / 4
    terms: list[tuple[float, ...]] = []
    has_probe, is_finishing = trainer.network.probe is not None, False
    while trainer.used_s < trainer.wanted.budget_s:
        if has_probe and trainer.is_finishing and not is_finishing:
            trainer.begin_finish()
            is_finishing = True
        terms.append(trainer.step())
        if trainer.steps % 100 == 0:
            _say_progress(trainer, np.mean(terms, axis=0))
            terms.clear()
        if trainer.clock() >= due:
            _keep(trainer, valid, weights)
            due = trainer.clock() + every_s
    _keep(trainer, valid, weights)


def _say_progress(trainer: Trainer, terms: np.ndarray) -> None:
    rate = trainer.steps * trainer.recipe.batch / trainer.used_s
    trainer.history.append(
        {
            "patches": trainer.steps * trainer.recipe.batch,
            "terms": [round(float(v), 6) for v in terms],
        }
    )
    _LOG.info(
        "step %d, %.1f of %.1f min, rate %.2e, %.0f patches/s; pixels gradient texture %s",
        trainer.steps,
        trainer.used_s / 60,
        trainer.wanted.budget_s / 60,
        trainer.learning_rate(),
        rate,
        " ".join(f"{v:.5f}" for v in terms),
    )


def _keep(trainer: Trainer, valid: Pool, weights: Path) -> None:
    """Write checkpoint and weights, and log how the average does on the validation pool."""
    trainer.save()
    export(trainer.average, weights, about=_about(trainer))
    told, probe = valid.levels, trainer.average.probe
    if probe is not None and trainer.told is not trainer.pool.levels:
        told = probe.read(pool_statistics(valid)).level.detach().numpy()
    scores = validate(trainer.average, valid, trainer.task, told=told)
    for case, score in scores.items():
        _LOG.info(
            "  %-14s %6.2f -> %6.2f dB (detailed %6.2f), texture %.2f (%.2f)",
            case,
            score.before_db,
            score.after_db,
            score.detailed_db,
            score.texture,
            score.detailed_texture,
        )
    about = {
        **_about(trainer),
        "history": trainer.history,
        "scores": {case: asdict(score) for case, score in scores.items()},
    }
    (trainer.wanted.folder / "history.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
