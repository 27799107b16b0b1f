"""Flows bound to cards: checked, completed, and measured."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import FlowError, ParamError, UnknownEffect, from_wire, to_wire
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import BoundFlow, Flow, Step


def make_card(name: str, *params: dict[str, object], **more: object) -> Card:
    raw: dict[str, object] = {
        "id": name,
        "label": name.title(),
        "grouping": "Test",
        "version": "1.0",
        "help": "h",
        "for_what": "f",
        "not_for": "n",
        "params": [{"label": "L", "hint": "h", **param} for param in params],
        "clips": [{"name": "Source"}],
        "identity_when": {},
        "scale": 1,
        "halo_px": 0,
        "align_px": 1,
        "working": {"colorspace": "ACEScg", "curve": "none", "range": [0, 1], "fade": 1},
        "precisions": {"float32": 0},
        "tolerance": 0,
        "licence": "Apache-2.0",
        "limits": [],
    }
    return Card.from_json(json.dumps(raw | more))


CARDS: Mapping[str, Card] = {
    "denoise": make_card(
        "denoise",
        {"name": "strength", "type": "double", "default": 1, "range": [0, 1]},
        {"name": "mode", "type": "choice", "default": "soft", "choices": ["soft", "hard", "two b"]},
        {"name": "lora", "type": "loras", "default": ""},
        identity_when={"strength": 0},
        frames_before=2,
        frames_after=1,
    ),
    "upscale": make_card(
        "upscale",
        {"name": "scale", "type": "choice", "default": "2", "choices": ["2", "4"]},
        {"name": "denoise", "type": "double", "default": 0, "range": [0, 1]},
        scale={"param": "scale"},
        frames_before=1,
    ),
    "regrain": make_card("regrain", {"name": "mono", "type": "boolean", "default": False}),
}


def bound(text: str) -> BoundFlow:
    return Flow.parse(text).bind(CARDS)


def test_binding_fills_in_the_defaults_in_the_cards_order() -> None:
    flow = bound("denoise(lora=x, strength=1) | regrain")
    assert flow.to_text() == "denoise(strength=1.0, mode=soft, lora=x) | regrain(mono=false)"
    assert list(flow.steps[0].values) == ["strength", "mode", "lora"]
    assert flow.steps[0].card is CARDS["denoise"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("denoise(strength=1)", "denoise"),
        ("denoise(strength=0.50)", "denoise(strength=5e-1, mode=soft)"),
        ("upscale(scale=2)", 'upscale(scale="2")'),
        ("denoise(strength=-0.0)", "denoise(strength=0)"),
    ],
)
def test_flows_that_mean_the_same_are_spelled_alike_once_bound(one: str, other: str) -> None:
    assert bound(one).to_text() == bound(other).to_text()
    assert bound(bound(one).to_text()).to_text() == bound(one).to_text()


@pytest.mark.parametrize(
    ("text", "error", "column", "words"),
    [
        ("denoize", UnknownEffect, 1, "did you mean 'denoise'"),
        ("regrain | zzz", UnknownEffect, 11, "the effects are: denoise, upscale, regrain"),
        ("denoise | denoise( strenght=1)", ParamError, 20, "did you mean 'strength'"),
        ("denoise(zzz=1)", ParamError, 9, "the params are: strength, mode, lora"),
        ("denoise(mode=hard, strength=2)", ParamError, 20, "2, not a number from 0 to 1"),
        ("denoise(strength=true)", ParamError, 9, "true, not a number"),
        ("denoise(strength=nan)", ParamError, 9, "'nan', not a number"),
        ("denoise(mode=sofd)", ParamError, 9, "did you mean 'soft'"),
        ("upscale(scale=3)", ParamError, 9, "not one of 2, 4"),
        ("upscale(scale=2.0)", ParamError, 9, "not one of 2, 4"),
        ("regrain(mono=1)", ParamError, 9, "not true or false"),
        ("denoise(lora=3)", ParamError, 9, "not a printable text"),
    ],
)
def test_what_the_cards_do_not_know_points_at_the_column_and_names_the_nearest(
    text: str, error: type[FlowError], column: int, words: str
) -> None:
    with pytest.raises(error) as caught:
        bound(text)
    assert type(caught.value) is error
    assert caught.value.column == column
    assert words in str(caught.value)
    *_, shown, caret = str(caught.value).splitlines()
    assert shown == f"  {text}"
    assert caret.index("^") == column + 1
    far = from_wire(to_wire(caught.value))
    assert isinstance(far, error)
    assert far.column == column


def test_a_flow_without_a_text_points_into_its_canonical_spelling() -> None:
    flow = Flow((Step("regrain"), Step("denoise", {"strength": 2})))
    with pytest.raises(ParamError) as caught:
        flow.bind(CARDS)
    assert "  regrain | denoise(strength=2)" in str(caught.value)
    assert caught.value.column == 19


def test_a_flow_scales_by_the_product_and_reads_the_sum_of_frames() -> None:
    flow = bound("upscale | denoise | upscale(scale=4) | denoise(mode=hard)")
    assert flow.scale == 8
    assert (flow.frames_before, flow.frames_after) == (6, 2)
    assert [step.scale for step in flow.steps] == [2, 1, 4, 1]


def test_identities_are_left_out_and_nothing_else() -> None:
    flow = bound("denoise(strength=0) | regrain | denoise(strength=0.0, mode=hard)")
    assert not flow.is_identity
    rest = flow.without_identities()
    assert [step.card.id for step in rest.steps] == ["regrain"]
    assert (rest.frames_before, rest.frames_after) == (0, 0)


def test_a_flow_of_identities_touches_nothing() -> None:
    flow = bound("denoise(strength=0) | denoise(strength=0)")
    assert flow.is_identity
    rest = flow.without_identities()
    assert rest.steps == ()
    assert (rest.is_identity, rest.scale, rest.frames_before, rest.to_text()) == (True, 1, 0, "")


ANY = st.text() | st.lists(
    st.sampled_from(["x", '"', "\\", ",", "mode=", "hard", ")", "|", "denoise", "(", "1", "=", " "])
).map("".join)


def outcome(text: str) -> BoundFlow | FlowError:
    try:
        return bound(text)
    except FlowError as error:
        return error


@given(ANY)
def test_any_text_binds_or_is_a_flow_error_inside_it(text: str) -> None:
    text = f"denoise(lora={text})"
    flow = outcome(text)
    if isinstance(flow, FlowError):
        assert 1 <= flow.column <= len(text) + 1
    else:
        assert bound(flow.to_text()).to_text() == flow.to_text()
