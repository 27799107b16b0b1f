"""Run the training loop and write what comes out of it.

Owns batches, the learning rate's clock, checkpoints, validation and the export of weights. The
learning rate follows the wall clock, so that a run ends when it was asked to, however busy the
machine is. Must not know how a degradation works, nor the command line.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from kwaflux_models import domain
from kwaflux_models.denoise.network import DenoiseNetwork
from kwaflux_models.training import sources
from kwaflux_models.training.degrade import Array, display_encode
from kwaflux_models.training.losses import denoise_loss
from kwaflux_models.training.pool import Pool
from kwaflux_models.training.recipe import Recipe

__all__ = ["Batch", "Trainer", "draw_batch", "export", "run", "validate"]

_LOG = logging.getLogger("kwaflux.models.training")


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input, channels last: pictures in the working curve, levels, sample weights."""

    degraded: Tensor
    clean: Tensor
    level: Tensor
    weight: Tensor

    def split(self, size: int) -> list[Batch]:
        """Return the batch in parts of ``size`` samples."""
        fields = (self.degraded, self.clean, self.level, self.weight)
        starts = range(0, self.clean.shape[0], size)
        return [Batch(*(field[start : start + size] for field in fields)) for start in starts]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one part of a batch gives: gradients, and the pixel, gradient and texture terms."""

    gradients: tuple[Tensor, ...]
    terms: tuple[float, float, float]


def _working(patches: NDArray[np.float16]) -> Tensor:
    """Bring (N, H, W, 3) half scene-linear patches to (N, 3, H, W) float32, working curve."""
    linear = torch.from_numpy(patches.astype(np.float32)).permute(0, 3, 1, 2)
    return domain.encode(linear)


def draw_batch(pool: Pool, recipe: Recipe, rng: np.random.Generator) -> Batch:
    """Draw random crops in random orientation, and what the network is told of their noise."""
    side = recipe.patch_px
    picks = rng.integers(len(pool), size=recipe.batch)
    pairs = []
    for pick in picks:
        top, left = (int(v) for v in rng.integers(pool.clean.shape[1] - side + 1, size=2))
        cut = np.s_[top : top + side, left : left + side]
        both = np.stack([pool.degraded[pick][cut], pool.clean[pick][cut]])
        both = np.rot90(both, k=int(rng.integers(4)), axes=(1, 2))
        pairs.append(np.flip(both, axis=2) if rng.random() < 0.5 else both)
    stacked = np.stack(pairs)
    degraded, clean = _working(stacked[:, 0]), _working(stacked[:, 1])
    level = (degraded - clean).flatten(1).std(dim=1).reshape(-1, 1, 1, 1)
    weight = 0.1 / (level + 0.05)
    weight = weight * torch.from_numpy(recipe.case_weights(pool.cases[picks])).reshape(-1, 1, 1, 1)
    jitter = torch.from_numpy(rng.uniform(0.9, 1.1, size=(recipe.batch, 1, 1, 1))).float()
    is_blind = torch.from_numpy(rng.random((recipe.batch, 1, 1, 1)) < recipe.blind_share)
    told = torch.where(is_blind, torch.tensor(-1.0), level * jitter)
    return Batch(degraded, clean, told, weight)


@torch.no_grad()
def validate(network: nn.Module, pool: Pool) -> dict[str, tuple[float, float]]:
    """Return the PSNR of input and of output per case, level unknown, in display-encoded values."""
    sums: dict[str, list[tuple[float, float]]] = {}
    for start in range(0, len(pool), 16):
        part = slice(start, start + 16)
        degraded, clean = _working(pool.degraded[part]), _working(pool.clean[part])
        level = torch.full((degraded.shape[0], 1, 1, 1), -1.0)
        restored = degraded + network(degraded, level)
        shown = [_display(picture) for picture in (clean, degraded, restored)]
        for row, case in enumerate(pool.cases[part]):
            before, after = (
                float(np.mean(np.square(picture[row] - shown[0][row]))) for picture in shown[1:]
            )
            sums.setdefault(str(case), []).append((before, after))
    return {
        case: (_mean_psnr([v[0] for v in values]), _mean_psnr([v[1] for v in values]))
        for case, values in sorted(sums.items())
    }


def _display(working: Tensor) -> Array:
    linear = domain.decode(working).numpy()
    return np.clip(display_encode(linear, "srgb"), 0.0, 1.0)


def _mean_psnr(errors: list[float]) -> float:
    return float(np.mean([min(60.0, -10.0 * math.log10(max(e, 1e-9))) for e in errors]))


class Trainer:
    """One run: network, its moving average, optimiser, random generator and time used so far.

    Args:
        recipe: The recipe.
        pool: Training pairs.
        folder: Where the checkpoint lies.
        budget_s: Seconds of training in all, resumed parts included.
        clock: Monotonic seconds.
        threads: Threads that compute parts of a batch side by side.
    """

    def __init__(
        self,
        recipe: Recipe,
        pool: Pool,
        folder: Path,
        *,
        budget_s: float,
        clock: Callable[[], float],
        threads: int = 1,
    ) -> None:
        self.recipe, self.pool, self.folder = recipe, pool, folder
        self.budget_s, self.clock = budget_s, clock
        torch.manual_seed(recipe.seed)
        self.rng = np.random.default_rng(recipe.seed)
        self.network = DenoiseNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = DenoiseNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average.load_state_dict(self.network.state_dict())
        self.parameters = list(self.network.parameters())
        self.threads = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=recipe.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=recipe.weight_decay,
        )
        self.steps = 0
        self.used_s = 0.0

    def finishing(self) -> float:
        """Return how far the run is into its finish, 0..1; negative before it."""
        main = 1.0 - self.recipe.finish_share
        return min(1.0, (self.used_s / self.budget_s - main) / self.recipe.finish_share)

    def learning_rate(self) -> float:
        """Return the rate for the time used: a short warm-up and half a cosine, then the finish's.

        The finish is a second, lower half cosine, in which clean samples count more.
        """
        into = self.finishing()
        if into >= 0.0:
            return self.recipe.finish_learning_rate * 0.5 * (1.0 + math.cos(math.pi * into))
        warm = min(1.0, (self.steps + 1) / self.recipe.warmup_steps)
        share = self.used_s / (self.budget_s * (1.0 - self.recipe.finish_share))
        return self.recipe.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * share))

    def step(self) -> tuple[float, float, float]:
        """Take one step and return its pixel, gradient and texture terms.

        The batch goes through in small parts, one thread each, as threads come free: on a machine
        that others use too, a thread that is held up holds up one part and not every layer. The
        parts are summed in order, so the result does not depend on which came first.
        """
        begin = self.clock()
        recipe = self.recipe
        if self.finishing() >= 0.0:
            recipe = replace(recipe, light_weight=recipe.finish_light_weight)
        batch = draw_batch(self.pool, recipe, self.rng)
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        parts = list(self.threads.map(self._part, batch.split(self.recipe.batch // 4)))
        for index, parameter in enumerate(self.parameters):
            parameter.grad = torch.stack([part.gradients[index] for part in parts]).mean(dim=0)
        nn.utils.clip_grad_norm_(self.parameters, 0.5)
        self.optimiser.step()
        self._follow()
        self.steps += 1
        self.used_s += self.clock() - begin
        pixels, gradient, texture = np.mean([part.terms for part in parts], axis=0)
        return float(pixels), float(gradient), float(texture)

    def _part(self, batch: Batch) -> _Part:
        """Compute the gradients of a part of a batch; runs in a thread of its own."""
        degraded = batch.degraded.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            residual = self.network(degraded, batch.level)
        restored = batch.degraded + residual.float()
        losses = denoise_loss(restored, batch.clean, batch.weight, self.recipe.loss)
        gradients = torch.autograd.grad(losses.total, self.parameters)
        return _Part(
            gradients, (float(losses.pixels), float(losses.gradient), float(losses.texture))
        )

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the network; faster in the beginning."""
        keep = min(self.recipe.ema, (self.steps + 1) / (self.steps + 10))
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast, 1.0 - keep)

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "steps": self.steps,
            "used_s": self.used_s,
        }
        part = self.folder / "checkpoint.part"
        torch.save(state, part)
        part.replace(self.folder / "checkpoint.pt")

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is one; returns whether there was."""
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.steps, self.used_s = int(state["steps"]), float(state["used_s"])
        return True


def export(network: nn.Module, path: Path, *, about: dict[str, str]) -> None:
    """Write a network as float16 safetensors with strings about its origin, atomically."""
    tensors = {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
    }
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=about)
    part.chmod(0o644)
    part.replace(path)


def _about(trainer: Trainer) -> dict[str, str]:
    recipe = trainer.recipe
    return {
        "effect": "denoise",
        "recipe_sha256": recipe.sha256,
        "steps": str(trainer.steps),
        "patches": str(trainer.steps * recipe.batch),
        "minutes": f"{trainer.used_s / 60:.0f}",
        "seed": str(recipe.seed),
        "pool_seed": str(recipe.pool_seed),
        "data": json.dumps(sources.licences()),
        "torch": str(torch.__version__),
    }


def run(trainer: Trainer, valid: Pool, weights: Path, *, every_s: float) -> None:
    """Train until the time is used, with a checkpoint, weights and a validation now and then."""
    due = trainer.clock() + every_s / 4
    terms: list[tuple[float, float, float]] = []
    while trainer.used_s < trainer.budget_s:
        terms.append(trainer.step())
        if trainer.steps % 100 == 0:
            means = " ".join(f"{v:.5f}" for v in np.mean(terms, axis=0))
            rate = trainer.steps * trainer.recipe.batch / trainer.used_s
            _LOG.info(
                "step %d  %.1f min  %.0f patches/s  pixels gradient texture %s",
                trainer.steps,
                trainer.used_s / 60,
                rate,
                means,
            )
            terms.clear()
        if trainer.clock() >= due or trainer.used_s >= trainer.budget_s:
            begin = trainer.clock()
            trainer.save()
            export(trainer.average, weights, about=_about(trainer))
            for case, (before, after) in validate(trainer.average, valid).items():
                _LOG.info("  %-13s %.2f -> %.2f dB", case, before, after)
            due = trainer.clock() + every_s
            trainer.used_s += trainer.clock() - begin
