"""Wheels without a network: of what is installed here, and of what never was.

``wheel_of`` packs an installed distribution again, so that an installation for this Python is a
real one. ``made_wheel`` makes a tiny one for any tag, to see which is chosen.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

__all__ = ["made_wheel", "wheel_of"]


def wheel_of(name: str, folder: Path) -> Path:
    """Return a wheel of an installed distribution, as it was before it was installed."""
    installed = distribution(name)
    files: dict[str, bytes] = {}
    for entry in installed.files or ():
        is_litter = ".." in entry.parts or "__pycache__" in entry.parts
        if not is_litter and entry.name not in ("RECORD", "INSTALLER", "REQUESTED"):
            files[entry.as_posix()] = Path(str(installed.locate_file(entry))).read_bytes()
    (about,) = {path.split("/")[0] for path in files if path.endswith(".dist-info/WHEEL")}
    lines = files[f"{about}/WHEEL"].decode().splitlines()
    tags = [line.removeprefix("Tag: ").split("-") for line in lines if line.startswith("Tag: ")]
    compressed = "-".join(".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True))
    return _written(folder / f"{about.removesuffix('.dist-info')}-{compressed}.whl", about, files)


def made_wheel(folder: Path, *, name: str, version: str, tag: str, code: Mapping[str, str]) -> Path:
    """Return a wheel that holds some modules, for one tag (``cp310-cp310-win_amd64``)."""
    about = f"{name}-{version}.dist-info"
    texts = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
        **code,
    }
    files = {path: text.encode() for path, text in texts.items()}
    return _written(folder / f"{name}-{version}-{tag}.whl", about, files)


def _written(path: Path, about: str, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = [f"{name},{_digest(data)},{len(data)}" for name, data in files.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{about}/RECORD", "\n".join([*record, f"{about}/RECORD,,", ""]))
    return path


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
