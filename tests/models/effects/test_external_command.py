"""``kwaflux models add``: the command, and LoRAs that somebody else trained."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from kwaflux_core.errors import ModelError, WeightsInvalid
from kwaflux_models.effects.external.add import AddOrder, add_lora, main
from kwaflux_testing.loras import bend_shelf, pair_of

needs_spandrel = pytest.mark.skipif(
    importlib.util.find_spec("spandrel") is None, reason="the extra 'external' is not installed"
)


def test_a_lora_of_somebody_else_is_installed_when_it_fits(tmp_path: Path) -> None:
    theirs, ours = bend_shelf(tmp_path / "theirs"), bend_shelf(tmp_path / "ours")
    file = theirs.put("night", pair_of("spread.weight", 8, 27))
    done = add_lora(AddOrder(file=file), registry=ours.registry, own=ours.own)
    assert done.path.read_bytes() == file.read_bytes()
    assert [lora.name for lora in ours.own.loras("bend")] == ["night"]
    with pytest.raises(ModelError, match="already"):
        add_lora(AddOrder(file=file), registry=ours.registry, own=ours.own)


@pytest.mark.parametrize("seed", [2])
def test_a_lora_for_another_base_is_not_installed(tmp_path: Path, seed: int) -> None:
    theirs, ours = bend_shelf(tmp_path / "theirs", seed=seed), bend_shelf(tmp_path / "ours")
    file = theirs.put("night", pair_of("spread.weight", 8, 27))
    with pytest.raises(WeightsInvalid, match="other weights"):
        add_lora(AddOrder(file=file), registry=ours.registry, own=ours.own)
    wrong = ours.put("wrong", pair_of("spread.weight", 8, 26))
    with pytest.raises(WeightsInvalid, match="does not fit"):
        add_lora(AddOrder(file=wrong, name="other"), registry=ours.registry, own=ours.own)
    assert [lora.name for lora in ours.own.loras("bend")] == ["wrong"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KWAFLUX_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path


@needs_spandrel
def test_the_command_installs_and_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from kwaflux_testing.checkpoints import compact, saved

    file = saved(compact(), folder / "Nice-Net.pth")
    assert main([str(file), "--json", "--licence", "CC0-1.0", "--halo-max", "8"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["name"], event["warnings"]) == ("done", "nice_net", [])
    assert main([str(file)]) == 2
    assert "already" in capsys.readouterr().err
    assert main([str(file), "--replace", "--halo-max", "8"]) == 0
    assert "licence is not known" in capsys.readouterr().out


def test_the_commands_error_is_one_that_a_program_can_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder / "none.pth"), "--json"]) == 2
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["code"]) == ("error", "weights_invalid")
