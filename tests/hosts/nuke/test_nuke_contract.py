"""Names: what the adapter and the fake say of Nuke is what Nuke has, by types-nuke.

The stub is of 13.2, and what Nuke's own code adds is listed here with its reason. mypy's stubtest
cannot read it, so it is read as a tree. The knobs of Read and Write are held against a table of
their own, made from Foundry's pages and a scan of 17.0 (github.com/kirkjr2/nuke-python-reference).
"""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kwaflux_testing.fake_nuke import api, running
from kwaflux_testing.fake_nuke.kinds import _EXR_KNOBS, KINDS
from kwaflux_testing.fake_nuke.knobs import KNOBS, AnimationCurve
from kwaflux_testing.fake_nuke.nodes import COMMON, Format, Group, Node, Root
from kwaflux_testing.packages import REPOSITORY

ADAPTER = REPOSITORY / "hosts/nuke/kwaflux_nuke"
FILES = sorted(ADAPTER.rglob("*.py"))
_NOT_IN_THE_STUB: dict[str, str] = {}
"""Names of Nuke that the stub lacks, with the page that has them."""

_PYTHONS_OWN = {"Any", "Callable"}


def _stub() -> tuple[set[str], dict[str, set[str]]]:
    """Return the names of the module, and those of each class with its bases'."""
    spec = importlib.util.find_spec("nuke-stubs")
    folder = (
        Path(spec.submodule_search_locations[0])
        if spec is not None and spec.submodule_search_locations
        else next(p for p in map(Path, sys.path) if (p / "nuke-stubs").is_dir()) / "nuke-stubs"
    )
    names: set[str] = set()
    own: dict[str, tuple[list[str], set[str]]] = {}
    for file in ("_nuke", "callbacks", "executeInMain", "overrides", "utils", "scripts"):
        for node in ast.parse((folder / f"{file}.pyi").read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                own[node.name] = (bases, set(_members(node)))
            names |= set(_members(ast.Module([node], [])))
    classes = {name: _with_bases(name, own) for name in own}
    return names, classes


def _members(node: ast.Module | ast.ClassDef) -> Iterator[str]:
    for entry in node.body:
        if isinstance(entry, ast.FunctionDef | ast.ClassDef):
            yield entry.name
        elif isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
            yield entry.target.id
        elif isinstance(entry, ast.Assign):
            yield from (target.id for target in entry.targets if isinstance(target, ast.Name))


def _with_bases(name: str, own: dict[str, tuple[list[str], set[str]]]) -> set[str]:
    bases, members = own.get(name, ([], set()))
    return members.union(*(_with_bases(base, own) for base in bases))


NAMES, CLASSES = _stub()
METHODS = set().union(*CLASSES.values())


def test_the_stub_was_read() -> None:
    assert {"execute", "executeInMainThreadWithResult", "ProgressTask", "GUI"} <= NAMES
    assert {"setValue", "setRange", "setFlag"} <= CLASSES["Double_Knob"]
    assert "setProgres" not in METHODS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_name_of_nuke_that_the_adapter_uses_is_one(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id == "nuke":
            assert node.attr in NAMES or node.attr in _NOT_IN_THE_STUB, f"nuke.{node.attr}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_method_that_the_adapter_calls_on_something_of_nukes_is_one(path: Path) -> None:
    """Methods in camel case are Nuke's; of others we cannot tell by the name alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr != node.attr.lower():
            is_nukes = isinstance(node.value, ast.Name) and node.value.id == "nuke"
            is_class = node.attr[0].isupper() and node.attr != "Class"
            if not is_nukes and not is_class:
                assert node.attr in METHODS, f"{path.name}: .{node.attr}"


def test_every_public_name_of_the_fake_is_one_of_nukes() -> None:
    with running():
        import nuke

        names = {name for name in vars(nuke) if not name.startswith("_")}
    assert not names - NAMES - set(_NOT_IN_THE_STUB)


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        *((cls, cls.__name__) for cls in KNOBS.values() if isinstance(cls, type)),
        (AnimationCurve, "AnimationCurve"),
        (Format, "Format"),
        (Node, "Node"),
        (Group, "Group"),
        (Root, "Root"),
        (api.FrameRange, "FrameRange"),
        (api.FrameRanges, "FrameRanges"),
        (api.Menu, "Menu"),
        (api.ProgressTask, "ProgressTask"),
        (api.Undo, "Undo"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_public_method_of_the_fake_is_one_of_nukes(fake: type, real: str) -> None:
    public = {name for name in dir(fake) if not name.startswith("_")}
    assert not public - CLASSES[real], f"{real} has no {sorted(public - CLASSES[real])}"


def test_every_knob_that_the_adapter_sets_is_one_that_the_class_has() -> None:
    """The names are found in the text; a knob that is spelled wrongly fails here, not in Nuke."""
    from_table = {
        "Read": {
            "file", "raw", "first", "last", "origfirst", "origlast", "localizationPolicy",
            "on_error", "reload",
        },
        "Write": {
            "file_type", "channels", "raw", "transformType", "premultiplied", "file", "views",
            "create_directories", "render_order", "use_limit", "first", "last",
        },
        "Switch": {"which"},
        "Merge2": {"operation", "also_merge", "metainput", "mix"},
        "Root": {
            "name", "proxy", "colorManagement", "OCIO_config", "customOCIOConfigPath",
            "workingSpaceLUT",
        },
        "exr": {
            "datatype", "compression", "metadata", "interleave", "autocrop",
            "write_ACES_compliant_EXR",
        },
    }  # fmt: skip
    known = set().union(*from_table.values(), COMMON)
    for kind, names in from_table.items():
        held = _EXR_KNOBS if kind == "exr" else {**COMMON, **KINDS[kind].knobs}
        assert names <= set(held)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                name = node.slice.value
                if isinstance(name, str) and not name.startswith("kw_") and path.name != "node.py":
                    assert name in known, f"{path.name}: [{name!r}]"


def test_every_node_and_knob_that_the_description_names_is_one() -> None:
    said = json.loads((ADAPTER / "node.json").read_text(encoding="utf-8"))
    for entry in said["nodes"]:
        assert set(entry.get("knobs", {})) <= {*COMMON, *KINDS[entry["kind"]].knobs}
    for entry in said["knobs"]:
        assert entry["kind"] in NAMES
        assert entry.get("flag", "GUI") in NAMES


def test_only_one_module_imports_nuke_and_the_wiring() -> None:
    importing = {
        path.name for path in FILES if "\nimport nuke\n" in path.read_text(encoding="utf-8")
    }
    assert importing == {"nuke_api.py", "menu.py", "kwaflux_batch.py"}


def test_the_adapter_reads_in_python_3_10() -> None:
    for path in FILES:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


_START = """
import os, sys, types
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("zmq", "msgpack", "numpy", "OpenEXR", "kwaflux_nuke"):
            raise ImportError(name + " was imported at start")
sys.meta_path.insert(0, Refuse())
nuke = types.ModuleType("nuke")
class Menu:
    def addCommand(self, *args, **options): pass
nuke.menu = lambda name: Menu()
nuke.addKnobChanged = nuke.addUpdateUI = lambda *args, **options: None
sys.modules["nuke"] = nuke
before = set(sys.modules)
for path in sys.argv[1:]:
    exec(compile(open(path, encoding="utf-8").read(), path, "exec"), {"__file__": path})
print(*sorted(set(sys.modules) - before))
"""


def test_starting_imports_nothing_but_nuke_and_os() -> None:
    command = [
        sys.executable,
        "-c",
        _START,
        *(str(ADAPTER / "plugin" / n) for n in ("init.py", "menu.py")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_adapters_modules_import_where_nothing_compiled_is_installed() -> None:
    code = _START.split("nuke = types")[0].replace(', "kwaflux_nuke"', "") + (
        "nuke = types.ModuleType('nuke'); nuke.GUI = True; sys.modules['nuke'] = nuke\n"
        "import kwaflux_nuke.callbacks\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
