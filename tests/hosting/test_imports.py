"""What a host pays for the shared core: no compiled module, no time, Python 3.10, no host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


_PROGRAM = """
import importlib, json, sys
loaded = {}
for name in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module("kwaflux_hosting." + name)
    loaded[name] = sorted(set(sys.modules) - before)
print(json.dumps(loaded))
"""


def _loaded(modules: list[str]) -> dict[str, list[str]]:
    """Return the modules that each import loads, one after another in one process."""
    environ = {**os.environ}
    environ["PYTHONPATH"] = os.pathsep.join([str(_CORE.parent), str(_FOLDER.parent)])
    done = subprocess.run(
        [sys.executable, "-S", "-c", _PROGRAM, *modules],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_every_module_imports_without_any_package_of_others() -> None:
    # -S: not even site-packages are there, so whatever is not the standard library fails.
    foreign = {*_COMPILED, *_HOSTS}
    loaded = _loaded(sorted({*_MODULES} - _WITH_THE_CLIENT))
    tops = {name: {each.partition(".")[0] for each in found} for name, found in loaded.items()}
    assert not {name: found & foreign for name, found in tops.items() if found & foreign}
