"""A tiny effect with a network, and LoRAs for it, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kwaflux_core.flows.card import Card
from kwaflux_models.catalog.lora_merge import spelled_lora
from kwaflux_models.catalog.registry import InstalledEffect, Registry
from kwaflux_models.catalog.user_models import OwnModels
from kwaflux_models.rendering.effect_api import Effect, TileInput, Value
from kwaflux_testing.effects import card

__all__ = ["Bend", "BendNetwork", "Shelf", "bend_shelf", "pair_of"]

_PARAMS = [
    {
        "name": "strength",
        "type": "double",
        "label": "Strength",
        "hint": "Share of the correction.",
        "default": 1.0,
        "range": [0.0, 1.0],
    },
    {"name": "lora", "type": "loras", "label": "LoRA", "hint": "Names.", "default": ""},
]


class BendNetwork(nn.Module):
    """Three convolutions: dense, depthwise, and 1 x 1."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.Conv2d(3, 8, 3, padding=1)
        self.each = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.join = nn.Conv2d(8, 3, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Return the residual, (1, 3, H, W)."""
        joined: Tensor = self.join(torch.tanh(self.each(torch.tanh(self.spread(picture)))))
        return joined


class Bend:
    """An effect that adds what its network says."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights."""
        network = BendNetwork()
        network.load_state_dict(load_file(weights[0]))
        return network.eval()

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor:
        """Return the residual, scaled by the strength."""
        residual: Tensor = network(pictures.picture)
        return residual * float(values["strength"])


@dataclass(frozen=True, slots=True)
class _Imported(InstalledEffect):
    code: Effect | None = None

    def load(self) -> Effect:
        assert self.code is not None
        return self.code


@dataclass(frozen=True, slots=True)
class Shelf:
    """A registry with the effect ``bend``, and a models folder of the user's own."""

    registry: Registry
    own: OwnModels
    card: Card

    def base(self) -> nn.Module:
        """Return the effect's network without any LoRA."""
        installed = self.registry["bend"]
        return installed.load().build(installed.verified_weight_files())

    def put(
        self, name: str, tensors: Mapping[str, Tensor], *, for_card: Card | None = None
    ) -> Path:
        """Write a LoRA into the models folder; return its path."""
        path = self.own.lora_path("bend", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(spelled_lora(tensors, card=for_card or self.card, notes={"rank": "2"}))
        return path


def bend_shelf(folder: Path, *, seed: int = 1) -> Shelf:
    """Return a shelf whose effect has random weights of a seed."""
    torch.manual_seed(seed)
    home = folder / f"bend-{seed}"
    home.mkdir(parents=True)
    save_file(BendNetwork().state_dict(), home / "bend.safetensors")
    weights = {
        "file": "bend.safetensors",
        "sha256": hashlib.sha256((home / "bend.safetensors").read_bytes()).hexdigest(),
        "licence": "CC0-1.0",
        "source": "a random generator",
    }
    found = card("bend", params=_PARAMS, weights=[weights], halo_px=2)
    own = OwnModels(folder / "models")
    effects = {"bend": _Imported(found, "tests", home, Bend())}
    return Shelf(Registry(effects, broken={}, own=own), own, found)


def pair_of(
    name: str, rows: int, columns: int, *, rank: int = 2, seed: int = 3
) -> dict[str, Tensor]:
    """Return random factors for a parameter; exact in half precision."""
    generator = torch.Generator().manual_seed(seed)
    up, down = (
        (torch.randn(shape, generator=generator) * 0.3).half().float()
        for shape in ((rows, rank), (rank, columns))
    )
    return {f"{name}.up": up, f"{name}.down": down}
