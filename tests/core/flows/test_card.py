"""Cards: what an effect says of itself, and the check of what a person sets."""

from __future__ import annotations

import ast
import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kwaflux_core
from kwaflux_core.errors import ModelError, ParamError
from kwaflux_core.flows.card import Card, Clip, ParamRef

Raw = dict[str, object]
CORE = Path(kwaflux_core.__file__).parent
CARDS = sorted((CORE.parent / "models" / "kwaflux_models").glob("effects/*/card.json"))

MINIMAL: Raw = {
    "id": "upscale",
    "label": "Upscale",
    "grouping": "Kwaflux/Scale",
    "version": "1.2",
    "help": "Makes it larger.",
    "for_what": "Small plates.",
    "not_for": "Large plates.",
    "params": [
        {"name": "scale", "type": "choice", "label": "Scale", "hint": "x", "default": "2",
         "choices": ["2", "4"]},
        {"name": "mix", "type": "double", "label": "Mix", "hint": "x", "default": 1,
         "range": [-2, 3], "display_range": [0, 1], "page": "More"},
        {"name": "passes", "type": "int", "label": "Passes", "hint": "x", "default": 1,
         "range": [1, 8]},
        {"name": "fast", "type": "boolean", "label": "Fast", "hint": "x", "default": False},
        {"name": "lora", "type": "loras", "label": "Lora", "hint": "x", "default": ""},
    ],
    "clips": [{"name": "Source"}, {"name": "Mask", "optional": True}],
    "identity_when": {"mix": 0, "fast": False},
    "scale": {"param": "scale"},
    "halo_px": 9,
    "align_px": 4,
    "frames_before": 2,
    "working": {"colorspace": "ACEScg", "curve": "none", "range": [-1, 8.5], "fade": 2},
    "precisions": {"float32": 0, "bfloat16": 0.01, "float16": 0.001},
    "tolerance": 0.002,
    "weights": [{"file": "up.safetensors", "sha256": "ab" * 32, "licence": "MIT", "source": "us"}],
    "scores": [{"set": "ours", "psnr": 31.5, "frames": 12, "fair": True}],
    "licence": "Apache-2.0",
    "limits": ["It cannot count."],
}  # fmt: skip


def raw_card(**changes: object) -> Raw:
    return {**copy.deepcopy(MINIMAL), **changes}


def card(**changes: object) -> Card:
    return Card.from_json(json.dumps(raw_card(**changes)))


# --- reading and writing --------------------------------------------------------------------


def test_every_field_is_read_as_it_stands() -> None:
    found = card()
    assert found.id == "upscale"
    assert found.param("mix").default == 1.0
    assert isinstance(found.param("mix").default, float)
    assert found.param("mix").display_range == (0, 1)
    assert found.param("passes").display_range == (1, 8)
    assert found.clips == (Clip("Source"), Clip("Mask", is_optional=True))
    assert found.scale == ParamRef("scale")
    assert (found.frames_before, found.frames_after) == (2, 0)
    assert (found.working.range, found.working.fade) == ((-1, 8.5), 2)
    assert found.weights[0].sha256 == "ab" * 32
    assert dict(found.scores[0]) == {"set": "ours", "psnr": 31.5, "frames": 12, "fair": True}


def test_a_card_written_and_read_again_is_the_same_and_spelled_alike() -> None:
    found = card()
    again = Card.from_json(found.to_json())
    assert again == found
    assert again.to_json() == found.to_json()


@pytest.mark.parametrize("path", CARDS, ids=lambda path: str(path.parent.name))
def test_a_card_that_ships_is_complete_and_survives_writing(path: Path) -> None:
    found = Card.from_json(path.read_text(encoding="utf-8"))
    assert found.id == path.parent.name
    assert Card.from_json(found.to_json()) == found
    assert found.limits
    assert found.allows("float32")


def test_the_identity_card_is_never_an_identity_to_the_scheduler() -> None:
    found = Card.from_json((CARDS[0].parents[1] / "identity/card.json").read_text("utf-8"))
    assert not found.is_identity({})
    assert (found.params, found.weights, found.halo_px, found.working.curve) == ((), (), 0, "none")


def test_the_denoise_card_is_an_identity_at_strength_0_alone() -> None:
    found = Card.from_json((CARDS[0].parents[1] / "denoise/card.json").read_text("utf-8"))
    assert found.is_identity({"strength": 0.0})
    assert not found.is_identity({})
    assert not found.is_identity({"strength": 1e-9, "noise": 0.1})
    assert found.param("noise").display_range == (0.0, 0.2)


# --- what is refused ------------------------------------------------------------------------


def key_of(text: str) -> object:
    with pytest.raises(ModelError) as caught:
        Card.from_json(text)
    assert caught.value.hint
    return caught.value.fields.get("key")


@pytest.mark.parametrize("key", sorted(MINIMAL.keys() - {"frames_before", "weights", "scores"}))
def test_a_key_that_is_missing_is_named(key: str) -> None:
    raw = raw_card()
    del raw[key]
    assert key_of(json.dumps(raw)) == key


@pytest.mark.parametrize("key", sorted(MINIMAL))
@pytest.mark.parametrize(
    "wrong", [None, 12.5, [3], {"x": {}}], ids=["null", "number", "list", "map"]
)
def test_a_value_of_the_wrong_type_names_its_key(key: str, wrong: object) -> None:
    if key == "tolerance" and wrong == 12.5:
        return
    found = key_of(json.dumps(raw_card(**{key: wrong})))
    assert re.match(rf"{key}(\W|$)", str(found)), found


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"'hallo_px'.*did you mean 'halo_px'") as caught:
        card(hallo_px=3)
    assert caught.value.fields["key"] == "hallo_px"


def test_an_unknown_key_of_a_param_is_named_with_its_path() -> None:
    raw = raw_card()
    raw["params"][1]["defualt"] = 1  # type: ignore[index]
    assert key_of(json.dumps(raw)) == "params[1].defualt"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"id": "Up-Scale"}, "id"),
        ({"label": "Up-scale"}, "label"),
        ({"grouping": "Kwaflux/Re-store"}, "grouping"),
        ({"help": " "}, "help"),
        ({"version": "1"}, "version"),
        ({"clips": [{"name": "Mask"}]}, "clips"),
        ({"clips": [{"name": "Source", "optional": True}]}, "clips"),
        ({"clips": [{"name": "Source"}, {"name": "Source"}]}, "clips"),
        ({"identity_when": {"strength": 0}}, "identity_when.strength"),
        ({"identity_when": {"mix": 7}}, "identity_when.mix"),
        ({"scale": 0}, "scale"),
        ({"scale": True}, "scale"),
        ({"scale": {"param": "mix"}}, "scale"),
        ({"scale": {"param": "size"}}, "scale"),
        ({"halo_px": -1}, "halo_px"),
        ({"align_px": 0}, "align_px"),
        ({"frames_after": -1}, "frames_after"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"precisions": {"bfloat16": 0.1}}, "precisions"),
        ({"precisions": {"float32": 0.1}}, "precisions"),
        ({"precisions": {"float32": 0, "float8": 1}}, "precisions.float8"),
        ({"precisions": {"float32": 0, "float16": True}}, "precisions.float16"),
        ({"precisions": {"float32": 0, "float16": -1}}, "precisions.float16"),
        ({"limits": ["a", 3]}, "limits"),
    ],
)
def test_a_card_that_contradicts_itself_names_the_key(changes: Raw, key: str) -> None:
    assert key_of(json.dumps(raw_card(**changes))) == key


@pytest.mark.parametrize(
    ("part", "changes", "key"),
    [
        ("working", {"curve": "log"}, "working.curve"),
        ("working", {"range": [8, 1]}, "working.range"),
        ("working", {"range": [1]}, "working.range"),
        ("working", {"fade": 0.5}, "working.fade"),
        ("working", {"colorspace": ""}, "working.colorspace"),
        ("weights", {"file": "../up.safetensors"}, "weights.file"),
        ("weights", {"sha256": "AB" * 32}, "weights.sha256"),
        ("weights", {"licence": 3}, "weights[0].licence"),
    ],
)
def test_a_part_that_contradicts_itself_names_the_key(part: str, changes: Raw, key: str) -> None:
    raw = raw_card()
    inner = raw[part]
    record = inner[0] if isinstance(inner, list) else inner
    assert isinstance(record, dict)
    record.update(changes)
    assert key_of(json.dumps(raw)) == key


@pytest.mark.parametrize(
    "text",
    ["", "[]", "nul", "[" * 100_000, '{"id": NaN}', '{"id": 1e999}', "9" * 5000, '{"id": "a"'],
)
def test_a_text_that_is_no_card_is_a_model_error(text: str) -> None:
    with pytest.raises(ModelError):
        Card.from_json(text)


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(ModelError, match="'id' stands twice"):
        Card.from_json('{"id": "a", "id": "b"}')


@given(
    st.text()
    | st.recursive(
        st.none() | st.text() | st.floats() | st.integers(),
        lambda deep: (
            st.lists(deep, max_size=4)
            | st.dictionaries(st.sampled_from(sorted(MINIMAL)), deep, max_size=8)
        ),
        max_leaves=30,
    ).map(json.dumps)
)
def test_any_text_is_a_card_or_a_model_error(text: str) -> None:
    with pytest.raises(ModelError):
        Card.from_json(text)


# --- what it says ---------------------------------------------------------------------------


def test_an_unknown_param_gets_the_nearest() -> None:
    with pytest.raises(ParamError, match=r"'upscale' has no param 'mx'.*did you mean 'mix'"):
        card().param("mx")


def test_identity_needs_every_value_and_reads_defaults() -> None:
    found = card()
    assert found.is_identity({"mix": 0.0, "fast": False})
    assert found.is_identity({"mix": 0.0})
    assert not found.is_identity({"mix": 0.0, "fast": True})
    assert not found.is_identity({})
    assert not card(identity_when={}).is_identity({"mix": 0.0})


def test_the_scale_is_a_number_or_what_its_param_says() -> None:
    assert card(scale=3).scale_of({}) == 3
    assert card().scale_of({}) == 2
    assert card().scale_of({"scale": "4"}) == 4
    assert card(scale={"param": "passes"}).scale_of({"passes": 5}) == 5
    with pytest.raises(ParamError):
        card().scale_of({"scale": "3"})


def test_a_precision_is_allowed_when_its_error_is_within_tolerance() -> None:
    found = card()
    assert found.allows("float32")
    assert found.allows("float16")
    assert not found.allows("bfloat16")
    assert not card(precisions={"float32": 0}).allows("float16")


# --- where it must run ----------------------------------------------------------------------

LIGHT = ("flows.card", "flows.flow", "tiling", "settings.settings", "errors", "geometry")


def test_the_light_modules_import_in_a_bare_python() -> None:
    names = ", ".join(f"kwaflux_core.{name}" for name in LIGHT)
    heavy = "{'numpy', 'torch', 'zmq', 'msgpack', 'difflib', 'tomllib', 'asyncio', 'logging'}"
    # -S: no site-packages, so that nothing but the standard library can be imported.
    code = f"import sys; sys.path.insert(0, {str(CORE.parent)!r}); import {names}; "
    code += f"print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def modules_behind(name: str) -> set[Path]:
    """Return the files of our own that a module imports, itself included."""
    found: set[Path] = set()
    pending = [CORE / f"{name.replace('.', '/')}.py"]
    while pending:
        path = pending.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        imported = (node.module or "" for node in nodes if isinstance(node, ast.ImportFrom))
        pending += [CORE.parent / f"{name.replace('.', '/')}.py" for name in imported]
    return found


@pytest.mark.parametrize("name", LIGHT)
def test_the_light_modules_keep_to_the_grammar_of_python_3_10(name: str) -> None:
    parse: Callable[..., ast.Module] = ast.parse
    for path in modules_behind(name):
        parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 10))
