"""The wheel in an environment as a host's Python is: msgpack and pyzmq, no numpy, no torch."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from kwaflux_testing.packages import bare_environment, run_in

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
_HEAVY = (
    "numpy",
    "torch",
    "OpenEXR",
    "OpenImageIO",
    "PyOpenColorIO",
    "typer",
    "rich",
    "asyncio",
    "multiprocessing",
)
_PROGRAM = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
from kwaflux_core import Box, Card, Client, Flow, Job, KwafluxError
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that holds the wheel and what it asks for."""
    home = tmp_path_factory.mktemp("bare")
    python, site_packages = bare_environment(
        home / "environment", site_packages_of=("msgpack", "pyzmq")
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site_packages)
    return python


def test_a_host_imports_the_client_without_numpy_and_torch(python: Path) -> None:
    modules = _imported(python, FOR_HOSTS)
    assert set(FOR_HOSTS) <= modules
    assert modules.isdisjoint(_HEAVY)


def test_the_command_says_which_extra_it_needs(python: Path) -> None:
    program = [str(python), "-I", "-m", "kwaflux_server", "--help"]
    told = run_in(python.parent, program, status=2)
    assert "pip install 'kwaflux[server]'" in told
    assert "Traceback" not in told


def _imported(python: Path, names: tuple[str, ...]) -> set[str]:
    """Return every module that was loaded once these are imported, and the public names."""
    return set(json.loads(run_in(python.parent, [str(python), "-I", "-c", _PROGRAM, *names])))
