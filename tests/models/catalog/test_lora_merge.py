"""LoRAs: what a file must be, and what merging does to a network and leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from kwaflux_core.errors import WeightsInvalid
from kwaflux_models.catalog.lora_merge import changed_bytes, merged, parse_lora, spelled_lora
from kwaflux_models.catalog.safetensors_header import parse_header
from kwaflux_models.catalog.user_models import LORA_FORMAT, LoraFile, base_hash
from kwaflux_testing.loras import Shelf, bend_shelf, pair_of

SPREAD = pair_of("spread.weight", 8, 27)
EACH = {"each.weight.delta": torch.full((8, 1, 3, 3), 0.125)}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return bend_shelf(tmp_path)


def spelled(shelf: Shelf, tensors: dict[str, Tensor]) -> bytes:
    return spelled_lora(tensors, card=shelf.card, notes={"rank": "2"})


def test_a_merged_parameter_is_the_base_plus_the_weighted_product(shelf: Shelf) -> None:
    base = shelf.base()
    lora = parse_lora(spelled(shelf, {**SPREAD, **EACH}), name="show", card=shelf.card)
    other = parse_lora(
        spelled(shelf, pair_of("spread.weight", 8, 27, seed=9)), name="night", card=shelf.card
    )
    found = dict(merged(base, [(lora, 0.75), (other, 0.25)], name="x").named_parameters())
    before = dict(base.named_parameters())
    product = 0.75 * SPREAD["spread.weight.up"] @ SPREAD["spread.weight.down"]
    second = other.tensors["spread.weight.up"] @ other.tensors["spread.weight.down"]
    wanted = before["spread.weight"] + (product + 0.25 * second).reshape(8, 3, 3, 3)
    assert torch.allclose(found["spread.weight"], wanted, atol=1e-6)
    assert torch.allclose(found["each.weight"], before["each.weight"] + 0.75 * 0.125)
    assert found["join.weight"] is before["join.weight"]


def test_merging_leaves_every_bit_of_the_base(shelf: Shelf) -> None:
    base = shelf.base()
    before = {name: p.detach().clone() for name, p in base.named_parameters()}
    lora = parse_lora(spelled(shelf, {**SPREAD, **EACH}), name="show", card=shelf.card)
    result = merged(base, [(lora, 1.0)], name="show")
    assert all(torch.equal(p, before[name]) for name, p in base.named_parameters())
    touched = (8 * 3 * 9 + 8 * 9) * 4
    assert changed_bytes(result, base) == touched
    assert not result.training


def test_a_weight_of_zero_is_the_base_itself(shelf: Shelf) -> None:
    base = shelf.base()
    lora = parse_lora(spelled(shelf, SPREAD), name="show", card=shelf.card)
    assert merged(base, [(lora, 0.0)], name="show") is base
    assert merged(base, [], name="none") is base


def test_a_lora_changes_what_the_network_says(shelf: Shelf) -> None:
    base, picture = shelf.base(), torch.rand(1, 3, 16, 16)
    lora = parse_lora(spelled(shelf, SPREAD), name="show", card=shelf.card)
    with torch.inference_mode():
        assert not torch.equal(merged(base, [(lora, 1.0)], name="show")(picture), base(picture))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_base_of_reduced_precision_stays_in_it(shelf: Shelf, dtype: torch.dtype) -> None:
    base = shelf.base().to(dtype)
    lora = parse_lora(spelled(shelf, SPREAD), name="show", card=shelf.card)
    result = merged(base, [(lora, 1.0)], name="show")
    assert {p.dtype for p in result.parameters()} == {dtype}


# --- what is refused --------------------------------------------------------------------------


def test_a_lora_for_other_weights_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    retrained = bend_shelf(tmp_path, seed=2)
    assert base_hash(retrained.card) != base_hash(shelf.card)
    with pytest.raises(WeightsInvalid, match="other weights of 'bend'"):
        parse_lora(spelled(shelf, SPREAD), name="show", card=retrained.card)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"spread.weight.delta": torch.full((8, 3, 3, 3), torch.nan)}, "not finite"),
        ({"spread.weight.up": torch.ones(8, 2)}, "half of a pair"),
        ({"spread.weight.up": torch.ones(8, 2), "spread.weight.down": torch.ones(3, 27)}, "half"),
        ({"spread.weight.alpha": torch.ones(1)}, "neither a delta"),
        ({"delta": torch.ones(1)}, "neither a delta"),
    ],
)
def test_tensors_that_are_no_lora_are_refused(
    shelf: Shelf, tensors: dict[str, Tensor], words: str
) -> None:
    with pytest.raises(WeightsInvalid, match=words):
        parse_lora(spelled(shelf, tensors), name="show", card=shelf.card)


@pytest.mark.parametrize(
    "tensors",
    [pair_of("nowhere.weight", 8, 27), pair_of("spread.weight", 8, 26), pair_of("join.bias", 1, 3)],
)
def test_tensors_that_do_not_fit_the_network_are_refused(
    shelf: Shelf, tensors: dict[str, Tensor]
) -> None:
    lora = parse_lora(spelled(shelf, tensors), name="show", card=shelf.card)
    with pytest.raises(WeightsInvalid, match="does not fit"):
        merged(shelf.base(), [(lora, 1.0)], name="show")


def test_a_plain_file_of_weights_is_no_lora(shelf: Shelf) -> None:
    with pytest.raises(WeightsInvalid, match="no LoRA of Kwaflux"):
        parse_lora(save({"a": torch.zeros(3)}), name="show", card=shelf.card)


def test_whole_numbers_are_refused(shelf: Shelf) -> None:
    tensors = {"spread.weight.delta": torch.ones(8, 3, 3, 3, dtype=torch.int32)}
    payload = parse_header(save(tensors), name="x").payload_sha256
    notes = {"format": LORA_FORMAT, "effect": "bend", "base_sha256": base_hash(shelf.card)}
    data = save(tensors, metadata={**notes, "payload_sha256": payload})
    with pytest.raises(WeightsInvalid, match=r"torch\.int32"):
        parse_lora(data, name="show", card=shelf.card)


@settings(deadline=None)  # the first example makes the shelf
@given(cut=st.integers(0, 4000), flip=st.booleans())
def test_a_file_that_was_cut_or_altered_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: bool
) -> None:
    shelf = _kept_shelf(tmp_path_factory)
    data = spelled(shelf, SPREAD)
    at = cut % len(data)
    broken = data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :] if flip else data[:at]
    try:
        lora = parse_lora(broken, name="show", card=shelf.card)
    except WeightsInvalid:
        return
    # A flip may hit a note that means nothing, such as the rank: then the tensors are as written.
    assert flip
    assert all(torch.equal(lora.tensors[key], SPREAD[key]) for key in SPREAD)


_KEPT: list[Shelf] = []


def _kept_shelf(factory: pytest.TempPathFactory) -> Shelf:
    if not _KEPT:
        _KEPT.append(bend_shelf(factory.mktemp("kept")))
    return _KEPT[0]


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{",
        b'{"a": {"dtype": "F16", "shape": [1], "data_offsets": "x"}}',
        b'{"a": 3}',
        b'{"__metadata__": 3}',
        b"[" * 100_000,
    ],
    ids=["list", "half", "text", "number", "notes", "deep"],
)
def test_a_header_that_is_none_is_refused(header: bytes) -> None:
    with pytest.raises(WeightsInvalid, match="no whole safetensors file"):
        parse_header(len(header).to_bytes(8, "little") + header, name="x")


def test_a_file_says_what_it_is_without_torch(shelf: Shelf) -> None:
    path = shelf.put("show", SPREAD)
    data, header = LoraFile("bend", "show", path).read()
    assert header.notes["effect"] == "bend"
    assert header.notes["rank"] == "2"
    assert len(data) == path.stat().st_size
    with pytest.raises(WeightsInvalid, match="not 'other'"):
        LoraFile("other", "show", path).read()
    with pytest.raises(WeightsInvalid, match="cannot be read"):
        LoraFile("bend", "none", path.with_name("none.safetensors")).read()


def test_the_notes_are_those_that_were_given(shelf: Shelf) -> None:
    notes = json.dumps({"minutes": 4})
    data = spelled_lora(SPREAD, card=shelf.card, notes={"recipe": notes})
    assert parse_header(data, name="x").notes["recipe"] == notes
