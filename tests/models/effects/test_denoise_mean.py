"""The mean of five frames: independent noise goes, what differs or is shared stays."""

from __future__ import annotations

import pytest
import torch

from kwaflux_models.effects.denoise.network import (
    ABSENT,
    NEIGHBORS,
    PLANES,
    DenoiseNetwork,
    mean_of,
)

SIGMA = 0.05


def told(sigma: float = SIGMA) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), sigma)


def planes(neighbors: torch.Tensor, mismatch: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return differences (1, NEIGHBORS, 3, H, W), and one mismatch everywhere."""
    return neighbors[None], torch.full((1, NEIGHBORS, 1, *neighbors.shape[-2:]), mismatch)


def test_independent_noise_falls_by_the_root_of_five() -> None:
    torch.manual_seed(0)
    frame = SIGMA * torch.randn(1, 3, 96, 96)
    others = SIGMA * torch.randn(NEIGHBORS, 3, 96, 96)
    mean = mean_of(*planes(others - frame, SIGMA * 2**0.5), told())
    left = float((frame + mean.change).std())
    assert left == pytest.approx(SIGMA / 5**0.5, rel=0.03)
    assert float(mean.level.mean()) == pytest.approx(left, rel=0.05)


def test_what_shows_something_else_is_left_out() -> None:
    others = torch.full((NEIGHBORS, 3, 8, 8), 0.5)
    mean = mean_of(*planes(others, 0.5), told(0.02))
    assert float(mean.change.abs().max()) == 0.0
    assert float(mean.level.mean()) == pytest.approx(0.02, rel=1e-3)


def test_noise_that_all_frames_share_is_not_taken_for_gone() -> None:
    mean = mean_of(*planes(torch.zeros(NEIGHBORS, 3, 8, 8), 0.0), told())
    assert float(mean.change.abs().max()) == 0.0
    assert float(mean.level.mean()) == pytest.approx(SIGMA, rel=1e-3)


def test_an_absent_neighbor_counts_nothing() -> None:
    torch.manual_seed(1)
    others = torch.randn(NEIGHBORS, 3, 8, 8)
    mean = mean_of(*planes(others, ABSENT), told())
    assert float(mean.weights.abs().max()) == 0.0
    assert float(mean.change.abs().max()) == 0.0
    assert float(mean.level.mean()) == pytest.approx(SIGMA, rel=1e-3)


def test_no_neighbors_and_absent_ones_give_the_same_picture() -> None:
    torch.manual_seed(2)
    network, picture = DenoiseNetwork().eval(), torch.rand(1, 3, 32, 32)
    levels = torch.tensor([SIGMA, 0.5]).reshape(1, 2, 1, 1)
    extra = torch.zeros(1, NEIGHBORS * PLANES, 32, 32)
    extra[:, PLANES - 1 :: PLANES] = ABSENT
    with torch.no_grad():
        assert torch.equal(network(picture, levels), network(picture, levels, extra))


def test_a_level_of_nothing_is_finite() -> None:
    mean = mean_of(*planes(torch.zeros(NEIGHBORS, 3, 8, 8), 0.0), told(0.0))
    assert bool(torch.isfinite(mean.level).all() & torch.isfinite(mean.weights).all())
