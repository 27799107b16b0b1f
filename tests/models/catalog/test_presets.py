"""The presets that ship, and how those that cannot be used are left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kwaflux_core.errors import ModelError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.preset import Preset
from kwaflux_models.catalog.preset_files import PRESETS_FOLDER, read_presets
from kwaflux_models.catalog.registry import Registry
from kwaflux_testing.effects import card

CARDS: dict[str, Card] = {"soft": card("soft")}
FILES = sorted(PRESETS_FOLDER.glob("*.json"))


def write(folder: Path, name: str, **changes: object) -> None:
    raw = {"label": "L", "help": "h", "for_what": "f", "not_for": "n", "flow": "soft", "id": name}
    (folder / f"{name}.json").write_text(json.dumps({**raw, **changes}), encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_preset_that_ships_can_be_read_and_is_named_like_its_file(path: Path) -> None:
    assert Preset.from_json(path.read_text(encoding="utf-8")).id == path.stem


def test_the_registry_has_every_preset_that_ships() -> None:
    registry = Registry.of_packages()
    broken = {name for name in registry.broken if name.startswith("presets/")}
    assert broken == set()
    assert "plate_recovery" in registry.presets
    assert set(registry.presets) == {path.stem for path in FILES}


def test_what_cannot_be_used_is_left_out_with_its_error_and_costs_the_others_nothing(
    tmp_path: Path,
) -> None:
    write(tmp_path, "good")
    write(tmp_path, "stranger", flow="soft | sharpen")
    write(tmp_path, "beyond", flow="soft(strength=7)")
    write(tmp_path, "nested", flow="good")
    write(tmp_path, "taken", id="soft")
    write(tmp_path, "twin", id="good")
    (tmp_path / "torn.json").write_text('{"id": "torn"', encoding="utf-8")
    (tmp_path / "odd.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.json").mkdir()
    broken: dict[str, ModelError] = {}
    found = read_presets(CARDS, broken, folder=tmp_path)
    assert list(found) == ["good"]
    assert set(broken) == {
        f"presets/{name}.json"
        for name in ("stranger", "beyond", "nested", "taken", "twin", "torn", "odd", "folder")
    }
    assert "sharpen" in broken["presets/stranger.json"].message
    assert "an effect" in broken["presets/taken.json"].message
    assert "another preset" in broken["presets/twin.json"].message


def test_no_folder_is_no_preset(tmp_path: Path) -> None:
    assert read_presets(CARDS, {}, folder=tmp_path / "none") == {}
