"""Every name of Resolve's API that the adapter or the fake uses is one that the API has.

The oracle is fusionscript-stubs, a transcript of Blackmagic's README of Resolve 21. What it lacks
stands in ``ALLOWED``, each with where it is written.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
from pathlib import Path

import pytest

import kwaflux_resolve
from kwaflux_testing.fake_resolve import application, fusion, media, timeline, windows

ALLOWED = {
    ("Timeline", "GetSelectedClips"): "README of 24 Jul 2026: Resolve 21.0.4 and later",
    ("Fusion", "UIManager"): "Blackmagic's Workflow Integrations documentation, UIManager",
    ("FusionComp", "FindTool"): "Fusion scripting guide, Composition",
    ("FusionComp", "AddTool"): "Fusion scripting guide, Composition",
    ("FusionComp", "GetAttrs"): "Fusion scripting guide, Object: COMPN_RenderStart",
    ("FusionComp", "Lock"): "Fusion scripting guide, Composition; the fake punishes it",
    ("FusionComp", "Unlock"): "Fusion scripting guide, Composition; the fake punishes it",
    ("Tool", "Name"): "Fusion scripting guide, Operator",
    ("Tool", "SetInput"): "Fusion scripting guide, Operator",
    ("Tool", "GetInput"): "Fusion scripting guide, Operator",
    ("Tool", "ConnectInput"): "Fusion scripting guide, Operator",
}
UI_ELEMENTS = {"VGroup", "HGroup", "Label", "Button", "CheckBox", "ComboBox", "LineEdit", "SpinBox",
               "DoubleSpinBox", "TextEdit", "Timer"}  # fmt: skip
"""Of Blackmagic's UIManager page."""

PACKAGE = Path(kwaflux_resolve.__file__).parent
FAKES = {
    "Resolve": application.Resolve,
    "ProjectManager": application.ProjectManager,
    "Project": application.Project,
    "MediaPool": media.MediaPool,
    "MediaPoolItem": media.MediaPoolItem,
    "Folder": media.Folder,
    "Timeline": timeline.Timeline,
    "TimelineItem": timeline.TimelineItem,
    "FusionComp": fusion.Comp,
    "Tool": fusion.Tool,
}


def _stub() -> dict[str, dict[str, list[ast.FunctionDef]]]:
    files = importlib.metadata.files("fusionscript-stubs") or []
    (path,) = [file for file in files if file.name == "fusionscript.pyi"]
    tree = ast.parse(Path(str(path.locate())).read_text(encoding="utf-8"))
    found: dict[str, dict[str, list[ast.FunctionDef]]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = found.setdefault(node.name, {})
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    methods.setdefault(inner.name, []).append(inner)
    return found


STUB = _stub()


def _protocols() -> dict[str, dict[str, int]]:
    """Return the names of our protocols with how many arguments each is called with."""
    tree = ast.parse((PACKAGE / "resolve_api.py").read_text(encoding="utf-8"))
    found: dict[str, dict[str, int]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names = {
                inner.name: len(inner.args.posonlyargs or inner.args.args) - 1
                for inner in node.body
                if isinstance(inner, ast.FunctionDef)
            }
            for inner in node.body:
                if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                    names[inner.target.id] = 0
            found[node.name] = {name: count if count >= 0 else 0 for name, count in names.items()}
    return found


PROTOCOLS = _protocols()


def test_the_oracle_is_there() -> None:
    assert len(STUB["TimelineItem"]) > 70
    assert len(STUB["Project"]) > 40


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_name_of_our_protocols_is_in_the_api(name: str) -> None:
    known = STUB.get(name, {}).keys()
    foreign = {m for m in PROTOCOLS[name] if m not in known and (name, m) not in ALLOWED}
    assert not foreign


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_method_is_called_with_more_arguments_than_it_takes(name: str) -> None:
    for method, given in PROTOCOLS[name].items():
        overloads = STUB.get(name, {}).get(method, [])
        most = [99 if node.args.vararg else len(node.args.args) - 1 for node in overloads] or [99]
        assert given <= max(most), f"{name}.{method}"


@pytest.mark.parametrize("name", FAKES)
def test_every_public_name_of_the_fake_is_in_the_api(name: str) -> None:
    ours = {member for member in vars(FAKES[name]) if member[:1].isupper()} - {"LATER"}
    known = STUB.get(name, {}).keys()
    foreign = {m for m in ours if m not in known and (name, m) not in ALLOWED}
    assert not foreign


@pytest.mark.parametrize("name", FAKES)
def test_the_fake_has_every_name_that_the_adapter_calls(name: str) -> None:
    lacking = {m for m in PROTOCOLS[name] if m not in dir(FAKES[name])}
    assert not lacking


@pytest.mark.parametrize("name", FAKES)
def test_the_fake_s_methods_take_the_arguments_of_the_api(name: str) -> None:
    for method, overloads in STUB.get(name, {}).items():
        fake = vars(FAKES[name]).get(method)
        if fake is None:
            continue
        taken = len(inspect.signature(fake).parameters) - 1
        most = max(99 if o.args.vararg else len(o.args.args) - 1 for o in overloads)
        assert taken <= most, f"{name}.{method}"


def test_what_is_allowed_beside_the_stub_is_used() -> None:
    """The list stays short: what nobody calls, or the stub has by now, is struck."""
    used = {(name, method) for name, methods in PROTOCOLS.items() for method in methods}
    used |= {(name, m) for name, cls in FAKES.items() for m in vars(cls)}
    used |= {("Fusion", "UIManager")}
    assert set(ALLOWED) <= used
    assert not [key for key in ALLOWED if key[1] in STUB.get(key[0], {})]


def test_the_adapter_calls_nothing_of_resolve_but_through_the_protocols() -> None:
    """Every capitalized attribute in the sources is a name of the protocols or of the window."""
    known = {method for methods in PROTOCOLS.values() for method in methods}
    known |= UI_ELEMENTS | {"UIManager", "UIDispatcher", "AddWindow", "RunLoop", "ExitLoop", "On"}
    known |= {"Show", "Hide", "GetItems", "RecalcLayout", "Start", "Stop", "AddItems", "Close"}
    known |= {"Clicked", "CurrentIndexChanged", "Timeout", "Hidden", "CurrentIndex", "Value"}
    known |= {"Checked", "Text", "Kwaflux", "Effect", "Enhance", "Cancel", "Revert", "Check"}
    known |= {"ArgumentParser", "Namespace", "ToolTip"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr[:1].isupper()
                and not node.attr.isupper()
            ):
                assert node.attr in known, f"{path.name}:{node.lineno} {node.attr}"


def test_every_element_of_the_window_is_one_that_the_uimanager_has() -> None:
    made = {name for name in vars(windows.UIManager) if name[:1].isupper()}
    assert made == UI_ELEMENTS


def test_the_render_settings_are_keys_that_resolve_knows() -> None:
    tree = ast.parse((PACKAGE / "render_frames.py").read_text(encoding="utf-8"))
    keys = {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and str(key.value)[:1].isupper()
    }
    assert keys <= application._KEYS | application._LATER_KEYS
    assert {"MarkIn", "MarkOut", "ExportVideo", "SelectAllFrames"} <= keys
