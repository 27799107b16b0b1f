"""How far a network looks is found by trying."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_models.effects.external.receptive_field import Reach, measure_reach


class _Convolutions(nn.Module):
    """As many 3 x 3 convolutions as are asked for, all of whose input counts."""

    def __init__(self, count: int, scale: int = 1) -> None:
        super().__init__()
        self.count, self.scale = count, scale

    def forward(self, code: Tensor) -> Tensor:
        for _ in range(self.count):
            kernel = torch.full((code.shape[1], 1, 3, 3), 1 / 9)
            code = F.conv2d(code, kernel, padding=1, groups=code.shape[1])
        return F.interpolate(code, scale_factor=self.scale) if self.scale > 1 else code


def _pooled(code: Tensor) -> Tensor:
    return code * code.mean(dim=(2, 3), keepdim=True)


def _windowed(code: Tensor) -> Tensor:
    """Subtract the mean of each 8 x 8 window, as a transformer without shifts would look."""
    height, width = code.shape[2:]
    padded = F.pad(code, (0, -width % 8, 0, -height % 8), mode="replicate")
    means = F.interpolate(F.avg_pool2d(padded, 8), scale_factor=8)
    return 0.5 + code - means[..., :height, :width]


@pytest.mark.parametrize(
    ("count", "scale", "channels"), [(0, 1, 3), (1, 2, 1), (3, 1, 1), (3, 2, 3)]
)
def test_the_reach_of_convolutions_is_their_number(count: int, scale: int, channels: int) -> None:
    found = measure_reach(_Convolutions(count, scale), channels=channels, scale=scale)
    assert found.halo_px == count
    assert found.align_px == 1
    assert found.is_bounded


def test_a_network_that_pools_over_the_picture_has_no_reach() -> None:
    found = measure_reach(_pooled, channels=3, scale=1, halo_max_px=64)
    assert not found.is_bounded
    assert found.difference > 1e-3


def test_windows_give_the_grid() -> None:
    found = measure_reach(_windowed, channels=1, scale=1)
    assert found == Reach(0, 8, found.difference)
    assert found.is_bounded


def test_the_grid_is_a_multiple_of_what_the_network_says() -> None:
    found = measure_reach(_Convolutions(2), channels=1, scale=1, multiple_px=6)
    assert (found.halo_px, found.align_px) == (6, 6)
    found = measure_reach(_windowed, channels=1, scale=1, multiple_px=2)
    assert (found.halo_px, found.align_px) == (0, 8)


def test_what_looks_farther_than_the_limit_is_not_bounded() -> None:
    assert not measure_reach(_Convolutions(24), channels=1, scale=1, halo_max_px=8).is_bounded
    found = measure_reach(_Convolutions(6), channels=1, scale=1, halo_max_px=8)
    assert found.is_bounded
    assert 5 <= found.halo_px <= 6
