"""The enlargement: Lanczos plus two parts, each taken as far as is wanted; four is twice two."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kwaflux_core.flows.card import Curve
from kwaflux_core.images.lanczos import lanczos_upscale
from kwaflux_models.effects.upscale.effect import EFFECT
from kwaflux_models.effects.upscale.network import UpscaleNetwork, enlarged
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import TileInput, Value

CURVE: Curve = "extended_srgb"


@pytest.fixture(name="network", scope="module")
def _network() -> UpscaleNetwork:
    torch.manual_seed(3)
    network = UpscaleNetwork().eval()
    nn.init.normal_(list(network.body.parameters())[-2], std=1e-3)
    return network


def picture(side: int = 24) -> torch.Tensor:
    torch.manual_seed(4)
    return working_curves.encode(torch.rand(1, 3, side, side) * 1.5 - 0.1, CURVE)


@torch.no_grad()
def residual(network: UpscaleNetwork, **values: Value) -> torch.Tensor | None:
    chosen = {"scale": "2", "strength": 1.0, "denoise": 1.0, "detail": 0.3, **values}
    pictures = TileInput(lambda: (picture(),), center=0)
    return EFFECT.residual(network, pictures, chosen)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_result_is_as_many_times_larger_as_asked(network: UpscaleNetwork, scale: int) -> None:
    found = residual(network, scale=str(scale))
    assert found is not None
    assert found.shape == (1, 3, 24 * scale, 24 * scale)


@pytest.mark.parametrize("scale", ["2", "4"])
def test_half_the_strength_adds_half(network: UpscaleNetwork, scale: str) -> None:
    whole, half = (residual(network, scale=scale, strength=s) for s in (1.0, 0.5))
    assert whole is not None
    assert half is not None
    assert float(whole.abs().max()) > 0.0
    torch.testing.assert_close(half, whole / 2.0)


def test_strength_zero_is_lanczos_alone(network: UpscaleNetwork) -> None:
    assert residual(network, strength=0.0) is None


def test_cleaning_is_taken_apart_from_detail(network: UpscaleNetwork) -> None:
    kept, cleaned = (residual(network, denoise=d) for d in (0.0, 1.0))
    with torch.no_grad():
        lacking, unclean = network(picture(), torch.full((1, 1, 1, 1), 0.3))
    assert kept is not None
    assert cleaned is not None
    torch.testing.assert_close(kept, lacking)
    torch.testing.assert_close(cleaned, lacking + unclean)


def test_it_enlarges_as_the_renderer_does() -> None:
    linear = working_curves.decode(picture(), CURVE)
    wanted = lanczos_upscale(linear[0].numpy(), 2)
    found = working_curves.decode(enlarged(picture()), CURVE)[0].numpy()
    assert abs(found - wanted).max() < 1e-5


def test_a_new_network_adds_nothing() -> None:
    with torch.no_grad():
        lacking, unclean = UpscaleNetwork()(picture(), torch.zeros(1, 1, 1, 1))
    assert float(lacking.abs().max()) == 0.0
    assert float(unclean.abs().max()) == 0.0
