"""Every effect that is installed keeps the promises, whichever it is."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from kwaflux_core.errors import ModelError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow, Step
from kwaflux_core.geometry import Box
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import (
    Effect,
    Measured,
    MeasuringEffect,
    Samples,
    TileInput,
    Value,
)
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.local_renderer import LocalRenderer, plate_of
from kwaflux_models.rendering.measure_samples import lone_tile_input

REGISTRY = Registry.discover()
EFFECTS = sorted(REGISTRY.cards)
TOLERANCE = 1e-5
"""Between ways of tiling the same pixels, in the working curve."""

Planes = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def local() -> LocalRenderer:
    return LocalRenderer.on_cpu()


def picture(height: int = 150, width: int = 210) -> Planes:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    base = 0.3 + 0.25 * np.sin(x / 9) * np.cos(y / 13)
    return np.stack([base + rng.normal(0, 0.04, base.shape) for _ in range(3)]).astype(np.float32)


def curve(planes: Planes) -> torch.Tensor:
    return working_curves.encode(torch.from_numpy(np.ascontiguousarray(planes)))


def default_flow(card: Card) -> str:
    return Flow((Step(card.id, {}),)).to_text()


def rendered(local: LocalRenderer, effect: str, planes: Planes, **how: object) -> Planes:
    frame = local.render(default_flow(REGISTRY.cards[effect]), planes, **how)  # type: ignore[arg-type]
    return np.stack(frame.color)


@pytest.fixture(scope="module")
def first_render(local: LocalRenderer) -> Callable[[str], Planes]:
    """Return a call that gives what an effect makes of ``picture()``, rendered once."""
    return cache(lambda effect: rendered(local, effect, picture()))


def test_none_is_broken() -> None:
    assert REGISTRY.broken == {}


def test_cards_are_read_without_torch_and_without_numpy() -> None:
    code = (
        "import sys\n"
        "from kwaflux_models.catalog.registry import Registry\n"
        "assert len(Registry.discover().cards) >= 2\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_weights_are_the_files_that_the_card_names(effect: str) -> None:
    paths = REGISTRY[effect].verified_weight_files()
    assert len(paths) == len(REGISTRY.cards[effect].weights)
    assert all(path.stat().st_size < 10_000_000 for path in paths)


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_result_is_as_large_as_the_scale_says(
    local: LocalRenderer, first_render: Callable[[str], Planes], effect: str
) -> None:
    card = REGISTRY.cards[effect]
    bound = local.bind(default_flow(card))
    assert first_render(effect).shape == (3, 150 * bound.scale, 210 * bound.scale)


@pytest.mark.parametrize("effect", EFFECTS)
def test_tiles_and_regions_agree_with_the_whole(local: LocalRenderer, effect: str) -> None:
    scale = local.bind(default_flow(REGISTRY.cards[effect])).scale
    planes, region = picture(), Box(41, 23, 187, 140)
    whole = rendered(local, effect, planes, tile_px=4096)
    tiled = rendered(local, effect, planes, tile_px=64)
    part = rendered(local, effect, planes, tile_px=64, region=region)
    box = region.scaled(scale)
    crop = whole[:, box.y0 : box.y1, box.x0 : box.x1]
    assert float((curve(tiled) - curve(whole)).abs().max()) <= TOLERANCE
    assert float((curve(part) - curve(crop)).abs().max()) <= TOLERANCE


@pytest.mark.parametrize("effect", EFFECTS)
def test_highlights_nan_and_inf_pass(local: LocalRenderer, effect: str) -> None:
    if REGISTRY.cards[effect].scale != 1:
        pytest.skip("its result has no pixel for pixel counterpart")
    planes = picture()
    planes[:, 20:90, 30:120] = 70000.0
    planes[0, 5, 5], planes[1, 100, 200], planes[2, 140, 3] = np.nan, np.inf, -np.inf
    result = rendered(local, effect, planes)
    assert (result[:, 20:90, 30:120] == 70000.0).all()
    special = ~np.isfinite(planes)
    assert (result.view(np.uint32)[special] == planes.view(np.uint32)[special]).all()
    assert np.isfinite(result[~special]).all()


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_same_frame_has_the_same_bits_twice(
    local: LocalRenderer, first_render: Callable[[str], Planes], effect: str
) -> None:
    first, second = first_render(effect), rendered(local, effect, picture())
    assert (first.view(np.uint32) == second.view(np.uint32)).all()


@pytest.mark.parametrize("effect", EFFECTS)
def test_where_the_card_says_identity_every_bit_is_kept(local: LocalRenderer, effect: str) -> None:
    card = REGISTRY.cards[effect]
    if not card.identity_when:
        pytest.skip("it is never an identity")
    planes = picture()
    planes[0, 0, 0], planes[1, 1, 1] = np.nan, -0.0
    frame = local.render(Flow((Step(effect, card.identity_when),)).to_text(), planes)
    assert (np.stack(frame.color).view(np.uint32) == planes.view(np.uint32)).all()
    assert not frame.is_touched


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_flat_gray_keeps_its_color(local: LocalRenderer, effect: str) -> None:
    for level in (0.02, 0.18, 0.8):
        result = rendered(local, effect, np.full((3, 96, 96), level, np.float32))
        shift = np.abs(result[:, 16:-16, 16:-16].mean(axis=(1, 2)) / level - 1.0)
        assert shift.max() < 0.01, (level, shift)


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_reduced_precision_errs_no_more_than_the_card_says(
    local: LocalRenderer, effect: str
) -> None:
    step = local.bind(default_flow(REGISTRY.cards[effect])).steps[0]
    tile = curve(picture(96, 96))[None]
    look = partial(lone_tile_input, card=step.card, values=step.values)
    reduced = [name for name in step.card.precisions if name != "float32"]
    with local.warm.lend(step.card) as loaded, torch.inference_mode():
        for name in reduced:
            dtype: torch.dtype = getattr(torch, name)
            network = copy.deepcopy(loaded.network).to(dtype)
            given = [
                (module, look(loaded.effect, module, tile=tile.to(kind)))
                for module, kind in ((loaded.network, torch.float32), (network, dtype))
            ]
            if any(each.measured is not None and each.measured.refusal for _, each in given):
                pytest.skip("it refuses the picture")
            errs = [loaded.effect.residual(*each, step.values) for each in given]
            exact, rounded = (torch.zeros(1) if each is None else each.float() for each in errs)
            assert float((exact - rounded).abs().max()) <= step.card.precisions[name]


class _Watched:
    """An effect whose tiles are looked at on the way to it."""

    def __init__(self, effect: Effect) -> None:
        self._effect = effect
        self.seen: list[TileInput] = []

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        return self._effect.build(weights)

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> torch.Tensor | None:
        self.seen.append(pictures)
        return self._effect.residual(network, pictures, values)


class _WatchedLook(_Watched):
    """The same for one that measures: its looks are counted."""

    looks = 0

    def measure(
        self, network: nn.Module, samples: Samples, values: Mapping[str, Value]
    ) -> Measured:
        assert isinstance(self._effect, MeasuringEffect)
        self.looks += 1
        return self._effect.measure(network, samples, values)


@pytest.mark.parametrize("effect", EFFECTS)
def test_tiles_come_with_their_frames_and_places_and_a_frame_is_measured_once(
    local: LocalRenderer, effect: str
) -> None:
    card = REGISTRY.cards[effect]
    plates = {number: plate_of(picture()) for number in range(1001, 1008)}
    with local.warm.lend(card) as loaded:
        is_measuring = isinstance(loaded.effect, MeasuringEffect)
        watched = _WatchedLook(loaded.effect) if is_measuring else _Watched(loaded.effect)
        warm = replace(loaded, effect=watched)
        frame = FrameRenderer(
            lambda card, loras=None: nullcontext(warm),
            device=local.device,
            config=local.config,
            tile_px=96,
        ).render(
            local.bind(default_flow(card)),
            plates,
            frame=1002,
            scratch=local.pool.take,
            final=local.pool.take,
        )
    if isinstance(watched, _WatchedLook):
        assert watched.looks == 1
    assert bool(watched.seen) != bool(frame.skip_reasons)
    before, after = card.frames_before, card.frames_after
    for pictures in watched.seen:
        assert pictures.frame == 1002
        around = range(1002 - before, 1002 + after + 1)
        assert pictures.frames == tuple(max(at, 2002 - at) for at in around)
        assert (pictures.measured is not None) == is_measuring
    places = {pictures.origin for pictures in watched.seen}
    assert len(places) == len(watched.seen)
    assert not places or min(places) <= (0, 0)


@pytest.mark.parametrize("effect", EFFECTS)
def test_what_is_measured_of_a_region_is_what_is_measured_of_the_whole(
    local: LocalRenderer, effect: str
) -> None:
    if not REGISTRY.cards[effect].measures:
        pytest.skip("it does not measure")
    planes, region = picture(), Box(41, 23, 187, 140)
    for flow in (default_flow(REGISTRY.cards[effect]), f"denoise(strength=0.5) | {effect}"):
        whole = local.render(flow, planes)
        part = local.render(flow, planes, region=region)
        assert part.measured == pytest.approx(whole.measured, rel=1e-3, abs=1e-4)
        assert part.skip_reasons == whole.skip_reasons
        scale = local.bind(flow).scale
        box = region.scaled(scale)
        crop = np.stack(whole.color)[:, box.y0 : box.y1, box.x0 : box.x1]
        assert float((curve(np.stack(part.color)) - curve(crop)).abs().max()) <= TOLERANCE


def test_weights_that_were_altered_are_refused(tmp_path: Path) -> None:
    installed = REGISTRY["denoise"]
    folder = installed.folder.parents[1] / "weights"
    data = bytearray((folder / "denoise.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    altered = type(installed)(installed.card, installed.package, tmp_path)
    (tmp_path / "denoise.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        altered.verified_weight_files()


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_card_says_whether_the_code_measures(local: LocalRenderer, effect: str) -> None:
    with local.warm.lend(REGISTRY.cards[effect]) as loaded:
        assert isinstance(loaded.effect, MeasuringEffect) == REGISTRY.cards[effect].measures
