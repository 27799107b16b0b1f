"""Resolve is reached from a Python outside it, or the error says what to set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def _scripting(folder: Path, code: str) -> None:
    (folder / "Modules").mkdir()
    (folder / "Modules" / "DaVinciResolveScript.py").write_text(code, encoding="utf-8")


def _outside(folder: Path, *, code: str = "pass") -> str:
    """Return what is said in a Python of its own that connects to Resolve from outside."""
    script = (
        f"import sys; {code}; from kwaflux_resolve.external_scripting import external_resolve\n"
        "from kwaflux_core.errors import HostError\n"
        "try:\n    print(external_resolve())\nexcept HostError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"RESOLVE_SCRIPT_API": str(folder), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("code", ["pass", "sys.platform = 'win32'; import subprocess"])
def test_resolve_is_reached_through_its_module(tmp_path: Path, code: str) -> None:
    _scripting(tmp_path, "def scriptapp(name):\n    return name\n")
    assert _outside(tmp_path, code=code).strip() == "Resolve"


def test_no_resolve_that_answers_is_said_with_what_to_set(tmp_path: Path) -> None:
    _scripting(tmp_path, "def scriptapp(name):\n    return None\n")
    said = _outside(tmp_path)
    assert "no Resolve answers" in said
    assert "External scripting using to Local" in said


def test_no_scripting_module_is_said_with_the_folder_that_was_tried(tmp_path: Path) -> None:
    assert str(tmp_path / "Modules") in _outside(tmp_path)


def test_on_windows_a_library_that_crashes_is_met_in_a_child(tmp_path: Path) -> None:
    _scripting(tmp_path, "import os\nos._exit(9)\n")
    said = _outside(tmp_path, code="sys.platform = 'win32'; import subprocess")
    assert "cannot be loaded by this Python" in said
    assert "FUSION_PYTHON3_HOME" in said
