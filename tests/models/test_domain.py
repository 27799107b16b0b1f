"""The working curve: exact points, symmetry, no clamp, and the way back."""

from __future__ import annotations

import pytest
import torch

from kwaflux_models import domain


def test_black_and_white_stay_where_they_are() -> None:
    ends = torch.tensor([-1.0, 0.0, 1.0])
    assert torch.equal(domain.encode(ends), ends)


def test_the_curve_is_odd() -> None:
    values = torch.logspace(-8, 6, 200)
    assert torch.equal(domain.encode(-values), -domain.encode(values))
    assert torch.equal(domain.decode(-values / 1e6), -domain.decode(values / 1e6))


def test_nothing_clamps_above_white() -> None:
    bright = domain.encode(torch.tensor([1.0, 8.0, 1000.0, 65504.0, 2.0**30]))
    assert bool((bright[1:] > bright[:-1]).all())
    assert bright[1].item() == pytest.approx(1.4949, abs=1e-4)


def test_every_finite_half_comes_back() -> None:
    bits = torch.arange(0, 0x7C00, dtype=torch.int16)
    halves = bits.view(torch.float16)
    there_and_back = domain.decode(domain.encode(halves.float()))
    assert torch.equal(there_and_back.half(), halves)


def test_the_round_trip_is_close_far_above_half() -> None:
    values = torch.logspace(-7, 9, 1000, dtype=torch.float32)
    error = (domain.decode(domain.encode(values)) - values).abs() / values
    assert error.max().item() < 4e-6


def test_infinity_and_nan_are_not_hidden() -> None:
    odd = domain.encode(torch.tensor([float("inf"), float("-inf"), float("nan")]))
    assert odd[0] == float("inf")
    assert odd[1] == float("-inf")
    assert torch.isnan(odd[2])
