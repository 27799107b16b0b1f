"""``kwaflux effects`` lists presets beside effects, and shows one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kwaflux_core.errors import ModelError, UnknownEffect
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset
from kwaflux_models.catalog.registry import InstalledEffect, Registry
from kwaflux_server.cli.effects import effects
from kwaflux_testing.effects import card

PAIR = Preset(
    id="pair",
    label="A Pair",
    help="What it does.",
    for_what="dusty plates",
    not_for="clean plates",
    flow=Flow.parse("soft(strength=0.5)|soft"),
)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = InstalledEffect(card("soft"), "nowhere", Path())
    registry = Registry(
        {"soft": soft}, broken={"presets/torn.json": ModelError("torn")}, presets={"pair": PAIR}
    )
    monkeypatch.setattr(Registry, "discover", lambda: registry)


def test_presets_are_listed_with_what_they_are_for_and_not_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    effects()
    listed = capsys.readouterr().out
    for text in ("soft", "pair", "dusty plates", "clean plates", "skipped: presets/torn.json"):
        assert text in listed


def test_one_preset_is_shown_with_its_flow(capsys: pytest.CaptureFixture[str]) -> None:
    effects("pair")
    shown = capsys.readouterr().out
    assert "pair: A Pair" in shown
    assert "Flow: soft(strength=0.5) | soft" in shown
    assert "Not for: clean plates" in shown
    with pytest.raises(UnknownEffect):
        effects("pear")


def test_json_holds_cards_and_presets_which_have_a_flow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    effects(as_json=True)
    soft, pair = json.loads(capsys.readouterr().out)
    assert (soft["id"], "flow" in soft) == ("soft", False)
    assert pair["flow"] == "soft(strength=0.5) | soft"
    effects("pair", as_json=True)
    assert json.loads(capsys.readouterr().out) == pair
