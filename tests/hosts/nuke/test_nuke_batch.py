"""``nuke -t kwaflux_batch.py``: a farm's way to the same frames, in a Nuke without windows."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from kwaflux_testing.nuke_scenes import Scene, nuke_scene
from kwaflux_testing.packages import REPOSITORY
from kwaflux_testing.servers import RunningServer

BATCH = REPOSITORY / "hosts/nuke/kwaflux_nuke/plugin/kwaflux_batch.py"


def _run(scene: Scene, *words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run it as Nuke does, which keeps a frame range at the end for itself."""
    import nuke

    typed = ["nuke", "-t", str(BATCH), *words]
    monkeypatch.setattr(nuke, "rawArgs", typed)
    is_range = typed[-1].replace("-", "").isdigit()
    monkeypatch.setattr(sys, "argv", typed[2:-1] if is_range else typed[2:])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(BATCH), run_name="__main__")
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_a_farm_enhances_a_range_of_a_script_and_says_how_it_went(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nuke_scene(tmp_path, server=server, gui=False) as scene:
        scene.set(kw_effect="identity")
        script = str(tmp_path / "shot.nk")
        Path(script).write_text(scene.nuke.text(), encoding="utf-8")
        before = Path(script).read_bytes()
        words = (script, "--node", "Kwaflux1", "--range", "1002-1003")
        assert _run(scene, *words, monkeypatch=monkeypatch) == 0
        assert scene.nuke.messages[-1] == "2 of 2 frames are ready"
        found = sorted(path.name for path in (tmp_path / "kwaflux").rglob("*.exr"))
        assert found == ["Kwaflux1_v001.1002.exr", "Kwaflux1_v001.1003.exr"]
        assert Path(script).read_bytes() == before

        scene.nuke.written.clear()
        assert _run(scene, *words, monkeypatch=monkeypatch) == 0
        assert scene.nuke.written == []
        assert _run(scene, *words, "--redo", monkeypatch=monkeypatch) == 0
        assert len(scene.nuke.written) == 2

        (tmp_path / "plate.1005.exr").unlink()
        words = (script, "--node", "Kwaflux1", "--range", "1004-1005")
        assert _run(scene, *words, monkeypatch=monkeypatch) == 1
        assert _run(scene, *words[:-1], "1005", monkeypatch=monkeypatch) == 2
        assert _run(scene, script, "--node", "Plate", monkeypatch=monkeypatch) == 2
        assert "no Kwaflux node Plate" in scene.nuke.messages[-1]
        assert _run(scene, *words[:-1], "x", monkeypatch=monkeypatch) == 2


def test_the_command_for_a_farm_is_shown(tmp_path: Path) -> None:
    with nuke_scene(tmp_path) as scene:
        scene.press("farm_command")
        script = tmp_path / "shot.nk"
        assert scene.nuke.messages == [
            f"nuke -t kwaflux_batch.py {script} --node Kwaflux1 --range 1001-1005"
        ]
