"""LoRAs on warm networks: found by name, merged once, gone before their bases."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import ModelError, ParamError, WeightsInvalid
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.local_renderer import plate_of
from kwaflux_models.rendering.lora_stacks import (
    LoraStack,
    find_stack,
    lora_record,
    resolve_loras,
)
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_models.rendering.step_renderer import LoadedEffect
from kwaflux_testing.effects import FakeEffect, Loader, card, neighbors
from kwaflux_testing.loras import Shelf, bend_shelf, pair_of

SPREAD = pair_of("spread.weight", 8, 27)
OTHER = pair_of("spread.weight", 8, 27, seed=8)
MERGED_BYTES = 8 * 27 * 4
BASE_BYTES = (8 * 27 + 8 + 8 * 9 + 8 + 24 + 3) * 4


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    found = bend_shelf(tmp_path)
    found.put("show", SPREAD)
    found.put("night", OTHER)
    return found


def warm_of(shelf: Shelf, *, budget_bytes: int = 1 << 20) -> WarmModels:
    return WarmModels(
        shelf.registry,
        device=Device("cpu"),
        budget_bytes=budget_bytes,
        precision="float32",
        on_change=lambda resident: None,
    )


def first_weight(warm: WarmModels, shelf: Shelf, text: str) -> torch.Tensor:
    stack = find_stack(shelf.card, {"lora": text}, shelf.own)
    with warm.lend(shelf.card, stack) as loaded:
        return loaded.network.get_parameter("spread.weight")


def test_a_stack_is_merged_once_and_the_base_stays(shelf: Shelf) -> None:
    warm = warm_of(shelf)
    base = first_weight(warm, shelf, "")
    kept = base.clone()
    bent = first_weight(warm, shelf, "show:0.8+night:0.3")
    assert first_weight(warm, shelf, "night:0.3 + show:0.8") is bent
    assert first_weight(warm, shelf, "show:0.8") is not bent
    assert first_weight(warm, shelf, "") is base
    assert torch.equal(base, kept)
    assert not torch.equal(bent, base)


def test_a_weight_of_zero_lends_the_base(shelf: Shelf) -> None:
    warm = warm_of(shelf)
    assert first_weight(warm, shelf, "show:0+night:0") is first_weight(warm, shelf, "")


def test_a_file_that_was_trained_anew_is_merged_anew(shelf: Shelf) -> None:
    warm = warm_of(shelf)
    before = first_weight(warm, shelf, "show")
    shelf.put("show", OTHER)
    assert torch.equal(first_weight(warm, shelf, "show"), first_weight(warm, shelf, "night"))
    assert not torch.equal(first_weight(warm, shelf, "show"), before)


def test_stacks_go_before_their_base_when_memory_is_short(shelf: Shelf) -> None:
    warm = warm_of(shelf, budget_bytes=BASE_BYTES + MERGED_BYTES)
    base = first_weight(warm, shelf, "")
    first = first_weight(warm, shelf, "show")
    second = first_weight(warm, shelf, "night")
    assert first_weight(warm, shelf, "night") is second
    assert first_weight(warm, shelf, "show") is not first
    assert first_weight(warm, shelf, "") is base


def test_a_name_that_is_not_there_points_at_itself(shelf: Shelf) -> None:
    with pytest.raises(ParamError, match="did you mean 'night'") as caught:
        first_weight(warm_of(shelf), shelf, "show:0.8+nigth")
    assert caught.value.column == 10


def test_a_lora_for_other_weights_is_refused_and_the_base_still_works(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put("alien", SPREAD, for_card=bend_shelf(tmp_path, seed=2).card)
    warm = warm_of(shelf)
    with pytest.raises(WeightsInvalid, match="other weights"):
        first_weight(warm, shelf, "alien")
    assert first_weight(warm, shelf, "show") is first_weight(warm, shelf, "show")


def rendered(
    shelf: Shelf, warm: WarmModels, flow: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    pool = PlanePool()
    renderer = FrameRenderer(
        warm.lend, device=Device("cpu"), config=ColorConfig.default(), tile_px=32
    )
    y, x = np.mgrid[0:40, 0:48].astype(np.float32) / 48
    bound = Flow.parse(flow).bind(shelf.registry.cards)
    return np.stack(
        renderer.render(
            bound,
            {1: plate_of(np.stack([x, y, x * y]))},
            frame=1,
            scratch=pool.take,
            final=pool.take,
            loras=resolve_loras(bound, shelf.own),
        ).color
    )


def test_a_flow_renders_with_its_loras_and_weight_zero_is_the_base_to_the_bit(
    shelf: Shelf,
) -> None:
    warm = warm_of(shelf)
    plain = rendered(shelf, warm, "bend")
    assert (rendered(shelf, warm, 'bend(lora="show:0")') == plain).all()
    assert (rendered(shelf, warm, 'bend(lora="show:0.8+night:0.3")') != plain).any()
    assert (rendered(shelf, warm, "bend") == plain).all()


def test_a_lora_that_is_replaced_during_a_job_is_never_mixed_with_cached_results(
    shelf: Shelf,
) -> None:
    """The results of leading steps are cached under the bytes of their LoRAs, not their names."""
    around = card("around", frames_before=1, frames_after=1, identity_when={})
    cards = {**shelf.registry.cards, "around": around}
    bound = Flow.parse('bend(lora="show:0.8") | around').bind(cards)
    warm, still = warm_of(shelf), Loader({"around": FakeEffect(neighbors)})
    y, x = np.mgrid[0:20, 0:24].astype(np.float32) / 24
    plates = {number: plate_of(np.stack([x, y, x * y]) * number) for number in (1, 2, 3)}

    def lend(card: Card, loras: LoraStack | None = None) -> AbstractContextManager[LoadedEffect]:
        return still(card) if card.id == "around" else warm.lend(card, loras)

    def color(renderer: FrameRenderer) -> NDArray[np.float32]:
        frame = renderer.render(bound, plates, frame=2, loras=resolve_loras(bound, shelf.own))
        return np.stack(frame.color)

    def renderer() -> FrameRenderer:
        return FrameRenderer(lend, device=Device("cpu"), config=ColorConfig.default())

    used = renderer()
    before = color(used)
    assert len(used.context.cache) == 3
    shelf.put("show", OTHER)
    after = color(used)
    assert (after != before).any()
    assert (after == color(renderer())).all()


def test_a_lora_is_read_once_for_a_task_and_what_is_rendered_is_what_is_recorded(
    shelf: Shelf,
) -> None:
    bound = Flow.parse('bend(lora="show:0.8")').bind(shelf.registry.cards)
    stacks = resolve_loras(bound, shelf.own)
    line = lora_record(stacks)
    warm = warm_of(shelf)
    first = first_weight(warm, shelf, "show:0.8").clone()
    shelf.put("show", OTHER)
    with warm.lend(shelf.card, stacks[0]) as loaded:
        assert (loaded.network.get_parameter("spread.weight") == first).all()
    assert lora_record(stacks) == line != lora_record(resolve_loras(bound, shelf.own))


def test_a_flow_that_names_loras_is_refused_without_them(shelf: Shelf) -> None:
    bound = Flow.parse('bend(lora="show:0.8")').bind(shelf.registry.cards)
    renderer = FrameRenderer(
        warm_of(shelf).lend, device=Device("cpu"), config=ColorConfig.default()
    )
    with pytest.raises(ModelError):
        renderer.render(bound, {1: plate_of(np.zeros((3, 8, 8), np.float32))}, frame=1)
