"""The training loop: exact resumption, its clock, its batches, and what the weights say."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from kwaflux_core.errors import ModelError

pytest.importorskip("av")
pytest.importorskip("tomllib")

from kwaflux_models.training import loop
from kwaflux_models.training.losses import (
    LossWeights,
    block_energy,
    denoise_loss,
    display_weight,
)
from kwaflux_models.training.pool import Pool, open_pool, shard_seed
from kwaflux_models.training.recipe import Recipe, read_recipe, recipe_path
from kwaflux_models.training.train import shipped_weights


def small_recipe() -> Recipe:
    return replace(read_recipe(recipe_path("denoise")), batch=4, patch_px=24, warmup_steps=1)


def small_pool() -> Pool:
    rng = np.random.default_rng(0)
    clean = rng.random((8, 32, 32, 3), dtype=np.float32)
    noisy = clean + 0.05 * rng.standard_normal(clean.shape, dtype=np.float32)
    cases = np.array(["sensor", "clean"] * 4)
    return Pool(noisy.astype(np.float16), clean.astype(np.float16), cases)


class Clock:
    """A clock that moves one second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def new_trainer(folder: Path, *, threads: int = 1) -> loop.Trainer:
    return loop.Trainer(
        small_recipe(), small_pool(), folder, budget_s=10.0, clock=Clock(), threads=threads
    )


def test_a_resumed_run_takes_the_same_steps(tmp_path: Path) -> None:
    whole = new_trainer(tmp_path)
    whole.step()
    whole.save()
    whole.step()
    second = new_trainer(tmp_path)
    assert second.resume()
    second.step()
    assert second.steps == whole.steps == 2
    assert second.used_s == whole.used_s
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name])
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(tensor, second.average.state_dict()[name])


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    one, two = new_trainer(tmp_path), new_trainer(tmp_path, threads=2)
    for trainer in (one, two):
        trainer.step()
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, two.network.state_dict()[name])


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert not new_trainer(tmp_path).resume()


def test_the_rate_follows_the_clock_down_and_the_finish_is_lower(tmp_path: Path) -> None:
    trainer = new_trainer(tmp_path)
    main_s = trainer.budget_s * (1.0 - trainer.recipe.finish_share)
    rates = []
    for used in (0.0, main_s / 2, main_s * 0.9999, main_s * 1.0001, 10.0, 11.0):
        trainer.used_s = used
        rates.append(trainer.learning_rate())
    full, low = trainer.recipe.learning_rate, trainer.recipe.finish_learning_rate
    assert low < full
    assert rates == pytest.approx([full, full / 2, 0.0, low, 0.0, 0.0], abs=1e-6)


def test_batches_depend_on_the_generator_alone() -> None:
    first, second = (
        loop.draw_batch(small_pool(), small_recipe(), np.random.default_rng(6)) for _ in range(2)
    )
    assert torch.equal(first.degraded, second.degraded)
    assert torch.equal(first.level, second.level)
    assert first.degraded.shape == (4, 3, 24, 24)


def test_a_batch_tells_the_measured_level_or_that_it_is_unknown() -> None:
    recipe = replace(small_recipe(), batch=64, blind_share=0.5)
    batch = loop.draw_batch(small_pool(), recipe, np.random.default_rng(1))
    measured = (batch.degraded - batch.clean).flatten(1).std(dim=1)
    told = batch.level.flatten()
    is_known = told >= 0
    assert 16 < int(is_known.sum()) < 48
    assert bool((told[~is_known] == -1.0).all())
    assert bool(((told / measured)[is_known] - 1.0).abs().max() < 0.1001)


def test_exported_weights_say_where_they_come_from(tmp_path: Path) -> None:
    trainer = new_trainer(tmp_path)
    path = tmp_path / "weights.safetensors"
    loop.export(trainer.average, path, about={"steps": "0"})
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"steps": "0"}
        assert file.get_tensor("intro.weight").dtype == torch.float16


def test_the_shipped_weights_were_made_by_the_recipe_that_ships() -> None:
    with safe_open(shipped_weights("denoise"), framework="pt") as file:
        named = file.metadata()["recipe_sha256"]
    assert named == hashlib.sha256(recipe_path("denoise").read_bytes()).hexdigest()


def test_a_pool_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no shards"):
        open_pool(tmp_path)


def test_shards_differ_and_repeat() -> None:
    draws = [shard_seed(7, number).integers(1 << 40) for number in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]


def test_the_loss_is_nothing_on_the_clean_picture_and_grows_with_smoothing() -> None:
    torch.manual_seed(2)
    clean = torch.rand(2, 3, 64, 64)
    smooth = torch.nn.functional.avg_pool2d(clean, 3, stride=1, padding=1)
    one = torch.ones(2, 1, 1, 1)
    weights = LossWeights(gradient=0.2, texture=0.01)
    assert float(denoise_loss(clean, clean, one, weights).total) == pytest.approx(0.0, abs=1e-7)
    losses = denoise_loss(smooth, clean, one, weights)
    assert float(losses.texture) > 1.0
    assert bool((block_energy(smooth) < block_energy(clean)).all())


def test_energy_above_the_clean_one_costs_nothing_in_the_texture_term() -> None:
    torch.manual_seed(2)
    clean = torch.rand(1, 3, 64, 64)
    sharp = clean + 0.3 * torch.randn_like(clean)
    losses = denoise_loss(sharp, clean, torch.ones(1, 1, 1, 1), LossWeights(0.0, 1.0))
    assert float(losses.texture) == pytest.approx(0.0, abs=1e-6)


def test_an_error_counts_more_in_highlights() -> None:
    weights = display_weight(torch.tensor([0.118, 0.605, 1.0, 1.49]))
    assert weights.tolist() == pytest.approx([0.69, 0.975, 1.86, 1.86], rel=0.03)
