"""The restoring network's body: its receptive field, tiles, types, and its weights' file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import kwaflux_models
from kwaflux_core.errors import WeightsInvalid
from kwaflux_models.effects.restorer_network import Restorer, load_weights
from kwaflux_models.effects.upscale.network import UpscaleNetwork

TOLD = torch.tensor([0.1, 0.5]).reshape(1, 2, 1, 1)
SHIPPED = sorted((Path(kwaflux_models.__file__).parent / "weights").glob("*.safetensors"))


def lively(seed: int = 0) -> Restorer:
    torch.manual_seed(seed)
    return Restorer().eval()


def test_the_radius_is_the_exact_bound_over_all_places_in_a_cell() -> None:
    made = lively().double()
    side = 2 * Restorer.RADIUS_PX + 14
    picture = torch.rand(1, 3, side, 4, dtype=torch.float64, requires_grad=True)
    output = made(picture, TOLD.double())
    middle = side // 2 // 2 * 2
    farthest = 0
    for row in (middle, middle + 1):
        (gradient,) = torch.autograd.grad(output[0, :, row].sum(), picture, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        farthest = max(farthest, row - int(rows[0]), int(rows[-1]) - row)
    assert farthest == Restorer.RADIUS_PX, f"set RADIUS_PX to {farthest}"


def test_an_enlarging_networks_radius_is_the_exact_bound() -> None:
    torch.manual_seed(1)
    made = UpscaleNetwork().double().eval()
    for parameter in made.body.last.parameters():
        torch.nn.init.normal_(parameter)
    side = 2 * UpscaleNetwork.RADIUS_PX + 7
    picture = torch.rand(1, 3, side, 4, dtype=torch.float64, requires_grad=True)
    lacking, _ = made(picture, TOLD[:, :1].double())
    row = side // 2
    (gradient,) = torch.autograd.grad(lacking[0, :, 2 * row].sum(), picture)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert max(row - int(rows[0]), int(rows[-1]) - row) == UpscaleNetwork.RADIUS_PX


def test_a_new_network_that_is_trained_from_nothing_adds_nothing() -> None:
    network = Restorer(is_residual=True)
    with torch.inference_mode():
        assert not network(torch.rand(1, 3, 8, 12), TOLD).any()


def test_a_tile_with_its_halo_gives_the_pixels_of_the_whole() -> None:
    made = lively()
    picture = torch.rand(1, 3, 160, 32)
    halo = 26
    with torch.inference_mode():
        whole = made(picture, TOLD)
        tile = made(picture[..., 64 - halo : 96 + halo, :], TOLD)
    assert torch.allclose(tile[..., halo:-halo, :], whole[..., 64:96, :], atol=1e-5)


def test_each_picture_of_a_batch_is_alone_and_told_its_own_levels() -> None:
    made = lively()
    pictures = torch.rand(3, 3, 32, 32)
    levels = torch.tensor([[0.0, 1.0], [0.05, 0.5], [0.2, 0.0]]).reshape(3, 2, 1, 1)
    with torch.inference_mode():
        together = made(pictures, levels)
        alone = torch.cat([made(pictures[i : i + 1], levels[i : i + 1]) for i in range(3)])
        exchanged = made(pictures, levels.flip(0))
    assert torch.allclose(together, alone, atol=1e-4)
    assert not torch.allclose(together[0], exchanged[0], atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_do_not_overflow_on_a_bright_plate(dtype: torch.dtype) -> None:
    made = lively().to(dtype)
    picture = (torch.rand(1, 3, 64, 64) * 110.0).to(dtype)
    with torch.inference_mode():
        residual = made(picture, TOLD.to(dtype))
    assert residual.dtype == dtype
    assert bool(torch.isfinite(residual).all())


def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    made = lively()
    path = tmp_path / "some.safetensors"
    save_file({k: v.half().contiguous() for k, v in made.state_dict().items()}, path)
    loaded = load_weights(Restorer(), path)
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, made.state_dict()[name].half().float())


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match="cannot read"):
        load_weights(Restorer(), tmp_path / "none.safetensors")


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not a header....")
    with pytest.raises(WeightsInvalid, match="cannot read"):
        load_weights(Restorer(), path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"body.0.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(WeightsInvalid, match="does not fit"):
        load_weights(Restorer(), path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    tensors = {k: v.clone() for k, v in lively().state_dict().items()}
    tensors["body.0.bias"][0] = float("nan")
    path = tmp_path / "nan.safetensors"
    save_file(tensors, path)
    with pytest.raises(WeightsInvalid, match="not finite"):
        load_weights(Restorer(), path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_are_small_and_say_where_they_come_from(path: Path) -> None:
    assert path.stat().st_size < 10_000_000
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    assert {"recipe_sha256", "steps", "seed", "data"} <= set(about)
