"""What the pages for people name is there: files, headings, commands, options, variables."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import tomllib
from typer.core import TyperGroup
from typer.main import get_command

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.settings.settings import OTHER_VARIABLES, settings_table
from kwaflux_server.cli.main import app
from kwaflux_testing.packages import REPOSITORY

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
_IDS = [str(page.relative_to(REPOSITORY)) for page in PAGES]
_EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=_IDS)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
_FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|json|toml|safetensors))`")
_COMMAND = re.compile(r"^kwaflux ([a-z]+)(.*?)(?:\s+#.*)?$", re.MULTILINE)
_NAMED_COMMAND = re.compile(r"`kwaflux ([a-z]+)([^`]*)`")
_PICTURED = {
    "clean.kwaflux.json",
    "clean.profile.json",
    "my_show.grade_match",
    "plate.profile.json",
    "settings.toml",
}
"""Names in examples that are the reader's own files."""


@_EVERY_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{page.name}: #{anchor}"


@_EVERY_PAGE
def test_every_file_a_page_names_is_in_the_tree(page: Path) -> None:
    tree = _tree()
    for name in _FILE.findall(page.read_text(encoding="utf-8")):
        if name not in _PICTURED and not name.endswith("/settings.toml"):
            assert any(path.endswith(f"/{name}") for path in tree), f"{page.name} names {name}"


@_EVERY_PAGE
def test_every_command_line_in_a_page_is_one_that_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name, rest in (*_COMMAND.findall(text), *_NAMED_COMMAND.findall(text)):
        known = _commands().get(name)
        assert known is not None, f"{page.name}: kwaflux {name} is no command"
        used = {word for word in shlex.split(rest) if word.startswith("--")} - {"--help"}
        assert used <= known, f"{page.name}: kwaflux {name} does not know {used - known}"


def test_the_page_on_the_command_line_describes_options_that_enhance_has() -> None:
    text = (REPOSITORY / "docs" / "command-line.md").read_text(encoding="utf-8")
    options = re.findall(r"--[a-z]+", "\n".join(re.findall(r"^\| `--.*$", text, re.MULTILINE)))
    assert options
    assert set(options) <= _commands()["enhance"]


@_EVERY_PAGE
def test_every_variable_a_page_names_is_read(page: Path) -> None:
    known = {*OTHER_VARIABLES, *(row.variable for row in settings_table())}
    named = set(re.findall(r"KWAFLUX_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    assert named <= known


@_EVERY_PAGE
def test_every_colorspace_of_an_example_is_in_the_built_in_config(page: Path) -> None:
    config = ColorConfig.load(environ={})
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("kwaflux ") and "--colorspace" in line:
            words = shlex.split(line)
            config.resolve(words[words.index("--colorspace") + 1])


@_EVERY_PAGE
def test_every_python_example_parses_and_imports_what_exists(page: Path) -> None:
    for example in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)


@_EVERY_PAGE
def test_every_make_target_a_page_names_exists(page: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`|[A-Z_]+=\S+ )make ([a-z]+)", text, re.MULTILINE)
    assert set(named) <= targets


def test_the_page_on_installing_names_the_torch_that_is_pinned() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pin,) = [line for line in project["optional-dependencies"]["server"] if "torch" in line]
    page = (REPOSITORY / "docs" / "install.md").read_text(encoding="utf-8")
    assert pin.removeprefix("torch==") in page


@_EVERY_PAGE
def test_no_page_names_a_place_of_the_machine_it_was_written_on(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.~])/(?:root|work|tmp)/", text)


def _commands() -> dict[str, set[str]]:
    """Return the options of every command, as they are typed."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return {
        name: {option for param in command.params for option in param.opts}
        for name, command in group.commands.items()
    }


def _tree() -> list[str]:
    shelves = ("kwaflux_core", "models", "server", "hosts", "tests", "docs")
    found = [path for shelf in shelves for path in (REPOSITORY / shelf).rglob("*.*")]
    found += list(REPOSITORY.glob("*.*"))
    return [f"/{path.relative_to(REPOSITORY).as_posix()}" for path in found]


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")
