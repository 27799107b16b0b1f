"""The denoiser's network: shapes, its receptive field, tiles, types, and its weights' file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kwaflux_core.errors import WeightsInvalid
from kwaflux_models.denoise import network as denoise
from kwaflux_models.denoise.network import ALIGN_PX, RADIUS_PX, DenoiseNetwork

UNKNOWN = torch.full((1, 1, 1, 1), -1.0)


def lively(seed: int = 0) -> DenoiseNetwork:
    """A network whose last layer is not zero, so that everything reaches the output."""
    torch.manual_seed(seed)
    made = DenoiseNetwork()
    torch.nn.init.normal_(made.outro.weight, std=0.05)
    return made.eval()


def test_a_new_network_is_the_identity() -> None:
    with torch.inference_mode():
        residual = DenoiseNetwork()(torch.rand(1, 3, 32, 40), UNKNOWN)
    assert residual.shape == (1, 3, 32, 40)
    assert not residual.any()


def test_it_has_the_size_the_card_may_claim() -> None:
    count = sum(parameter.numel() for parameter in DenoiseNetwork().parameters())
    assert 300_000 < count < 600_000


def test_it_is_the_same_for_every_place_on_its_grid() -> None:
    made = lively()
    picture = torch.rand(1, 3, 176, 176)
    moved = torch.roll(picture, shifts=(ALIGN_PX, 2 * ALIGN_PX), dims=(2, 3))
    with torch.inference_mode():
        here, there = made(picture, UNKNOWN), made(moved, UNKNOWN)
    inner = slice(72, 96)
    expected = here[..., inner, inner]
    found = there[..., 72 + ALIGN_PX : 96 + ALIGN_PX, 72 + 2 * ALIGN_PX : 96 + 2 * ALIGN_PX]
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_radius_is_the_exact_bound_over_all_places_in_a_cell() -> None:
    made = lively().double()
    picture = torch.rand(1, 3, 152, ALIGN_PX, dtype=torch.float64, requires_grad=True)
    output = made(picture, UNKNOWN.double())
    farthest = 0
    for row in range(72, 72 + ALIGN_PX):
        (gradient,) = torch.autograd.grad(output[0, :, row].sum(), picture, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        farthest = max(farthest, row - int(rows[0]), int(rows[-1]) - row)
    assert farthest == RADIUS_PX, f"set RADIUS_PX to {farthest}"


def test_a_tile_with_its_halo_gives_the_pixels_of_the_whole() -> None:
    made = lively()
    picture = torch.rand(1, 3, 256, 48)
    halo = ALIGN_PX * -(-RADIUS_PX // ALIGN_PX)
    with torch.inference_mode():
        whole = made(picture, UNKNOWN)
        tile = made(picture[..., 96 - halo : 160 + halo, :], UNKNOWN)
    assert torch.allclose(tile[..., halo:-halo, :], whole[..., 96:160, :], atol=1e-5)


def test_each_picture_of_a_batch_is_alone() -> None:
    made = lively()
    pictures = torch.rand(3, 3, 32, 32)
    levels = torch.tensor([-1.0, 0.05, 0.2]).reshape(3, 1, 1, 1)
    with torch.inference_mode():
        together = made(pictures, levels)
        alone = torch.cat([made(pictures[i : i + 1], levels[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-6)


def test_every_negative_level_means_unknown_and_zero_does_not() -> None:
    made = lively()
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        unknown = made(picture, UNKNOWN)
        assert torch.equal(unknown, made(picture, UNKNOWN * 7))
        assert not torch.equal(unknown, made(picture, torch.zeros(1, 1, 1, 1)))


def test_channels_last_gives_the_same_picture() -> None:
    made = lively()
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        plain = made(picture, UNKNOWN)
        made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        last = made(picture.contiguous(memory_format=torch.channels_last), UNKNOWN)
    assert torch.allclose(plain, last, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_do_not_overflow_on_any_half_plate(dtype: torch.dtype) -> None:
    made = lively().to(dtype)
    picture = (torch.rand(1, 3, 64, 64) * 30.4 - 15.2).to(dtype)
    with torch.inference_mode():
        residual = made(picture, UNKNOWN.to(dtype))
    assert residual.dtype == dtype
    assert bool(torch.isfinite(residual).all())


def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    made = lively()
    path = tmp_path / "denoise.safetensors"
    save_file({k: v.half().contiguous() for k, v in made.state_dict().items()}, path)
    loaded = denoise.load(path)
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, made.state_dict()[name].half().float())


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match="cannot read"):
        denoise.load(tmp_path / "none.safetensors")


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not a header....")
    with pytest.raises(WeightsInvalid, match="cannot read"):
        denoise.load(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"intro.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(WeightsInvalid, match="does not fit"):
        denoise.load(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    tensors = {k: v.clone() for k, v in lively().state_dict().items()}
    tensors["outro.bias"][0] = float("nan")
    path = tmp_path / "nan.safetensors"
    save_file(tensors, path)
    with pytest.raises(WeightsInvalid, match="not finite"):
        denoise.load(path)


SHIPPED = Path(denoise.__file__).parents[1] / "weights" / "denoise.safetensors"


def test_the_shipped_weights_take_noise_away_and_leave_a_clean_ramp_alone() -> None:
    network = denoise.load(SHIPPED)
    torch.manual_seed(4)
    ramp = torch.linspace(0.2, 0.8, 128).expand(1, 3, 128, 128).contiguous()
    noisy = ramp + 0.05 * torch.randn_like(ramp)
    inner = slice(ALIGN_PX * 4, -ALIGN_PX * 4)
    with torch.inference_mode():
        left = (noisy + network(noisy, UNKNOWN) - ramp)[..., inner, inner]
        touched = network(ramp, UNKNOWN)[..., inner, inner]
    assert left.std().item() < 0.025
    assert touched.abs().max().item() < 0.02


def test_the_shipped_weights_are_small_and_say_where_they_come_from() -> None:
    from safetensors import safe_open

    assert SHIPPED.stat().st_size < 10_000_000
    with safe_open(SHIPPED, framework="pt") as file:
        about = file.metadata()
    assert {"recipe_sha256", "steps", "seed", "data"} <= set(about)
