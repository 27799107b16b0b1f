"""The text that names LoRAs: what it means, and where it is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwaflux_core.errors import ParamError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.lora_spec import LORAS_MAX, LoraUse, parse_loras

CARD = Card.from_json(
    json.dumps(
        {
            "id": "bend",
            "label": "Bend",
            "grouping": "Kwaflux/Test",
            "version": "1.0",
            "help": "An effect for tests.",
            "for_what": "tests",
            "not_for": "plates",
            "params": [
                {"name": "lora", "type": "loras", "label": "LoRA", "hint": "Names", "default": ""}
            ],
            "clips": [{"name": "Source"}],
            "identity_when": {},
            "scale": 1,
            "halo_px": 0,
            "align_px": 1,
            "working": {
                "colorspace": "Linear Rec.709 (sRGB)",
                "curve": "none",
                "range": [0.0, 1.0],
                "fade": 1.0,
            },
            "precisions": {"float32": 0.0},
            "tolerance": 0.0,
            "licence": "Apache-2.0",
            "limits": [],
        }
    )
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", []),
        ("show", [("show", 1.0)]),
        ("show:0.8+night:0.3", [("night", 0.3), ("show", 0.8)]),
        (" night : .3 + show:0.8 ", [("night", 0.3), ("show", 0.8)]),
        ("show:0+night:2", [("night", 2.0)]),
        ("0_a-B:1.", [("0_a-B", 1.0)]),
    ],
)
def test_a_stack_is_read_in_one_order_without_what_weighs_nothing(
    text: str, meant: list[tuple[str, float]]
) -> None:
    assert [(use.name, use.weight) for use in parse_loras(text)] == meant


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("+", 1, "the name of a LoRA"),
        ("show:", 6, "the text ends"),
        ("show:-1", 6, "the weight of a LoRA"),
        ("show:2.5", 6, "too large"),
        ("show:0.5+", 10, "the name of a LoRA"),
        ("show:0.5 night", 10, "'+' or the end"),
        ("show+../night", 6, "the name of a LoRA"),
        ("show+night+show:0.1", 12, "stands twice"),
        ("+".join(f"a{n}" for n in range(LORAS_MAX + 1)), 3 * LORAS_MAX + 1, "too high"),
        ("a" * 65, 65, "'+' or the end"),
    ],
)
def test_an_error_points_at_the_first_character_that_is_wrong(
    text: str, column: int, words: str
) -> None:
    with pytest.raises(ParamError, match=r"LoRA|stack|weight") as caught:
        parse_loras(text)
    assert caught.value.column == column
    assert words in str(caught.value)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_stack_or_a_param_error(text: str) -> None:
    column = 1
    uses: tuple[LoraUse, ...] = ()
    try:
        uses = parse_loras(text)
    except ParamError as error:
        column = error.column
    assert 1 <= column <= len(text) + 1
    assert len(uses) <= LORAS_MAX


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ('bend(lora="show:3")', 17),
        ('bend | bend( lora = "show:0.5+x:3")', 33),
        ("bend(lora=3)", 6),
    ],
)
def test_in_a_flow_the_error_points_into_the_flow(text: str, column: int) -> None:
    with pytest.raises(ParamError) as caught:
        Flow.parse(text).bind({"bend": CARD})
    assert caught.value.column == column
    assert caught.value.fields["effect"] == "bend"
    assert str(caught.value).count("^") == 1


def test_a_flow_keeps_the_text_as_it_was_written() -> None:
    bound = Flow.parse('bend(lora="show:0.8+night")').bind({"bend": CARD})
    assert bound.steps[0].values["lora"] == "show:0.8+night"
    assert Flow.parse(bound.to_text()).bind({"bend": CARD}).to_text() == bound.to_text()
