"""The wheel that these tests look into and install."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwaflux_testing.packages import build, copy_of_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of what a build reads, whose git ignores every file of weights."""
    tree = copy_of_tree(tmp_path_factory.mktemp("source") / "tree")
    with (tree / ".gitignore").open("a", encoding="utf-8") as ignored:
        ignored.write("*.safetensors\n")
    return tree


@pytest.fixture(scope="session")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the wheel that is built of it."""
    return build(tree, kind="wheel", out=tmp_path_factory.mktemp("built") / "dist")
