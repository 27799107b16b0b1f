"""What changes from frame to frame is noise; texture that moves with the picture is not."""

from __future__ import annotations

import pytest
import torch

from kwaflux_models.effects.denoise.temporal_noise import temporal_noise


def _noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_independent_noise_is_measured_whatever_the_texture(sigma: float) -> None:
    texture = 0.5 + 0.1 * _noise(4, 3, 128, 128, seed=1)
    frames = torch.stack([texture + sigma * _noise(4, 3, 128, 128, seed=s) for s in range(2, 7)])
    measured = temporal_noise(frames[0], frames[1:])
    assert measured == pytest.approx(sigma, rel=0.1)


def test_texture_without_noise_has_none() -> None:
    texture = 0.5 + 0.1 * _noise(4, 3, 128, 128, seed=1)
    assert temporal_noise(texture, texture.expand(2, -1, -1, -1, -1)) == 0.0


def test_neighbors_of_another_shot_do_not_count_beside_two_of_this() -> None:
    texture = 0.5 + 0.1 * _noise(2, 3, 64, 64, seed=1)
    other = 0.2 + 0.1 * _noise(2, 3, 64, 64, seed=2)
    assert temporal_noise(texture, torch.stack([other, texture, other, texture])) == 0.0


def test_black_bars_and_clipped_places_do_not_count() -> None:
    frames = 0.5 + 0.03 * _noise(3, 2, 3, 128, 128, seed=3)
    frames[..., :80, :] = 0.0
    assert temporal_noise(frames[0], frames[1:]) == pytest.approx(0.03, rel=0.1)
    assert temporal_noise(torch.zeros(1, 3, 64, 64), torch.zeros(2, 1, 3, 64, 64)) == 0.0
