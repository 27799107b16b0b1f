"""Names of modules say what is in them, and none of them unpickles."""

from __future__ import annotations

import ast
from pathlib import Path

import tomllib

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


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [name for name in MODULES if _VAGUE & {part.strip("_") for part in name.split(".")}]
    assert not vague


def test_no_module_unpickles_or_evaluates() -> None:
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
    found = {name: sorted(banned & _imported(name)) for name in MODULES}
    assert not {name: names for name, names in found.items() if names}


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


def _parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def _imported(name: str) -> set[str]:
    """Return the top names of everything a module imports, wherever in it that stands."""
    found: set[str] = set()
    for node in ast.walk(_parsed(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.split(".")[0])
    return found
