"""What a host pays for the shared core: no compiled module, no time, Python 3.10, no host."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kwaflux_hosting

_FOLDER = Path(kwaflux_hosting.__file__).parent
_MODULES = sorted(path for path in _FOLDER.glob("*.py") if path.stem != "__init__")
_PUBLIC = sorted(path.stem for path in _MODULES if not path.stem.startswith("_"))
_COMPILED = ("zmq", "msgpack", "numpy", "OpenEXR", "OpenImageIO", "PyOpenColorIO", "torch")
_HOSTS = ("nuke", "nukescripts", "DaVinciResolveScript", "fusionscript", "PySide2", "PySide6")


def _loaded(module: str, tmp_path: Path) -> tuple[float, set[str]]:
    """Return the processor's seconds an import takes, and what it loaded."""
    code = (
        "import json, sys, time, importlib; start = time.process_time(); "
        f"importlib.import_module('kwaflux_hosting.{module}'); "
        "print(json.dumps([time.process_time() - start, sorted(sys.modules)]))"
    )
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    environ["PYTHONPATH"] = str(_FOLDER.parents[1])
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=True,
    )
    took_s, modules = json.loads(done.stdout)
    return took_s, set(modules)


@pytest.mark.parametrize("module", _PUBLIC)
def test_a_module_of_the_core_imports_without_any_package_of_others(
    module: str, tmp_path: Path
) -> None:
    # -S: not even site-packages are there, so whatever is not the standard library fails.
    _, modules = _loaded(module, tmp_path)
    assert not {name.partition(".")[0] for name in modules} & {*_COMPILED, *_HOSTS, "fileseq"}


@pytest.mark.parametrize("module", sorted({"panel", "link", "work", "hop"}))
def test_what_a_menu_may_import_is_there_before_anybody_notices(
    module: str, tmp_path: Path
) -> None:
    seconds = [_loaded(module, tmp_path)[0] for _ in range(6)]
    assert min(seconds[1:]) < 0.150


@pytest.mark.parametrize("path", _MODULES, ids=lambda path: path.stem)
def test_a_module_reads_in_python_3_10_and_names_no_host_at_its_top(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        tops = {name.partition(".")[0] for name in names}
        assert not tops & {*_HOSTS, "numpy", "torch", "OpenEXR", "kwaflux_server"}, ast.dump(node)
        assert not tops & {"tomllib", "typing_extensions"}, "not in Python 3.10"


def test_every_name_of_the_standard_library_is_there_in_python_3_10() -> None:
    # Names that came with 3.11 and later, which a newer Python would let pass.
    later = {
        "enum": {"StrEnum", "verify"},
        "hashlib": {"file_digest"},
        "typing": {"Self", "assert_never", "Never", "Unpack", "override", "LiteralString"},
        "datetime": {"UTC"},
        "contextlib": {"chdir"},
        "itertools": {"batched"},
    }
    for path in _MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in later:
                used = {alias.name for alias in node.names} & later[node.module]
                assert not used, f"{path.name}: {used}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.attr not in later.get(node.value.id, set()), f"{path.name}: {node.attr}"
            assert not isinstance(node, ast.TryStar), path.name
