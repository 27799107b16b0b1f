"""The denoiser merges what neighbors agree on, cleans the rest, and keeps the levels of light."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import kwaflux_models
from kwaflux_core.flows.card import Curve
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.denoise.merge import REACH_PX as MERGE_PX
from kwaflux_models.effects.denoise.merge import merge
from kwaflux_models.effects.denoise.network import DenoiseNetwork
from kwaflux_models.effects.level_keeping import REACH_PX as LEVELS_PX
from kwaflux_models.effects.level_keeping import keep_levels
from kwaflux_models.effects.restorer_network import load_weights
from kwaflux_models.rendering.working_curves import decode, encode

CURVE: Curve = "extended_srgb"


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network() -> DenoiseNetwork:
    """Return the network that ships."""
    folder = Path(kwaflux_models.__file__).parent / "weights"
    return load_weights(DenoiseNetwork(), folder / "denoise.safetensors")


def test_neighbors_that_agree_leave_the_noise_of_a_mean() -> None:
    picture = 0.5 + 0.05 * noise(1, 3, 96, 96)
    neighbors = 0.5 + 0.05 * noise(4, 3, 96, 96, seed=1)
    merged = merge(picture, neighbors, torch.full((1, 1, 1, 1), 0.05))
    left = float((merged.picture - 0.5).std()) / 0.05
    assert left == pytest.approx(5**-0.5, rel=0.1)
    assert float(merged.noise.mean()) == pytest.approx(left, rel=0.12)


def test_neighbors_that_show_something_else_leave_no_ghost() -> None:
    picture = 0.5 + 0.02 * noise(1, 3, 64, 64)
    other = 0.7 + 0.02 * noise(4, 3, 64, 64, seed=1)
    merged = merge(picture, other, torch.full((1, 1, 1, 1), 0.02))
    assert torch.allclose(merged.picture, picture, atol=1e-6)
    assert torch.allclose(merged.noise, torch.ones(1))


def test_noise_that_a_codec_repeats_counts_as_left() -> None:
    picture = 0.5 + 0.05 * noise(1, 3, 64, 64)
    merged = merge(picture, picture.expand(4, -1, -1, -1), torch.full((1, 1, 1, 1), 0.05))
    assert torch.allclose(merged.noise, torch.ones(1))


@torch.inference_mode()
def test_white_noise_is_removed_at_every_brightness(network: DenoiseNetwork) -> None:
    gray = torch.linspace(0.05, 3.0, 256).expand(1, 3, 128, 256)
    noisy = gray + 0.06 * noise(1, 3, 128, 256)
    cleaned = noisy + network(noisy, torch.full((1, 1, 128, 256), 0.06))
    error = (cleaned - gray)[..., 32:-32, 32:-32].square().mean(dim=(0, 1, 2)).sqrt()
    assert float(error.max()) < 0.02


@torch.inference_mode()
def test_a_tile_is_cleaned_as_in_the_frame_also_beside_bright_light(
    network: DenoiseNetwork,
) -> None:
    picture = 0.3 + 0.05 * noise(1, 3, 160, 200)
    picture[..., 60:64, 90:140] = 2.5
    level = torch.full((1, 1, 160, 200), 0.05)
    whole = network(picture, level)
    part = network(picture[..., 20:140, 40:180], level[..., 20:140, 40:180])
    reach = network.RADIUS_PX + network.RADIUS_PX % 2
    inner = whole[..., 20 + reach : 140 - reach, 40 + reach : 180 - reach]
    assert torch.allclose(part[..., reach:-reach, reach:-reach], inner, atol=1e-5)


def test_the_halo_is_all_that_a_pixel_is_made_of() -> None:
    card = Registry.discover().cards["denoise"]
    assert card.halo_px >= DenoiseNetwork.RADIUS_PX + MERGE_PX + LEVELS_PX


@torch.inference_mode()
@pytest.mark.parametrize("sigma", [0.03, 0.1])
@pytest.mark.parametrize(
    "light", [(0.02, 0.02, 0.02), (0.18, 0.18, 0.18), (4.0, 4.0, 4.0), (0.18, 0.02, 0.02)]
)
def test_the_mean_light_of_a_flat_patch_is_kept(
    network: DenoiseNetwork, light: tuple[float, float, float], sigma: float
) -> None:
    flat = encode(torch.tensor(light).reshape(1, 3, 1, 1).expand(1, 3, 192, 192), CURVE)
    noisy = flat + sigma * noise(1, 3, 192, 192)
    cleaned = noisy + network(noisy, torch.full((1, 1, 192, 192), sigma))
    kept = keep_levels(noisy, cleaned)
    inner = (..., slice(32, -32), slice(32, -32))
    before, after = (decode(x, CURVE)[inner].mean(dim=(0, 2, 3)) for x in (noisy, kept))
    assert torch.allclose(after, before, rtol=0.005, atol=2e-4)


@torch.inference_mode()
def test_a_color_outside_the_networks_range_keeps_its_light(network: DenoiseNetwork) -> None:
    light = torch.tensor((-0.02, 0.5, 0.1)).reshape(1, 3, 1, 1).expand(1, 3, 192, 192)
    noisy = encode(light, CURVE) + 0.03 * noise(1, 3, 192, 192)
    cleaned = noisy + network(noisy, torch.full((1, 1, 192, 192), 0.03))
    inner = (..., slice(32, -32), slice(32, -32))
    before, plain, kept = (
        decode(x, CURVE)[inner].mean(dim=(0, 2, 3))
        for x in (noisy, cleaned, keep_levels(noisy, cleaned))
    )
    assert float(plain[0]) > -0.005, "the network itself moves it into its range"
    assert torch.allclose(kept, before, rtol=0.02, atol=2e-4)


def test_a_correction_that_loses_no_light_is_kept_as_it_is() -> None:
    picture = 0.3 + 0.01 * noise(1, 3, 64, 64)
    assert torch.allclose(keep_levels(picture, picture), picture, atol=1e-6)
