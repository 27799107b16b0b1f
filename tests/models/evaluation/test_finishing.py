"""Deband, regrain and expand are held to their own numbers through the real renderer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kwaflux_core.flows.flow import Flow
from kwaflux_models.evaluation.metrics import finishing
from kwaflux_models.evaluation.metrics.finishing import (
    FINISHING,
    measure_deband,
    measure_expand,
    measure_regrain,
)
from kwaflux_models.evaluation.report.gate import Gate
from kwaflux_models.evaluation.run.run_effects import PLANS, EffectRunner
from kwaflux_models.evaluation.run.testset import TestSet
from kwaflux_models.rendering import working_curves
from kwaflux_models.training.pictures.sources import Picture


@pytest.fixture(scope="module")
def runner() -> EffectRunner:
    return EffectRunner.on_cpu()


@pytest.fixture
def tests(tmp_path_factory: pytest.TempPathFactory) -> TestSet:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:150, 0:300].astype(np.float32)
    world = 0.2 + 0.1 * np.sin(x / 40) + 20.0 * np.exp(-((x - 90) ** 2 + (y - 70) ** 2) / 800)
    wide = rng.integers(40, 200, (20, 20, 3)).repeat(20, 0).repeat(20, 1).astype(np.uint8)
    pictures = (
        Picture("photo", "display", wide),
        Picture("world", "linear", np.repeat(world[..., None], 3, axis=2).astype(np.float32)),
    )
    return TestSet(tmp_path_factory.mktemp("cases"), pictures)


def outcomes(made: list[Gate]) -> dict[str, str]:
    return {gate.text: gate.outcome for gate in made}


def test_every_effect_with_measures_of_its_own_has_a_plan() -> None:
    assert set(FINISHING) <= set(PLANS)


def test_deband_is_measured_and_what_does_nothing_misses(
    runner: EffectRunner, tests: TestSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = outcomes(measure_deband(runner, tests))
    assert made["false-contour energy down by at least 70 %"] == "pass"
    monkeypatch.setattr(finishing, "_render", lambda _runner, _flow, linear: linear)
    lazy = outcomes(measure_deband(runner, tests))
    assert lazy["false-contour energy down by at least 70 %"] == "miss"
    assert lazy["edges within 0.1 dB"] == "pass"


def test_expand_is_measured_against_the_best_fixed_curve(
    runner: EffectRunner, tests: TestSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = outcomes(measure_expand(runner, tests))
    assert made["mid-tones within 0.1 %"] == "pass"
    monkeypatch.setattr(finishing, "_render", lambda _runner, _flow, linear: linear * 1.01)
    wrong = outcomes(measure_expand(runner, tests))
    assert set(wrong.values()) == {"miss"}


def test_a_perfect_cleaning_leaves_the_clean_picture_and_then_denoise_is_back(
    runner: EffectRunner,
) -> None:
    rng = np.random.default_rng(1)
    clean = rng.uniform(0.1, 0.6, (96, 128, 3)).astype(np.float32)
    noisy = clean + rng.normal(0.0, 0.02, clean.shape).astype(np.float32)
    working = runner.registry.cards["denoise"].working
    planes = torch.from_numpy(clean.transpose(2, 0, 1).copy())
    curve = working_curves.encode(planes, curve=working.curve)[None]
    flow = Flow.parse("denoise")
    before = runner.render(flow, noisy[None], (0,))[0].picture
    with runner.replaced("denoise", finishing._PerfectCleaning(curve)):
        perfect = runner.render(flow, noisy[None], (0,))[0].picture
    assert np.abs(perfect - clean).max() < 1e-5
    after = runner.render(flow, noisy[None], (0,))[0].picture
    assert np.array_equal(before, after)


def test_regrain_is_measured_alone_and_behind_denoise(
    runner: EffectRunner, tests: TestSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "_GRAIN_SIDE_PX", 192)
    monkeypatch.setattr(finishing, "_GRAIN_PICTURES", (0,))
    made = measure_regrain(runner, tests)
    assert len(made) == 4
    assert all("nan" not in gate.found for gate in made)
    assert sum("a perfect cleaning" in gate.text for gate in made) == 2
