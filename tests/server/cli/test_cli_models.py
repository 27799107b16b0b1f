"""``kwaflux models``: each command is a module in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from kwaflux_core.errors import RequestError
from kwaflux_server.cli import models


def command(
    *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kwaflux_server", "models", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environ,
    )


def test_the_overview_names_every_command() -> None:
    done = command()
    assert done.returncode == 0
    assert all(name in done.stdout for name in models.FACTORY)


def test_options_and_the_exit_status_are_passed_through(tmp_path: Path) -> None:
    listed = command("data", "--list", "--cache", str(tmp_path))
    assert listed.returncode == 0
    assert "CC-BY-SA-4.0" in listed.stdout
    asked = command("data", "--help")
    assert asked.returncode == 0
    assert "usage: kwaflux models data" in asked.stdout


def test_an_error_of_the_module_is_said_once(tmp_path: Path) -> None:
    pytest.importorskip("av")
    done = command("degrade", "--clip", str(tmp_path / "none.mp4"))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"kwaflux: no clip at {tmp_path / 'none.mp4'}",
        "give a movie's path",
    ]


def test_what_is_not_installed_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("av", "torch") else real(name)
    )
    train = models.FACTORY["train"]
    with pytest.raises(RequestError, match="needs torch, av") as caught:
        models.run_module(train.module, [], needs=train.needs)
    assert "kwaflux[train]" in caught.value.hint


def test_a_signal_is_a_status_as_shells_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert models.run_module("dies", []) == 134


def test_every_command_is_a_module_that_exists() -> None:
    package = Path(models.__file__).parents[3] / "models"
    for name in ("data", "degrade", "train"):
        place = package / (models.FACTORY[name].module.replace(".", "/") + ".py")
        assert place.is_file()


def test_the_command_line_brings_in_no_torch() -> None:
    code = "import sys, kwaflux_server.cli.models; print(*({'torch', 'av'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
