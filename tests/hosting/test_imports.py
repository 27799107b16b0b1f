"""What a host pays for the shared core: no compiled module, no time, Python 3.10, no host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kwaflux_core
import kwaflux_hosting

_FOLDER = Path(kwaflux_hosting.__file__).parent
_CORE = Path(kwaflux_core.__file__).parent
_MODULES = sorted(
    ".".join(path.relative_to(_FOLDER).with_suffix("").parts)
    for path in _FOLDER.rglob("*.py")
    if path.stem != "__init__"
)
_WITH_THE_CLIENT = {"batch.frame_transports", "server_link.shared_disk"}
"""Imported once a server is reached, when the installed pyzmq and msgpack are on the path."""
_COMPILED = ("zmq", "msgpack", "numpy", "OpenEXR", "OpenImageIO", "PyOpenColorIO", "torch")
_HOSTS = ("nuke", "nukescripts", "DaVinciResolveScript", "fusionscript", "PySide2", "PySide6")


def _loaded(module: str, tmp_path: Path) -> set[str]:
    """Return the modules that an import loads."""
    code = (
        "import json, sys, importlib; "
        f"importlib.import_module('kwaflux_hosting.{module}'); "
        "print(json.dumps(sorted(sys.modules)))"
    )
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    environ["PYTHONPATH"] = os.pathsep.join([str(_CORE.parent), str(_FOLDER.parent)])
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=True,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", sorted({*_MODULES} - _WITH_THE_CLIENT))
def test_a_module_imports_without_any_package_of_others(module: str, tmp_path: Path) -> None:
    # -S: not even site-packages are there, so whatever is not the standard library fails.
    modules = _loaded(module, tmp_path)
    assert not {name.partition(".")[0] for name in modules} & {*_COMPILED, *_HOSTS}
