"""The working curves: exact points, order, no clamp, and the way back."""

from __future__ import annotations

import pytest
import torch

from kwaflux_core.flows.card import Curve
from kwaflux_models.rendering import working_curves

CURVES: tuple[Curve, ...] = ("signed_log1p", "extended_srgb", "none")
every_curve = pytest.mark.parametrize("curve", CURVES)


@every_curve
def test_black_and_white_stay_where_they_are(curve: Curve) -> None:
    ends = torch.tensor([0.0, 1.0])
    assert torch.allclose(working_curves.encode(ends, curve), ends, atol=1e-7)
    assert torch.equal(working_curves.encode(ends[:1], curve), ends[:1])


def test_the_logarithm_is_odd() -> None:
    values = torch.logspace(-8, 6, 200)
    assert torch.equal(working_curves.encode(-values), -working_curves.encode(values))
    assert torch.equal(working_curves.decode(-values / 1e6), -working_curves.decode(values / 1e6))


def test_the_display_curve_is_the_displays_between_black_and_white() -> None:
    gray = working_curves.encode(torch.tensor([0.002, 0.18, 0.5]), "extended_srgb")
    assert gray.tolist() == pytest.approx([0.02584, 0.46136, 0.73536], abs=1e-4)


@every_curve
def test_nothing_clamps_and_the_order_is_kept(curve: Curve) -> None:
    values = torch.cat([-torch.logspace(6, -6, 400), torch.logspace(-6, 9, 400)])
    curved = working_curves.encode(values, curve)
    assert bool((curved.diff() > 0).all())


@every_curve
def test_every_finite_half_comes_back(curve: Curve) -> None:
    bits = torch.arange(0, 0x7C00, dtype=torch.int16)
    halves = torch.cat([bits.view(torch.float16), -bits.view(torch.float16)])
    there_and_back = working_curves.decode(working_curves.encode(halves.float(), curve), curve)
    assert torch.equal(there_and_back.half(), halves)


@every_curve
def test_the_round_trip_is_close_far_above_half(curve: Curve) -> None:
    values = torch.logspace(-7, 9, 1000, dtype=torch.float32)
    error = (
        working_curves.decode(working_curves.encode(values, curve), curve) - values
    ).abs() / values
    assert error.max().item() < 4e-6


@every_curve
def test_infinity_and_nan_are_not_hidden(curve: Curve) -> None:
    odd = working_curves.encode(torch.tensor([float("inf"), float("-inf"), float("nan")]), curve)
    assert odd[0] == float("inf")
    assert odd[1] == float("-inf")
    assert torch.isnan(odd[2])
