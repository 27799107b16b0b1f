"""Presets: flows that have a name."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kwaflux_core.errors import FlowError, ModelError, ParamError, UnknownEffect
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset, named_flows
from kwaflux_testing.effects import card

RAW = {
    "id": "recovery",
    "label": "Recovery",
    "help": "Two effects.",
    "for_what": "tests",
    "not_for": "plates",
    "flow": "soft(strength=0.25)|hard",
}
CARDS = {"soft": card("soft", frames_before=2, frames_after=1), "hard": card("hard", scale=2)}
PRESET = Preset.from_json(json.dumps(RAW))
NAMED = named_flows([PRESET])


def test_a_preset_survives_its_own_json() -> None:
    assert Preset.from_json(PRESET.to_json()) == PRESET
    assert json.loads(PRESET.to_json()) == {**RAW, "flow": "soft(strength=0.25) | hard"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "Recovery!"}, "id of the preset"),
        ({"label": "  "}, "label of the preset"),
        ({"flow": "soft("}, "flow of the preset cannot be read"),
        ({"flow": 7}, "flow"),
        ({"flwo": "soft"}, "flwo"),
        ({"help": None}, "help"),
    ],
)
def test_a_preset_that_is_wrong_says_where(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        Preset.from_json(json.dumps({**RAW, **changes}))
    with pytest.raises(ModelError):
        Preset.from_json("{" + says)


@pytest.mark.parametrize(
    ("text", "spelled_out"),
    [
        ("recovery", "soft(strength=0.25) | hard(strength=1.0)"),
        ("hard | recovery", "hard(strength=1.0) | soft(strength=0.25) | hard(strength=1.0)"),
        ("recovery() | soft", "soft(strength=0.25) | hard(strength=1.0) | soft(strength=1.0)"),
    ],
)
def test_the_name_of_a_preset_stands_for_its_effects_in_place(text: str, spelled_out: str) -> None:
    bound = Flow.parse(text).bind(CARDS, named=NAMED)
    assert bound.to_text() == spelled_out
    assert Flow.parse(spelled_out).bind(CARDS) == bound
    assert Flow.from_json(Flow.parse(text).to_json()).bind(CARDS, named=NAMED) == bound


def test_params_of_a_preset_are_refused_with_the_flow_to_write_instead() -> None:
    with pytest.raises(ParamError) as caught:
        Flow.parse("hard | recovery(strength=0.5)").bind(CARDS, named=NAMED)
    error = caught.value
    assert "'recovery' takes no params" in error.message
    assert "soft(strength=0.25) | hard" in error.hint
    assert error.column == len("hard | recovery(") + 1
    assert error.fields["effect"] == "recovery"


def test_without_presets_their_names_are_unknown_and_near_names_are_suggested() -> None:
    with pytest.raises(UnknownEffect):
        Flow.parse("recovery").bind(CARDS)
    with pytest.raises(UnknownEffect) as caught:
        Flow.parse("recovry").bind(CARDS, named=NAMED)
    assert "recovery" in caught.value.hint


def test_a_flow_that_is_too_long_once_it_is_spelled_out_is_refused() -> None:
    Flow.parse("|".join(["recovery"] * 16)).bind(CARDS, named=NAMED)
    with pytest.raises(FlowError, match="34 effects"):
        Flow.parse("|".join(["recovery"] * 17)).bind(CARDS, named=NAMED)


def test_an_effect_that_touches_no_pixel_reads_no_neighbors() -> None:
    assert Flow.parse("soft").bind(CARDS).frames_before == 2
    idle = Flow.parse("soft(strength=0) | hard").bind(CARDS)
    assert (idle.frames_before, idle.frames_after) == (0, 0)


def test_presets_are_read_without_numpy_and_torch() -> None:
    code = (
        "import sys\n"
        "import kwaflux_core.flows.preset\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
