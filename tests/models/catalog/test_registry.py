"""Where effects are found, and what a bad one does to the others: nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kwaflux_core.errors import ModelError, ParamError, WeightsInvalid
from kwaflux_core.flows.lora_spec import LoraUse
from kwaflux_models.catalog.registry import EXTERNAL_PACKAGE, Registry
from kwaflux_models.catalog.user_models import OwnModels
from kwaflux_testing.effects import card

WEIGHTS = b"tensors"


@pytest.fixture
def own(tmp_path: Path) -> OwnModels:
    return OwnModels(tmp_path / "models")


def put(own: OwnModels, folder: str, **changes: object) -> Path:
    weights = {
        "file": "weights.safetensors",
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "licence": "MIT",
        "source": "a friend",
    }
    target = own.effects_folder / folder
    target.mkdir(parents=True)
    (target / "weights.safetensors").write_bytes(WEIGHTS)
    raw = json.loads(card(folder, weights=[weights]).to_json())
    (target / "card.json").write_text(json.dumps({**raw, **changes}), encoding="utf-8")
    return target


def test_an_effect_in_the_users_folder_is_installed(own: OwnModels) -> None:
    folder = put(own, "mine")
    found = Registry.discover(own=own)["mine"]
    assert (found.is_own, found.package, found.folder) == (True, EXTERNAL_PACKAGE, folder)
    assert found.verified_weight_files() == (folder / "weights.safetensors",)
    assert "mine" not in Registry.of_packages().cards


def test_a_folder_that_is_not_there_is_an_empty_one(own: OwnModels) -> None:
    assert Registry.discover(own=own).cards.keys() == Registry.of_packages().cards.keys()


def test_it_is_found_without_torch(own: OwnModels) -> None:
    put(own, "mine")
    code = (
        "import sys; from pathlib import Path; "
        "from kwaflux_models.catalog.user_models import OwnModels; "
        "from kwaflux_models.catalog.registry import Registry; "
        "assert 'mine' in Registry.discover(own=OwnModels(Path(sys.argv[1]))).cards; "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(own.folder)], timeout=100, check=False)
    assert done.returncode == 0


def test_an_effect_that_ships_is_never_replaced_by_one_of_the_user(own: OwnModels) -> None:
    folder = put(own, "denoise")
    found = Registry.discover(own=own)
    assert not found["denoise"].is_own
    assert isinstance(found.broken[str(folder)], ModelError)


@pytest.mark.parametrize("text", [b"{", b"{}", b"\xff\xfe", b'{"id": "mine"}'])
def test_a_card_that_cannot_be_read_takes_no_other_away(own: OwnModels, text: bytes) -> None:
    put(own, "good")
    bad = put(own, "bad")
    (bad / "card.json").write_bytes(text)
    found = Registry.discover(own=own)
    assert "good" in found.cards
    assert found.broken.keys() - Registry.of_packages().broken.keys() == {str(bad)}


@pytest.mark.parametrize("data", [b"", WEIGHTS[:-1], WEIGHTS + b"x", b"Tensors"])
def test_weights_that_are_not_those_of_the_card_are_refused(own: OwnModels, data: bytes) -> None:
    folder = put(own, "mine")
    (folder / "weights.safetensors").write_bytes(data)
    with pytest.raises(WeightsInvalid, match="add the checkpoint again"):
        Registry.discover(own=own)["mine"].verified_weight_files()


def cut_off(own: OwnModels, target: Path, *, replaces: bool = False) -> None:
    """Install an effect until its card is written, and no further."""
    before = Registry.discover(own=own).cards.keys()
    with own.installing(target, replaces=replaces) as staging:
        (staging / "card.json").write_text(card("mine").to_json())
        assert Registry.discover(own=own).cards.keys() == before
        raise RuntimeError("the power went out")


def test_what_is_half_written_is_not_found(own: OwnModels) -> None:
    target = own.effects_folder / "mine"
    with pytest.raises(RuntimeError, match="the power went out"):
        cut_off(own, target)
    assert "mine" not in Registry.discover(own=own).cards
    assert list(own.effects_folder.iterdir()) == []


def test_what_is_there_is_kept_until_the_new_one_is_whole(own: OwnModels) -> None:
    target = put(own, "mine")
    with pytest.raises(ModelError, match="installed already"), own.installing(target):
        raise AssertionError("it was let in")
    with pytest.raises(RuntimeError, match="the power went out"):
        cut_off(own, target, replaces=True)
    assert Registry.discover(own=own)["mine"].verified_weight_files()
    with own.installing(target, replaces=True) as staging:
        (staging / "card.json").write_text(card("mine", label="Another").to_json())
    assert Registry.discover(own=own).cards["mine"].label == "Another"
    assert [path.name for path in target.iterdir()] == ["card.json"]
    assert [path.name for path in own.effects_folder.iterdir()] == ["mine"]


def test_a_lora_is_found_by_its_name(own: OwnModels) -> None:
    path = own.lora_path("denoise", "show")
    with own.installing(path) as staging:
        (staging / path.name).write_bytes(b"x")
    assert [(file.effect, file.name) for file in own.loras()] == [("denoise", "show")]
    assert own.loras("deblur") == []
    assert own.find_lora("denoise", LoraUse("show", 1.0), param="lora", text="show").path == path
    with pytest.raises(ParamError, match="did you mean 'show'"):
        own.find_lora("denoise", LoraUse("shwo", 1.0), param="lora", text="shwo")


def test_a_disk_that_cannot_be_written_is_an_error(own: OwnModels) -> None:
    own.folder.mkdir(parents=True)
    (own.folder / "loras").write_text("a file stands in the way")
    with (
        pytest.raises(ModelError, match="cannot be installed"),
        own.installing(own.lora_path("denoise", "show")),
    ):
        raise AssertionError("it was let in")
