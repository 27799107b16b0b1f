"""What a host's Python, without numpy, can import."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kwaflux_core

_LIGHT = (
    "client.client",
    "errors",
    "flows.card",
    "flows.flow",
    "geometry",
    "protocol.codec",
    "protocol.messages",
    "settings.settings",
    "tiling",
    "transport.shared_memory",
    "transport.zeromq",
)
_HEAVY = ("numpy", "OpenEXR", "OpenImageIO", "PyOpenColorIO", "torch", "asyncio")
_BLOCK = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_HEAVY!r}:
            raise ImportError(name + " was imported")
sys.meta_path.insert(0, Refuse())
"""
_ROOT = Path(kwaflux_core.__file__).parent


def _run(code: str, *arguments: str, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environ or {})},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", _LIGHT)
def test_a_light_module_imports_without_numpy_or_any_picture_library(module: str) -> None:
    _run(f"{_BLOCK}\nimport kwaflux_core.{module}")


def test_a_host_without_numpy_can_ask_for_the_client_and_the_flow() -> None:
    _run(f"{_BLOCK}\nfrom kwaflux_core import Box, Card, Client, Flow, Job, KwafluxError")


def test_importing_the_package_imports_nothing_of_it() -> None:
    code = (
        "import sys, kwaflux_core; "
        "print([name for name in sys.modules if name.startswith('kwaflux_core.')], "
        "'typing' in sys.modules)"
    )
    assert _run(code, environ={"PYTHONPATH": str(_ROOT.parent)}).startswith("[]")


def test_every_public_name_is_there_and_sorted() -> None:
    assert all(getattr(kwaflux_core, name) is not None for name in kwaflux_core.__all__)
    assert sorted(kwaflux_core.__all__) == list(kwaflux_core.__all__)
    assert set(kwaflux_core.__all__) <= set(dir(kwaflux_core))
    with pytest.raises(AttributeError, match="no attribute 'Sever'"):
        kwaflux_core.Sever  # noqa: B018


def test_a_public_name_is_the_one_of_its_module() -> None:
    from kwaflux_core.client.client import Client
    from kwaflux_core.images.io import read_image

    assert kwaflux_core.Client is Client
    assert kwaflux_core.read_image is read_image


def test_the_version_is_the_distributions() -> None:
    assert re.fullmatch(r"\d+(\.\d+)+.*|0\+unknown", kwaflux_core.__version__)


@pytest.mark.parametrize(
    "path",
    sorted(path for path in _ROOT.rglob("*.py")),
    ids=lambda path: str(path.relative_to(_ROOT)),
)
def test_core_reads_in_python_3_10_and_never_imports_the_server_or_a_pickle(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add((node.module or "").partition(".")[0])
    ours = {f"kwaflux_{name}" for name in ("hosting", "models", "server", "nuke", "resolve")}
    assert not names & (ours | {"torch", "pickle", "marshal", "shelve", "multiprocessing"})
