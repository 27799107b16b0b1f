"""Panels: what a person can set comes from descriptors, and survives in a script."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kwaflux_core.errors import FlowError, HostError, ParamError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset
from kwaflux_hosting.panel.controls import Control
from kwaflux_hosting.panel.controls_from_cards import FREE_TEXT
from kwaflux_hosting.panel.panel import Panel
from kwaflux_models.catalog.registry import Registry
from kwaflux_testing.servers import RunningServer

_PARAMS: list[dict[str, object]] = [
    {"name": "amount", "type": "double", "label": "Amount", "hint": "How much.", "default": 0.5,
     "range": [0.0, 2.0], "display_range": [0.0, 1.0], "page": "Main"},
    {"name": "count", "type": "int", "label": "Count", "hint": "How many.", "default": 2,
     "range": [1, 8]},
    {"name": "fine", "type": "boolean", "label": "Fine", "hint": "Or coarse.", "default": True},
    {"name": "way", "type": "choice", "label": "Way", "hint": "Which.", "default": "near",
     "choices": ["near", "far away"]},
    {"name": "note", "type": "string", "label": "Note", "hint": "Any.", "default": ""},
]  # fmt: skip


def _card(name: str = "shine", **changes: object) -> Card:
    raw: dict[str, object] = {
        "id": name,
        "label": name.title(),
        "grouping": "Kwaflux/Test",
        "version": "1.0",
        "help": "It shines.",
        "for_what": "dull plates",
        "not_for": "bright ones",
        "params": _PARAMS,
        "clips": [{"name": "Source"}],
        "identity_when": {},
        "scale": 1,
        "halo_px": 0,
        "align_px": 1,
        "working": {
            "colorspace": "scene_linear",
            "curve": "none",
            "range": [-0.5, 8.0],
            "fade": 2.0,
        },
        "precisions": {"float32": 0.0},
        "tolerance": 0.0,
        "licence": "Apache-2.0",
        "limits": [],
        **changes,
    }
    return Card.from_json(json.dumps(raw))


def _preset(flow: str = "shine(amount=0.1) | glow") -> Preset:
    return Preset(
        id="sunday",
        label="Sunday",
        help="A day.",
        for_what="rest",
        not_for="work",
        flow=Flow.parse(flow),
    )


_PANEL = Panel.from_descriptors(
    (_card("shine", frames_before=2, frames_after=1), _card("glow", frames_before=1)),
    (_preset(),),
    server_version="1.2",
)


def test_every_param_becomes_a_control_with_its_ranges_and_its_tooltip() -> None:
    amount, count, fine, way, note = _PANEL.choice("shine").controls
    assert (amount.kind, amount.minimum, amount.maximum) == ("double", 0.0, 2.0)
    assert (amount.display_minimum, amount.display_maximum) == (0.0, 1.0)
    assert (amount.help, amount.page) == ("How much.", "Main")
    assert (count.kind, count.default, count.display_maximum) == ("int", 2, 8)
    assert (fine.kind, fine.default, fine.minimum) == ("boolean", True, None)
    assert way.choices == ("near", "far away")
    assert (note.kind, note.default) == ("string", "")


def test_effects_come_before_named_flows_and_free_text_is_last() -> None:
    assert [choice.id for choice in _PANEL.choices] == ["glow", "shine", "sunday", FREE_TEXT]
    sunday = _PANEL.choice("sunday")
    assert sunday.is_preset
    assert sunday.flow == "shine(amount=0.1) | glow"
    assert "Not for: work" in sunday.help
    assert not sunday.controls


def test_a_panel_survives_in_a_script_as_one_line_of_text() -> None:
    text = _PANEL.to_json()
    assert text.isascii()
    assert text.isprintable()
    assert Panel.from_json(text) == _PANEL


def test_the_panel_of_every_installed_effect_survives_and_makes_a_flow_that_binds() -> None:
    registry = Registry.discover()
    panel = Panel.from_descriptors(tuple(registry.cards.values()), tuple(registry.presets.values()))
    assert Panel.from_json(panel.to_json()) == panel
    for choice in panel.choices[:-1]:
        text = panel.flow_text(choice.id, {})
        bound = Flow.parse(text).bind(registry.cards, named=registry.named_flows)
        assert bound == Flow.parse(choice.id).bind(registry.cards, named=registry.named_flows)
        around = panel.frames_around(text)
        assert around == (bound.frames_before, bound.frames_after), choice.id


def test_a_panel_of_a_newer_version_opens_and_one_of_another_format_says_so() -> None:
    raw = json.loads(_PANEL.to_json())
    raw["later"] = raw["choices"][0]["later"] = raw["choices"][0]["controls"][0]["later"] = [1]
    assert Panel.from_json(json.dumps(raw)) == _PANEL
    with pytest.raises(HostError, match="newer Kwaflux"):
        Panel.from_json(json.dumps({**raw, "format": 99}))


@pytest.mark.parametrize(
    "text",
    ["", "nothing", "[]", "{}", '{"format": 1, "choices": 3}',
     '{"format": 1, "choices": [{"id": "x"}]}',
     '{"format": 1, "choices": [{"id":"x","label":"X","help":"","controls":[{"name":"UP",'
     '"kind":"double","label":"U","help":"","default":1}]}]}'],
)  # fmt: skip
def test_a_damaged_panel_is_a_host_error_and_nothing_else(text: str) -> None:
    with pytest.raises(HostError):
        Panel.from_json(text)


def test_values_are_spelled_out_with_their_defaults() -> None:
    assert _PANEL.flow_text("shine", {"amount": 1}) == (
        'shine(amount=1.0, count=2, fine=true, way=near, note="")'
    )


def test_what_hosts_hand_out_is_taken_as_meant() -> None:
    # Nuke's int knobs give 3.0 and its ticks 1.0; OpenFX calls a choice by its text.
    values = {"count": 3.0, "fine": 0.0, "way": "far away", "note": 'say "hello"'}
    flow = Flow.parse(_PANEL.flow_text("shine", values))
    assert dict(flow.steps[0].values) == {
        "amount": 0.5,
        "count": 3,
        "fine": False,
        "way": "far away",
        "note": 'say "hello"',
    }


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"amount": 2.5}, "from 0 to 2"),
        ({"amount": float("nan")}, "from 0 to 2"),
        ({"count": 2.5}, "whole number"),
        ({"count": float("inf")}, "whole number"),
        ({"fine": 2.0}, "true or false"),
        ({"way": "nearr"}, "one of near, far away"),
        ({"amuont": 1}, "no param 'amuont'"),
        ({"note": "two\nlines"}, "printable"),
    ],
)
def test_a_value_that_the_effect_does_not_take_is_refused_in_words(
    values: dict[str, object], says: str
) -> None:
    with pytest.raises(ParamError, match=says):
        _PANEL.flow_text("shine", values)


def test_a_flow_as_text_is_checked_and_a_mistake_points_at_its_column() -> None:
    assert _PANEL.flow_text(FREE_TEXT, {"text": " shine( amount=1 )|glow "}) == (
        "shine(amount=1) | glow"
    )
    with pytest.raises(FlowError) as caught:
        _PANEL.flow_text(FREE_TEXT, {"text": "shine(amount=)"})
    assert caught.value.column == 14
    with pytest.raises(FlowError, match="no flow is given"):
        _PANEL.flow_text(FREE_TEXT, {})


def test_an_effect_that_is_gone_is_named_with_the_nearest() -> None:
    with pytest.raises(HostError) as caught:
        _PANEL.flow_text("shin", {})
    assert "shine" in caught.value.hint


def test_handles_add_up_over_effects_and_named_flows() -> None:
    assert _PANEL.frames_around("shine | glow") == (3, 1)
    assert _PANEL.frames_around("sunday") == (3, 1)
    assert _PANEL.frames_around("unknown") == (0, 0)


def test_a_control_can_be_changed_as_data() -> None:
    control = replace(_PANEL.choice("shine").controls[0], maximum=4.0)
    assert isinstance(control, Control)
    assert control.checked(3.5) == 3.5


def test_an_effect_from_outside_shows_up_with_no_line_changed(server: RunningServer) -> None:
    with server.client() as client:
        panel = Panel.from_server(client)
    assert {"soften", "gauge", "around"} <= {choice.id for choice in panel.choices}
    assert panel.flow_text("soften", {"strength": 0.25}) == "soften(strength=0.25)"
    assert panel.frames_around("around | soften") == (1, 1)
    assert panel.server_version
