"""The wheel in an environment as a host's Python is: msgpack and pyzmq, no numpy, no torch."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from kwaflux_testing.packages import REPOSITORY, bare_environment, build, run_in

FOR_HOSTS = (
    "kwaflux_core",
    "kwaflux_core.flows.card",
    "kwaflux_core.client.client",
    "kwaflux_core.errors",
    "kwaflux_core.flows.flow",
    "kwaflux_core.geometry",
    "kwaflux_hosting.roundtrip_check.support_bundle",
    "kwaflux_hosting.roundtrip_check.compare",
    "kwaflux_hosting.exchange_folder",
    "kwaflux_hosting.server_link.local_server",
    "kwaflux_hosting.panel.panel",
    "kwaflux_hosting.batch.range_render",
    "kwaflux_core.protocol.codec",
    "kwaflux_core.protocol.messages",
    "kwaflux_core.settings.settings",
    "kwaflux_core.tiling",
    "kwaflux_core.transport.shared_memory",
    "kwaflux_core.transport.zeromq",
    "kwaflux_nuke",
    "kwaflux_resolve",
)
_HEAVY = ("numpy", "torch", "OpenEXR", "OpenImageIO", "PyOpenColorIO", "typer", "rich")
_PROGRAM = """
import importlib, json, sys, time
started_s = time.perf_counter()
for name in sys.argv[1:]:
    importlib.import_module(name)
took_s = time.perf_counter() - started_s
print(json.dumps({"took_s": took_s, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that holds the wheel and what it asks for."""
    home = tmp_path_factory.mktemp("bare")
    python, site_packages = bare_environment(
        home / "environment", site_packages_of=("msgpack", "pyzmq")
    )
    with zipfile.ZipFile(build(REPOSITORY, kind="wheel", out=home / "dist")) as archive:
        archive.extractall(site_packages)
    return python


def test_a_host_imports_the_client_without_numpy_and_torch(python: Path) -> None:
    modules = set(_imported(python, FOR_HOSTS)[1])
    assert set(FOR_HOSTS) <= modules
    assert modules.isdisjoint(_HEAVY)


def test_the_client_is_imported_before_an_artist_notices(python: Path) -> None:
    """The aim is 150 ms; a busy machine takes longer, but 1 s is numpy or torch let in."""
    took_s = min(_imported(python, FOR_HOSTS)[0] for _ in range(3))
    assert took_s < 1.0, f"the client's import took {1000 * took_s:.0f} ms"


def test_the_command_says_which_extra_it_needs(python: Path) -> None:
    program = [str(python), "-I", "-m", "kwaflux_server", "--help"]
    told = run_in(python.parent, program, status=2)
    assert "pip install 'kwaflux[server]'" in told
    assert "Traceback" not in told


def _imported(python: Path, names: tuple[str, ...]) -> tuple[float, list[str]]:
    """Return how long the imports took, in seconds, and every module that was loaded."""
    told = json.loads(run_in(python.parent, [str(python), "-I", "-c", _PROGRAM, *names]))
    return told["took_s"], told["modules"]
