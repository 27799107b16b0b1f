"""Every effect that is installed keeps the promises, whichever it is."""

from __future__ import annotations

import copy
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from kwaflux_core.card import Card
from kwaflux_core.errors import ModelError
from kwaflux_core.flow import Flow, Step
from kwaflux_core.geometry import Box
from kwaflux_models import domain
from kwaflux_models.effect import Pictures
from kwaflux_models.registry import Registry
from kwaflux_server.bench.setting import LocalRenderer

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
    return domain.encode(torch.from_numpy(np.ascontiguousarray(planes)))


def default_flow(card: Card) -> str:
    return Flow((Step(card.id, {}),)).to_text()


def rendered(local: LocalRenderer, effect: str, planes: Planes, **how: object) -> Planes:
    frame = local.render(default_flow(REGISTRY.cards[effect]), planes, **how)  # type: ignore[arg-type]
    return np.stack(frame.color)


def test_none_is_broken() -> None:
    assert REGISTRY.broken == {}


def test_cards_are_read_without_torch_and_without_numpy() -> None:
    code = (
        "import sys\n"
        "from kwaflux_models.registry import Registry\n"
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
def test_the_result_is_as_large_as_the_scale_says(local: LocalRenderer, effect: str) -> None:
    card = REGISTRY.cards[effect]
    bound = local.bind(default_flow(card))
    assert rendered(local, effect, picture()).shape == (3, 150 * bound.scale, 210 * bound.scale)


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
def test_the_same_frame_has_the_same_bits_twice(local: LocalRenderer, effect: str) -> None:
    first, second = (rendered(local, effect, picture()) for _ in range(2))
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
    reduced = [name for name in step.card.precisions if name != "float32"]
    with local.warm.lend(step.card) as loaded, torch.inference_mode():
        for name in reduced:
            dtype: torch.dtype = getattr(torch, name)
            network = copy.deepcopy(loaded.network).to(dtype)
            errs = [
                loaded.effect.residual(
                    module, Pictures(partial(_alone, tile.to(kind)), center=0), step.values
                )
                for module, kind in ((loaded.network, torch.float32), (network, dtype))
            ]
            exact, rounded = (torch.zeros(1) if each is None else each.float() for each in errs)
            assert float((exact - rounded).abs().max()) <= step.card.precisions[name]


def _alone(tile: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (tile,)


def test_weights_that_were_altered_are_refused(tmp_path: Path) -> None:
    installed = REGISTRY["denoise"]
    folder = installed.folder.parent / "weights"
    data = bytearray((folder / "denoise.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    altered = type(installed)(installed.card, installed.package, tmp_path)
    (tmp_path / "denoise.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        altered.verified_weight_files()
