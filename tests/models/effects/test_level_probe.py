"""The probe: its statistics tell noise, codecs and softness apart; the sure samples count more."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("av")

from kwaflux_models.effects.level_probe import LevelProbe, ProbeOutput, statistics
from kwaflux_models.training.loop.fit_level_probe import cross_judged, fit_probe


def textured(count: int) -> torch.Tensor:
    torch.manual_seed(3)
    coarse = torch.rand(count, 3, 10, 10)
    enlarged = torch.nn.functional.interpolate(coarse, size=(96, 96), mode="bilinear")
    return 0.2 + 0.6 * enlarged


def noisy_samples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    levels = torch.linspace(0.0, 0.1, count)
    clean = textured(count)
    return clean + levels.reshape(-1, 1, 1, 1) * torch.randn_like(clean), levels


def test_statistics_are_finite_for_black_white_and_beyond() -> None:
    flat = torch.stack([torch.full((3, 96, 96), value) for value in (-2.0, 0.0, 1.0, 100.0)])
    assert bool(torch.isfinite(statistics(flat)).all())


def test_statistics_do_not_depend_on_the_other_samples() -> None:
    samples, _ = noisy_samples(4)
    assert torch.allclose(statistics(samples)[2:3], statistics(samples[2:3]), atol=1e-5)


def test_a_picture_in_blocks_of_eight_stands_out() -> None:
    samples = textured(1)
    blocks = torch.nn.functional.avg_pool2d(samples, 8).repeat_interleave(8, 2)
    blocks = blocks.repeat_interleave(8, 3)
    assert bool((statistics(blocks)[:, -2:] > statistics(samples)[:, -2:] + 0.5).all())


def test_a_fitted_probe_knows_noise_it_has_not_seen() -> None:
    samples, levels = noisy_samples(120)
    order = torch.randperm(120)
    seen, unseen = order[:90], order[90:]
    found = statistics(samples)
    probe = fit_probe(found[seen], levels[seen], seed=1, steps=300)
    with torch.inference_mode():
        judged = probe.read(found[unseen])
    assert float((judged.level - levels[unseen]).abs().mean()) < 0.01
    assert bool((judged.level >= 0).all())
    assert bool((judged.doubt > 0).all())


def test_a_fit_repeats_from_its_seed() -> None:
    samples, levels = noisy_samples(40)
    found = statistics(samples)
    one, two = (cross_judged(found, levels, seed=5, steps=20) for _ in range(2))
    assert torch.equal(one, two)


def test_sure_samples_count_more() -> None:
    judged = ProbeOutput(torch.tensor([0.1, 0.9]), torch.tensor([0.01, 0.1]))
    assert judged.mean_level() == pytest.approx(0.1 + 0.8 / 101, abs=1e-6)


def test_a_new_probe_judges_without_being_fitted() -> None:
    with torch.inference_mode():
        judged = LevelProbe()(textured(2))
    assert judged.level.shape == judged.doubt.shape == (2,)


def test_doubt_lowers_the_confident_level() -> None:
    level = torch.tensor([0.05, 0.05])
    sure = ProbeOutput(level, torch.tensor([0.01, 0.01]))
    unsure = ProbeOutput(level, torch.tensor([0.01, 0.05]))
    assert sure.confident_level() == pytest.approx(0.03)
    assert unsure.confident_level() == pytest.approx(-0.01)
    assert unsure.mean_level() == pytest.approx(sure.mean_level())
