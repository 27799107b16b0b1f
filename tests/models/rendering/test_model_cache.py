"""Which networks are warm: loaded once, verified, unloaded in the order they were used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kwaflux_core.errors import OutOfMemory, WeightsInvalid
from kwaflux_core.flows.card import Card
from kwaflux_models.catalog.registry import InstalledEffect, Registry
from kwaflux_models.rendering.device import Device, choose_precision
from kwaflux_models.rendering.effect_api import Effect, TileInput, Value
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_testing.effects import card

MIB = 1 << 20
HAS_CUDA = torch.cuda.is_available()
needs_cuda = pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device is here")


class _Sized:
    """An effect whose network takes as many MiB as it is told, and counts how often it is built."""

    def __init__(self, mib: int) -> None:
        self._mib = mib
        self.built = 0

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        self.built += 1
        return nn.Linear(1, self._mib * MIB // 8)  # a weight and a bias, four bytes each

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        return pictures.picture * 0.0


@dataclass(frozen=True, slots=True)
class _Installed(InstalledEffect):
    """An effect that is already imported."""

    code: Effect | None = None

    def load(self) -> Effect:
        assert self.code is not None
        return self.code


def _installed(found: Card, code: Effect) -> _Installed:
    return _Installed(found, "tests", Path("/nowhere"), code)


class _Shelf:
    """Effects ``a``, ``b``, ``c`` of four MiB each, and what was told of them."""

    def __init__(self, *, budget_mib: int = 9) -> None:
        self.code = {name: _Sized(4) for name in "abc"}
        self.cards = {name: card(name) for name in "abc"}
        self.told: list[tuple[str, ...]] = []
        effects = {name: _installed(self.cards[name], self.code[name]) for name in "abc"}
        self.warm = WarmModels(
            Registry(effects, broken={}),
            device=Device("cpu"),
            budget_bytes=budget_mib * MIB,
            precision="float32",
            on_change=self.told.append,
        )

    def use(self, names: str) -> None:
        for name in names:
            with self.warm.lend(self.cards[name]) as loaded:
                assert loaded.effect is self.code[name]
                assert not loaded.network.training

    def built(self) -> str:
        return "".join(name * self.code[name].built for name in "abc")


def test_a_network_is_built_once_and_lent_again() -> None:
    shelf = _Shelf()
    shelf.use("aaba")
    assert shelf.built() == "ab"
    assert shelf.told == [("a",), ("a", "b")]


def test_the_one_that_was_used_longest_ago_is_unloaded_when_memory_is_short() -> None:
    shelf = _Shelf()
    shelf.use("abac")
    assert set(shelf.told[-1]) == {"a", "c"}
    shelf.use("ac")
    assert shelf.built() == "abc"
    shelf.use("b")
    assert shelf.built() == "abbc"


def test_one_that_is_in_use_is_never_unloaded() -> None:
    shelf = _Shelf()
    with shelf.warm.lend(shelf.cards["a"]):
        shelf.use("bcb")
        assert all("a" in told for told in shelf.told)
        with shelf.warm.lend(shelf.cards["b"]), pytest.raises(OutOfMemory) as caught:
            shelf.use("c")
        assert caught.value.fields["needed_bytes"] == 12 * MIB
    shelf.use("c")


def test_one_that_can_never_fit_is_an_error_and_the_others_stay() -> None:
    shelf = _Shelf(budget_mib=3)
    for _ in range(2):
        with pytest.raises(OutOfMemory, match="memory budget"):
            shelf.use("a")
    assert shelf.told == []


def test_weights_that_were_altered_are_refused(tmp_path: Path) -> None:
    registry = Registry.discover()
    real = registry["denoise"]
    (weights,) = real.card.weights
    data = real.weight_files()[0].read_bytes()
    assert hashlib.sha256(data).hexdigest() == weights.sha256
    (tmp_path / weights.file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    warm = WarmModels(
        Registry({"denoise": replace(real, folder=tmp_path)}, broken={}),
        device=Device("cpu"),
        budget_bytes=64 * MIB,
        precision="float32",
        on_change=lambda _: None,
    )
    with pytest.raises(WeightsInvalid, match="not the file its card names"), warm.lend(real.card):
        pass
    (tmp_path / weights.file).write_bytes(data)
    with warm.lend(real.card) as loaded:
        assert loaded.precision == "float32"


# --- precision ------------------------------------------------------------------------------

BOTH = card("x", precisions={"float32": 0.0, "float16": 0.001, "bfloat16": 0.001}, tolerance=0.002)
STRICT = replace(BOTH, tolerance=0.0005)
PLAIN = card("x", tolerance=0.002)


def _seconds(bfloat16: float) -> Mapping[torch.dtype, float]:
    return {torch.float32: 1.0, torch.bfloat16: bfloat16}


@pytest.mark.parametrize(
    ("found", "setting", "bfloat16_s", "precision"),
    [
        (BOTH, "auto", 0.5, "bfloat16"),
        (BOTH, "auto", 0.95, "float32"),
        (BOTH, "auto", 3.0, "float32"),
        (BOTH, "float32", 0.1, "float32"),
        (STRICT, "auto", 0.1, "float32"),
        (PLAIN, "auto", 0.1, "float32"),
    ],
    ids=["faster", "hardly faster", "slower", "told not to", "too inexact", "not stated"],
)
def test_a_cpu_uses_bfloat16_only_where_it_is_faster_and_exact_enough(
    found: Card, setting: str, bfloat16_s: float, precision: str
) -> None:
    measured = _seconds(bfloat16_s)
    chosen = choose_precision(
        found, Device("cpu"), setting=setting, seconds=lambda dtype: measured[dtype]
    )
    assert chosen == precision


def test_without_a_measurement_a_cpu_stays_exact() -> None:
    assert choose_precision(BOTH, Device("cpu"), setting="auto", seconds=None) == "float32"


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize(
    ("found", "setting", "precision"),
    [
        (BOTH, "auto", "float16"),
        (BOTH, "float32", "float32"),
        (STRICT, "auto", "float32"),
        (PLAIN, "auto", "float32"),
    ],
)
def test_cuda_uses_float16_where_the_card_allows_it(
    found: Card, setting: str, precision: str
) -> None:
    assert choose_precision(found, Device("cuda:0"), setting=setting, seconds=None) == precision


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda:0", marks=(pytest.mark.gpu, needs_cuda))],
)
def test_the_real_denoiser_gets_warm_and_is_measured(device: str) -> None:
    registry = Registry.discover()
    warm = WarmModels(
        registry,
        device=Device(device),
        budget_bytes=0,
        precision="auto",
        on_change=lambda _: None,
    )
    found = registry["denoise"].card
    with warm.lend(found) as loaded:
        (parameter, *_) = loaded.network.parameters()
        assert parameter.dtype == loaded.dtype
        assert parameter.device == torch.device(device)
        assert found.precisions[loaded.precision] <= found.tolerance
