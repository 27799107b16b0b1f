"""What an editable install makes importable: five names, whatever else lies in the tree."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

from kwaflux_testing.packages import REPOSITORY, SHELVES, build, links_to, run_in

_PROGRAM = """
import importlib.util, json, site, sys
site.addsitedir(sys.argv[1])
found = {name: importlib.util.find_spec(name) for name in sys.argv[2:]}
print(json.dumps({name: spec.origin for name, spec in found.items() if spec is not None}))
"""


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with nothing but the editable install and the library it needs."""
    home = tmp_path_factory.mktemp("editable")
    folder = home / "site-packages"
    with zipfile.ZipFile(build(REPOSITORY, kind="wheel:editable", out=home / "dist")) as archive:
        archive.extractall(folder)
    links_to("editables", folder)
    return folder


def test_the_five_packages_are_importable_from_the_tree(site_packages: Path) -> None:
    found = _found(site_packages, list(SHELVES))
    assert found == {
        package: str((REPOSITORY / shelf / package / "__init__.py").resolve())
        for package, shelf in SHELVES.items()
    }


def test_no_shelf_of_the_tree_is_importable(site_packages: Path) -> None:
    names = {path.name for path in REPOSITORY.iterdir() if path.is_dir() and path.name[0] != "."}
    assert {"models", "server", "hosts", "tests"} <= names
    assert _found(site_packages, sorted({*names, "kwaflux_testing"} - set(SHELVES))) == {}


def _found(site_packages: Path, names: list[str]) -> dict[str, str]:
    program = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(site_packages), *names]
    told: dict[str, str] = json.loads(run_in(site_packages.parent, program))
    return told
