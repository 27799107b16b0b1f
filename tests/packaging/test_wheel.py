"""What the wheel holds, whichever way it is built, and what it asks to be installed."""

from __future__ import annotations

import email
import tarfile
import zipfile
from collections import Counter
from email.message import Message
from fnmatch import fnmatch
from pathlib import Path

from kwaflux_testing.packages import LITTER, REPOSITORY, SHELVES, build


def test_every_file_of_the_packages_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    # Its tree's git ignores the weights, and they are in it all the same.
    assert _packed(wheel) == _on_disk(REPOSITORY)


def test_the_wheel_holds_cards_weights_recipes_and_types(wheel: Path) -> None:
    kinds = Counter(Path(name).suffix or Path(name).name for name in _packed(wheel))
    cards = sorted((REPOSITORY / "models").glob("kwaflux_models/effects/*/card.json"))
    assert kinds[".json"] >= len(cards) >= 2
    assert kinds[".safetensors"] >= 1
    assert kinds[".toml"] >= 1
    assert {f"{package}/py.typed" for package in SHELVES} <= _packed(wheel)


def test_a_wheel_built_from_the_sdist_holds_the_same(tree: Path, tmp_path: Path) -> None:
    with tarfile.open(build(tree, kind="sdist", out=tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert _packed(build(unpacked, kind="wheel", out=tmp_path / "dist")) == _on_disk(REPOSITORY)


def test_a_bare_install_asks_for_msgpack_and_pyzmq_and_nothing_else(wheel: Path) -> None:
    wanted = _metadata(wheel).get_all("Requires-Dist") or []
    bare = [line for line in wanted if "extra ==" not in line]
    assert sorted(line.split(">=")[0] for line in bare) == ["msgpack", "pyzmq"]


def test_torch_is_pinned_to_one_version(wheel: Path) -> None:
    wanted = _metadata(wheel).get_all("Requires-Dist") or []
    pins = {line.split(";")[0].strip() for line in wanted if line.startswith("torch")}
    assert len(pins) == 1, f"torch stands in pyproject.toml with {len(pins)} versions: {pins}"
    assert "==" in pins.pop()


def test_the_wheel_brings_the_licence_and_the_readme(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert "kwaflux enhance" in str(_metadata(wheel).get_payload())


def _packed(wheel: Path) -> set[str]:
    """Return the names in a wheel without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    return {name for name in names if not name.split("/")[0].endswith(".dist-info")}


def _on_disk(tree: Path) -> set[str]:
    """Return the names that the files of the five packages should have in a wheel."""
    found = set()
    for package, shelf in SHELVES.items():
        for path in (tree / shelf / package).rglob("*"):
            name = path.relative_to(tree / shelf)
            is_litter = any(fnmatch(part, litter) for part in name.parts for litter in LITTER)
            if path.is_file() and not is_litter:
                found.add(name.as_posix())
    return found


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))
