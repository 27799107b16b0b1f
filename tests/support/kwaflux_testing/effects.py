"""Effects with known answers, for tests of the renderer: typed, tiny, without weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_core.flows.card import Card
from kwaflux_models.rendering.effect_api import (
    Measured,
    Samples,
    TileInput,
    Value,
    no_network,
)
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.step_renderer import LoadedEffect

__all__ = [
    "FakeEffect",
    "Loader",
    "MeasuringFake",
    "blur",
    "card",
    "enlarge",
    "neighbors",
    "nothing",
    "to_mean",
]

Residual = Callable[[TileInput, Mapping[str, Value]], "Tensor | None"]
Measure = Callable[[Samples, Mapping[str, Value]], Measured]


def card(name: str, **changes: object) -> Card:
    """Return a card with one strength param; ``changes`` replace keys of its JSON."""
    base: dict[str, object] = {
        "id": name,
        "label": name.title(),
        "grouping": "Kwaflux/Test",
        "version": "1.0",
        "help": "An effect for tests.",
        "for_what": "tests",
        "not_for": "plates",
        "params": [
            {
                "name": "strength",
                "type": "double",
                "label": "Strength",
                "hint": "Share of the correction.",
                "default": 1.0,
                "range": [0.0, 1.0],
            }
        ],
        "clips": [{"name": "Source"}],
        "identity_when": {"strength": 0},
        "scale": 1,
        "halo_px": 4,
        "align_px": 1,
        "working": {
            "colorspace": "Linear Rec.709 (sRGB)",
            "curve": "signed_log1p",
            "range": [-0.5, 8.0],
            "fade": 2.0,
        },
        "precisions": {"float32": 0.0},
        "tolerance": 0.0,
        "licence": "Apache-2.0",
        "limits": ["It is a test."],
    }
    return Card.from_json(json.dumps({**base, **changes}))


class FakeEffect:
    """Give a residual by a plain function; count how often it was asked."""

    def __init__(self, residual: Residual) -> None:
        self._residual = residual
        self.calls = 0

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        return no_network()

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        self.calls += 1
        return self._residual(pictures, values)


class MeasuringFake(FakeEffect):
    """Look at a frame by a plain function; remember every look."""

    def __init__(self, residual: Residual, measure: Measure) -> None:
        super().__init__(residual)
        self._measure = measure
        self.samples: list[Samples] = []

    def measure(
        self, network: nn.Module, samples: Samples, values: Mapping[str, Value]
    ) -> Measured:
        self.samples.append(samples)
        return self._measure(samples, values)


class Loader:
    """Lend fake effects under their cards' ids."""

    def __init__(self, effects: Mapping[str, FakeEffect]) -> None:
        self._effects = effects

    @contextmanager
    def __call__(self, card: Card, loras: LoraStack | None = None) -> Iterator[LoadedEffect]:
        yield LoadedEffect(self._effects[card.id], no_network(), "float32")


def blur(pictures: TileInput, values: Mapping[str, Value]) -> Tensor:
    """Pull every pixel towards the mean of its 3 x 3 neighborhood."""
    picture = pictures.picture
    mean = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return (mean - picture) * float(values["strength"])


def nothing(pictures: TileInput, values: Mapping[str, Value]) -> None:
    """Touch no pixel."""
    return


def enlarge(pictures: TileInput, values: Mapping[str, Value]) -> Tensor:
    """Add nothing to the Lanczos enlargement by two."""
    _, _, height, width = pictures.picture.shape
    return torch.zeros(1, 3, 2 * height, 2 * width)


def neighbors(pictures: TileInput, values: Mapping[str, Value]) -> Tensor:
    """Pull every pixel towards the mean over the temporal window."""
    return torch.stack(pictures.tiles).mean(dim=0) - pictures.picture


def to_mean(pictures: TileInput, values: Mapping[str, Value]) -> Tensor:
    """Pull every pixel half the way towards the number that was measured for the frame."""
    assert pictures.measured is not None
    mean = pictures.measured.data
    assert isinstance(mean, float)
    return (mean - pictures.picture) * 0.5
