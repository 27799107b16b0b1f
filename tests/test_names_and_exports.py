"""Every module of the five packages says what it is and what it offers, and offers it."""

from __future__ import annotations

import ast
import importlib
from contextlib import nullcontext
from pathlib import Path

import pytest
import tomllib

from kwaflux_testing.fake_nuke import running
from kwaflux_testing.packages import REPOSITORY, SHELVES

_VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
_WORKER_SIDE = {"bench", "cli", "demo", "worker"}
"""Parts of the server that may lead to torch: the worker, and what has an engine of its own."""


def _modules() -> dict[str, Path]:
    found = {}
    for package, shelf in SHELVES.items():
        for path in sorted((REPOSITORY / shelf / package).rglob("*.py")):
            name = ".".join(path.relative_to(REPOSITORY / shelf).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()
_EVERY_MODULE = pytest.mark.parametrize("name", MODULES)


@_EVERY_MODULE
def test_a_module_opens_with_what_it_is(name: str) -> None:
    assert ast.get_docstring(_parsed(name)), f"{MODULES[name]} has no docstring"


@_EVERY_MODULE
def test_all_is_sorted_and_every_name_in_it_exists(name: str) -> None:
    offered = _exports(name)
    assert offered == sorted(set(offered), key=_place), f"sort __all__ of {MODULES[name]}"
    if not offered:
        return
    # Nuke's adapter is imported in a Nuke.
    with running() if name.startswith("kwaflux_nuke.") else nullcontext():
        module = importlib.import_module(name)
    missing = [entry for entry in offered if not hasattr(module, entry)]
    assert not missing, f"{MODULES[name]} names in __all__ what it does not have: {missing}"


@_EVERY_MODULE
def test_what_a_module_defines_without_an_underscore_it_offers(name: str) -> None:
    defined = {
        node.name
        for node in _parsed(name).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    hidden = sorted(defined - set(_exports(name)))
    assert not hidden, f"{MODULES[name]} defines {hidden}: name them in __all__ or with a _"


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [name for name in MODULES if _VAGUE & {part.strip("_") for part in name.split(".")}]
    assert not vague


def test_no_module_is_longer_than_a_person_reads() -> None:
    lengths = {
        name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()
    }
    too_long = {name: length for name, length in lengths.items() if length > 400}
    assert not too_long, f"split these at a seam: {too_long}"


def test_no_module_unpickles_or_evaluates() -> None:
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
    found = {name: sorted(banned & _imported(name)) for name in MODULES if banned & _imported(name)}
    assert not found


def test_the_dependency_rule_names_every_module_of_the_gateway() -> None:
    """A new module of the server is held against the rule, or is on the worker's side."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [
        contract
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["name"] == "torch stays in the models and in the worker"
    ]
    tops = {name.split(".")[1] for name in MODULES if name.startswith("kwaflux_server.")}
    wanted = {f"kwaflux_server.{top}" for top in tops - _WORKER_SIDE - {"__main__"}}
    assert set(contract["source_modules"]) == wanted


def _place(name: str) -> tuple[int, str]:
    """Return where a name stands: constants, then classes, then the rest, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def _exports(name: str) -> list[str]:
    """Return the names in a module's ``__all__``, read and not run; empty when it has none."""
    for node in _parsed(name).body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]:
            value = ast.literal_eval(node.value)
            return [str(entry) for entry in value]
    return []


def _imported(name: str) -> set[str]:
    """Return the top names of everything a module imports, wherever in it that stands."""
    found: set[str] = set()
    for node in ast.walk(_parsed(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.split(".")[0])
    return found
