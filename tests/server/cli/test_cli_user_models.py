"""The commands for models of one's own, as a person types them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kwaflux_models.catalog.registry import Registry
from kwaflux_models.catalog.user_models import OwnModels
from kwaflux_server.cli import main as cli
from kwaflux_server.cli import user_models
from kwaflux_server.cli.user_models import rows_of
from kwaflux_testing.loras import Shelf, bend_shelf, pair_of

SPREAD = pair_of("spread.weight", 8, 27)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Return a shelf with a LoRA and an effect of its own, where the commands look."""
    found = bend_shelf(tmp_path)
    found.put("show", SPREAD)
    folder = found.own.effects_folder / "mine"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    weights = {
        "file": "weights.safetensors",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "licence": "MIT",
        "source": "a friend",
    }
    card = json.loads(found.card.to_json())
    (folder / "card.json").write_text(json.dumps({**card, "id": "mine", "weights": [weights]}))
    monkeypatch.setenv("KWAFLUX_MODELS_DIR", str(found.own.folder))
    return found


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["kwaflux", *arguments])
    return cli.main()


def test_list_shows_effects_and_loras(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "list", monkeypatch=monkeypatch) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("mine", "MIT", "bend/show", str(shelf.own.folder)))
    assert run("models", "list", "--json", monkeypatch=monkeypatch) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["kind"]) for row in found["models"]] == [
        ("mine", "effect"),
        ("bend/show", "LoRA"),
    ]


def test_an_empty_folder_is_said_to_be_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KWAFLUX_MODELS_DIR", str(tmp_path / "none"))
    assert run("models", "list", monkeypatch=monkeypatch) == 0
    assert "no models of your own" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_verify_says_good_or_what_is_wrong(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = shelf.own.effects_folder / "mine" / "weights.safetensors"
    assert run("models", "verify", "mine", monkeypatch=monkeypatch) == 0
    assert "mine: good" in capsys.readouterr().out
    weights.write_bytes(b"altered")
    assert run("models", "verify", "mine", monkeypatch=monkeypatch) == 1
    assert "SHA-256" in capsys.readouterr().out
    weights.unlink()
    assert run("models", "verify", "mine", "--json", monkeypatch=monkeypatch) == 1
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["is_good"]) == ("verified", False)


@pytest.mark.parametrize("kept", [0, 100, 0.6])
def test_a_lora_that_is_damaged_or_for_another_base_is_found(
    shelf: Shelf, tmp_path: Path, kept: float
) -> None:
    def problems() -> dict[str, str]:
        rows = rows_of(shelf.registry, shelf.own, is_thorough=True)
        return {row.name: row.problem for row in rows if row.kind == "LoRA"}

    assert problems() == {"bend/show": ""}
    shelf.put("alien", SPREAD, for_card=bend_shelf(tmp_path / "other", seed=2).card)
    path = shelf.own.lora_path("bend", "show")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    found = problems()
    assert "other weights" in found["bend/alien"]
    assert "no whole safetensors file" in found["bend/show"]


def test_a_lora_without_its_effect_is_found(shelf: Shelf) -> None:
    rows = rows_of(Registry({}, broken={}, own=shelf.own), shelf.own)
    assert "no effect 'bend'" in next(row.problem for row in rows if row.name == "bend/show")


def test_a_card_that_cannot_be_read_is_listed(shelf: Shelf) -> None:
    (shelf.own.effects_folder / "mine" / "card.json").write_text("{}")
    registry = Registry.discover(own=shelf.own)
    (row,) = [row for row in rows_of(registry, shelf.own) if row.name == "mine"]
    assert "card" in row.problem


@pytest.mark.parametrize("name", ["mine", "bend/show"])
def test_remove_removes_that_and_nothing_else(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = {row.name for row in rows_of(Registry.discover(own=shelf.own), shelf.own)}
    assert run("models", "remove", name, monkeypatch=monkeypatch) == 0
    after = {row.name for row in rows_of(Registry.discover(own=shelf.own), shelf.own)}
    assert before - after == {name}
    assert not list(shelf.own.folder.rglob(".*"))


@pytest.mark.parametrize("name", ["mien", "denoise", "bend/shwo", "../models", "bend/../show", "/"])
def test_what_is_not_ones_own_cannot_be_removed(
    shelf: Shelf,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    assert run("models", "remove", name, monkeypatch=monkeypatch) == 2
    assert "no model" in capsys.readouterr().err
    assert len(rows_of(Registry.discover(own=shelf.own), shelf.own)) == 2


class _Child:
    """Stand in for the process that adds; keep what it was given."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.given: list[str] = []
        self.data = b""

    def __call__(self, module: str, arguments: list[str], *, needs: tuple[str, ...]) -> int:
        self.given = [module, *arguments]
        self.data = Path(arguments[0]).read_bytes()
        return self.status


@pytest.mark.parametrize("status", [0, 2])
def test_pull_fetches_verifies_and_hands_over(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    source = tmp_path / "net.pth"
    source.write_bytes(b"a checkpoint")
    child = _Child(status)
    monkeypatch.setattr(user_models, "run_module", child)
    digest = hashlib.sha256(b"a checkpoint").hexdigest()
    command = ("models", "pull", str(source), "--sha256", digest, "--id", "net", "--json")
    assert run(*command, monkeypatch=monkeypatch) == status
    assert child.data == b"a checkpoint"
    assert child.given[0] == "kwaflux_models.effects.external.add"
    assert child.given[2:] == ["--id", "net", "--json"]
    # What was fetched is kept for the next try only where adding it failed.
    assert bool(list(shelf.own.downloads_folder.iterdir())) == bool(status)


def test_a_pull_of_another_file_is_refused_and_leaves_nothing(
    shelf: Shelf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "net.pth").write_bytes(b"another")
    child = _Child()
    monkeypatch.setattr(user_models, "run_module", child)
    command = ("models", "pull", str(tmp_path / "net.pth"), "--sha256", "0" * 64)
    assert run(*command, monkeypatch=monkeypatch) == 2
    assert "not the file that was meant" in capsys.readouterr().err
    assert child.given == []
    assert list(shelf.own.downloads_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("add", "kwaflux_models.effects.external.add"),
        ("lora", "kwaflux_models.training.lora.command"),
    ],
)
def test_what_needs_torch_runs_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, module: str
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    child = _Child(3)
    monkeypatch.setattr(user_models, "run_module", child)
    arguments = ("models", command, str(tmp_path / "file"), "--rank", "2", "--json", "--help")
    assert run(*arguments, monkeypatch=monkeypatch) == 3
    assert child.given == [module, *arguments[2:]]


def test_the_commands_are_there_without_torch() -> None:
    code = (
        "import sys; from kwaflux_server.cli import user_models; "
        "names = {c.name for c in user_models.models.registered_commands}; "
        "assert {'lora', 'add', 'pull', 'list', 'verify', 'remove'} <= names; "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_users_folder_is_found_by_every_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KWAFLUX_MODELS_DIR", str(tmp_path))
    assert Registry.discover().own == OwnModels(tmp_path)
