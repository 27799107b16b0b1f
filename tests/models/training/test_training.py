"""The training loop: exact resumption, its clock, its batches, and what the weights say."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from kwaflux_core.color.display_curves import display_decode
from kwaflux_core.errors import ModelError

pytest.importorskip("av")
pytest.importorskip("tomllib")

from kwaflux_models.training.loop import sample_pool
from kwaflux_models.training.loop import trainer as loop
from kwaflux_models.training.loop.batch import draw_batch, validate
from kwaflux_models.training.loop.initial_weights import (
    fitted_state,
    shipped_weights,
    start_tensors,
)
from kwaflux_models.training.loop.losses import LossWeights, block_energy, restoration_loss
from kwaflux_models.training.loop.publish import publish
from kwaflux_models.training.loop.recipe import Recipe, read_recipe, recipe_path
from kwaflux_models.training.loop.sample_pool import (
    Pool,
    PoolPlan,
    make_pool,
    open_pool,
    shard_seed,
)
from kwaflux_models.training.tasks import find_task, trainable_effects
from kwaflux_models.training.tasks.denoise import best_level

EFFECTS = trainable_effects()
every_effect = pytest.mark.parametrize("effect", EFFECTS)


def small_recipe(effect: str = "decompress") -> Recipe:
    recipe = read_recipe(recipe_path(effect))
    return replace(recipe, batch=4, patch_px=24, warmup_steps=1, level_jitter=0.0)


def small_pool(effect: str = "decompress") -> Pool:
    task = find_task(effect)
    rng = np.random.default_rng(0)
    clean = rng.random((8, 32 * task.scale, 32 * task.scale, 3), dtype=np.float32)
    small = clean.reshape(8, 32, task.scale, 32, task.scale, 3).mean(axis=(2, 4))
    degraded = small + 0.05 * rng.standard_normal(small.shape, dtype=np.float32)
    planes = 3 if task.scale > 1 else 0
    side = 32 if planes else 1
    extra = 0.1 * rng.standard_normal((8, planes, side, side))
    return Pool(
        degraded.astype(np.float16),
        clean.astype(np.float16),
        extra.astype(np.float16),
        np.linspace(0.0, 0.7, 8, dtype=np.float32),
        np.array(["h264", "clean"] * 4),
    )


class Clock:
    """A clock that moves one second each time it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def new_trainer(
    folder: Path, *, effect: str = "decompress", threads: int = 1, budget_s: float = 10.0
) -> loop.Trainer:
    run = loop.Run(effect, folder, budget_s, torch.device("cpu"), torch.float32, threads)
    return loop.Trainer(
        run, small_recipe(effect), find_task(effect), small_pool(effect), clock=Clock()
    )


def equal_states(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


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
    assert equal_states(whole.network, second.network)
    assert equal_states(whole.average, second.average)


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    one, two = new_trainer(tmp_path), new_trainer(tmp_path, threads=2)
    for trainer in (one, two):
        trainer.step()
    assert equal_states(one.network, two.network)


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert not new_trainer(tmp_path).resume()


def test_the_rate_follows_the_clock_down(tmp_path: Path) -> None:
    trainer = new_trainer(tmp_path)
    rates = []
    for used in (0.0, 5.0, 10.0, 11.0):
        trainer.used_s = used
        rates.append(trainer.learning_rate())
    full = trainer.recipe.learning_rate
    assert rates == pytest.approx([full, full / 2, 0.0, 0.0], abs=1e-9)


@every_effect
def test_a_step_of_every_effect_changes_its_body_alone(tmp_path: Path, effect: str) -> None:
    trainer = new_trainer(tmp_path, effect=effect)
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    terms = trainer.step()
    assert all(np.isfinite(terms))
    changed = {n for n, t in trainer.network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed
    assert all(name.startswith("body.") for name in changed)


@every_effect
def test_every_recipe_names_cases_that_its_task_makes(effect: str) -> None:
    recipe = read_recipe(recipe_path(effect))
    assert 0.0 <= recipe.finish_share <= 1.0
    assert all(weight >= 0.0 for weight in recipe.case_weight.values())
    source = Path(find_task.__code__.co_filename).parent
    texts = "".join(path.read_text("utf-8") for path in source.glob("*.py"))
    assert all(f'"{case}"' in texts for case in recipe.case_weight)


def test_the_finish_tells_what_a_probe_says(tmp_path: Path) -> None:
    trainer = new_trainer(tmp_path)
    assert trainer.told is trainer.pool.levels
    trainer.begin_finish(fit_steps=20)
    assert trainer.told.shape == trainer.pool.levels.shape
    assert not np.array_equal(trainer.told, trainer.pool.levels)
    assert equal_states(trainer.network.probe, trainer.average.probe)  # type: ignore[arg-type]


@every_effect
def test_batches_depend_on_the_generator_alone(effect: str) -> None:
    pool, task = small_pool(effect), find_task(effect)
    recipe = small_recipe(effect)
    one, two = (
        draw_batch(pool, recipe, task, np.random.default_rng(6), told=pool.levels) for _ in range(2)
    )
    assert torch.equal(one.degraded, two.degraded)
    assert torch.equal(one.extra, two.extra)
    assert one.degraded.shape == (4, 3, 24, 24)
    assert one.clean.shape == (4, 3, 24 * task.scale, 24 * task.scale)


def test_input_and_target_are_turned_and_colored_alike() -> None:
    pool = small_pool()
    same = replace(pool, degraded=pool.clean)
    recipe = replace(small_recipe(), batch=32)
    batch = draw_batch(
        same, recipe, find_task("decompress"), np.random.default_rng(2), told=pool.levels
    )
    assert torch.equal(batch.degraded, batch.clean)


def test_a_validation_scores_every_case() -> None:
    pool, task = small_pool(), find_task("decompress")
    scores = validate(task.network(), pool, task, told=pool.levels)
    assert set(scores) == {"h264", "clean"}
    assert all(np.isfinite(score.after_db) for score in scores.values())


def test_exported_weights_say_where_they_come_from(tmp_path: Path) -> None:
    trainer = new_trainer(tmp_path)
    path = tmp_path / "weights.safetensors"
    loop.export(trainer.average, path, about={"steps": "0"})
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"steps": "0"}
        assert file.get_tensor("body.0.weight").dtype == torch.float16


@pytest.mark.parametrize("effect", [name for name in EFFECTS if shipped_weights(name).is_file()])
def test_the_shipped_weights_were_made_by_the_recipe_that_ships(effect: str) -> None:
    if effect == "denoise":
        pytest.skip("its body has published weights")
    with safe_open(shipped_weights(effect), framework="pt") as file:
        named = file.metadata()["recipe_sha256"]
    assert named == hashlib.sha256(recipe_path(effect).read_bytes()).hexdigest()


def test_a_start_with_fewer_inputs_leaves_the_further_ones_at_nothing() -> None:
    network = find_task("decompress").network()
    start = {"body.0.weight": torch.ones(96, 13, 3, 3), "body.2.bias": torch.ones(96)}
    state = fitted_state(network, start)
    assert bool((state["body.0.weight"][:, :13] == 1.0).all())
    assert not state["body.0.weight"][:, 13:].any()
    assert bool((state["body.2.bias"] == 1.0).all())


def test_denoise_ships_the_published_weights_as_they_are() -> None:
    shipped = load_file(shipped_weights("denoise"))
    for name, tensor in start_tensors("ffdnet").items():
        assert torch.equal(shipped[name], tensor.half())


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_the_level_of_white_noise_is_its_deviation(sigma: float) -> None:
    rng = np.random.default_rng(2)
    code = scipy.ndimage.gaussian_filter(rng.random((64, 64, 3)), (2.0, 2.0, 0.0))
    clean = (code - code.min()) / (code.max() - code.min())
    noisy = clean + sigma * rng.standard_normal(clean.shape)
    linear = [display_decode(x.astype(np.float32), "srgb") for x in (noisy, clean)]
    assert best_level(*linear) == pytest.approx(sigma, rel=0.35)
    assert best_level(linear[1], linear[1]) == 0.0


def test_a_level_begins_as_the_noise_level_that_the_recipe_names() -> None:
    plain, moved = (start_tensors("ffdnet", slope=s, zero=z) for s, z in ((1.0, 0.0), (0.14, 0.5)))
    level = 0.8

    def answer(tensors: dict[str, torch.Tensor], told: float) -> torch.Tensor:
        weight, bias = tensors["body.0.weight"][:, 12], tensors["body.0.bias"]
        return told * weight.sum(dim=(1, 2)) + bias

    torch.testing.assert_close(answer(moved, level), answer(plain, 0.14 * (level - 0.5)))


def test_a_start_of_another_network_is_refused() -> None:
    with pytest.raises(ModelError, match="no tensor"):
        fitted_state(find_task("denoise").network(), {"other.weight": torch.ones(1)})


def test_an_effect_without_a_task_is_named_with_those_that_have_one() -> None:
    with pytest.raises(ModelError, match="identity") as caught:
        find_task("identity")
    assert "decompress" in str(caught.value.hint)


def test_publishing_keeps_weights_and_card_together(tmp_path: Path) -> None:
    models, weights = tmp_path / "models", tmp_path / "some.safetensors"
    (models / "effects" / "some").mkdir(parents=True)
    (models / "weights").mkdir()
    card = {"id": "some", "weights": [{"file": "some.safetensors", "sha256": "0" * 64}]}
    (models / "effects" / "some" / "card.json").write_text(json.dumps(card), "utf-8")
    save_file({"a": torch.ones(1)}, weights)
    changed = publish(weights, models=models)
    named = json.loads(changed.read_text("utf-8"))["weights"][0]["sha256"]
    copied = models / "weights" / "some.safetensors"
    assert named == hashlib.sha256(copied.read_bytes()).hexdigest()
    other = shutil.copyfile(weights, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="no card names"):
        publish(other, models=models)


def test_a_pool_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no shards"):
        open_pool(tmp_path)


def test_shards_differ_and_repeat() -> None:
    draws = [shard_seed(7, number).integers(1 << 40) for number in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]


def loss_of(
    restored: torch.Tensor, clean: torch.Tensor, *, detail: float = 1.0, excess: float = 0.0
) -> dict[str, float]:
    one = torch.ones(clean.shape[0], 1, 1, 1)
    weights = LossWeights(gradient=0.2, texture=0.01, excess=excess)
    losses = restoration_loss(
        restored, clean, sample_weight=one, detail=detail * one, weights=weights
    )
    return {name: float(getattr(losses, name)) for name in ("total", "texture")}


def test_the_loss_is_nothing_on_the_clean_picture_and_grows_with_smoothing() -> None:
    torch.manual_seed(2)
    clean = torch.rand(2, 3, 64, 64)
    smooth = torch.nn.functional.avg_pool2d(clean, 3, stride=1, padding=1)
    assert loss_of(clean, clean)["total"] == pytest.approx(0.0, abs=1e-7)
    assert loss_of(smooth, clean)["texture"] > 1.0
    assert bool((block_energy(smooth) < block_energy(clean)).all())


def test_texture_counts_only_where_detail_is_wanted() -> None:
    torch.manual_seed(2)
    clean = torch.rand(2, 3, 64, 64)
    smooth = torch.nn.functional.avg_pool2d(clean, 3, stride=1, padding=1)
    assert loss_of(smooth, clean, detail=0.0)["texture"] == 0.0


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["flat", "textured"])
def test_energy_above_the_clean_one_costs_what_the_recipe_says(share: float) -> None:
    torch.manual_seed(2)
    clean = share * torch.rand(1, 3, 64, 64)
    sharp = clean + 0.3 * torch.randn_like(clean)
    assert loss_of(sharp, clean)["texture"] == pytest.approx(0.0, abs=1e-6)
    assert loss_of(sharp, clean, excess=1.0)["texture"] > 0.3


def test_shards_that_cannot_be_made_are_named_and_too_many_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pictures are missing in the children alone.
    monkeypatch.setattr(sample_pool, "load", lambda cache, split: [])
    said: list[str] = []
    with pytest.raises(ModelError, match="2 of 2 shards"):
        make_pool(tmp_path, tmp_path / "pool", PoolPlan("deblur", "valid", 1, 2), say=said.append)
    assert len(said) == 2
    assert all("no picture at" in line for line in said)
    assert not list((tmp_path / "pool").iterdir())
