r"""The folders of hosts on each system: plug-ins, programs, interpreters.

Sources: Foundry's "Installing plug-ins" (``.nuke`` in the home folder of every system) and "Nuke as
a Python module"; Blackmagic's scripting README of 24 July 2026 (``Fusion/Scripts`` of each system).
The interpreter's place inside Nuke's folder is taken from public adapters, not verified on a host.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

__all__ = ["Host", "HostProgram", "Machine"]

Host: TypeAlias = Literal["nuke", "resolve"]

_NUKE: Final = re.compile(r"Nuke(\d+)\.(\d+)v(\d+)")
_NUKES: Final[Mapping[str, tuple[str, ...]]] = {
    "linux": ("usr/local/Nuke*", "opt/Nuke*", "opt/foundry/Nuke*", "opt/Foundry/Nuke*"),
    "darwin": ("Applications/Nuke*/Nuke*.app/Contents/MacOS", "Applications/Nuke*"),
    "win32": ("Program Files/Nuke*",),
}
_PYTHONS_IN_NUKE: Final = ("python3", "python3.1?", "python", "python.exe", "python3.exe")
_PYTHONS: Final[Mapping[str, tuple[str, ...]]] = {
    "linux": ("usr/bin/python3", "usr/local/bin/python3", "usr/bin/python3.1?"),
    "darwin": (
        "Library/Frameworks/Python.framework/Versions/3.1?/bin/python3",
        "opt/homebrew/bin/python3",
        "usr/local/bin/python3",
    ),
    "win32": ("Program Files/Python31?/python.exe",),
}


@dataclass(frozen=True, slots=True)
class HostProgram:
    """A host's interpreter and its label for messages."""

    label: str
    python: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The system that is searched; tests pass another.

    Args:
        home: The user's home folder.
        environ: The environment.
        system: ``sys.platform``.
        root: Root of absolute paths.
    """

    home: Path
    environ: Mapping[str, str]
    system: str = sys.platform
    root: Path = Path("/")

    @classmethod
    def this(cls, environ: Mapping[str, str]) -> Machine:
        """Return the current machine."""
        root = Path(environ.get("SYSTEMDRIVE", "C:") + "\\") if sys.platform == "win32" else "/"
        return cls(home=Path.home(), environ=environ, root=Path(root))

    @property
    def nuke_folder(self) -> Path:
        """The folder of the user's ``init.py`` and plug-ins."""
        return self.home / ".nuke"

    @property
    def resolve_folder(self) -> Path:
        """The user's folder that contains ``Fusion/Scripts``."""
        if self.system == "win32":
            roaming = Path(self.environ.get("APPDATA", "") or self.home / "AppData" / "Roaming")
            return roaming / "Blackmagic Design" / "DaVinci Resolve" / "Support"
        if self.system == "darwin":
            support = self.home / "Library" / "Application Support"
            return support / "Blackmagic Design" / "DaVinci Resolve"
        return self.home / ".local" / "share" / "DaVinciResolve"

    def programs(self, host: Host) -> list[HostProgram]:
        """Return the interpreters of a host that exist, newest first."""
        programs = self._nukes() if host == "nuke" else self._resolve_pythons()
        unique: dict[Path, HostProgram] = {}
        for program in programs:
            unique.setdefault(program.python.resolve(), program)
        return list(unique.values())

    def _nukes(self) -> Iterator[HostProgram]:
        folders = [self.home.glob("Nuke*")]
        folders += [self.root.glob(pattern) for pattern in self._of_system(_NUKES)]
        named = {folder: _NUKE.search(str(folder)) for found in folders for folder in found}
        versions = {folder: match for folder, match in named.items() if match is not None}
        newest = sorted(versions, key=lambda folder: [-int(n) for n in versions[folder].groups()])
        for folder in newest:
            pythons = (path for name in _PYTHONS_IN_NUKE for path in sorted(folder.glob(name)))
            python = next((path for path in pythons if path.is_file()), None)
            if python is not None:
                major, minor, release = versions[folder].groups()
                yield HostProgram(f"Nuke {major}.{minor}v{release}", python)

    def _resolve_pythons(self) -> Iterator[HostProgram]:
        """Yield the interpreters Resolve uses: those of its variables, then the system's."""
        for variable in ("FUSION_PYTHON3_HOME", "PYTHONHOME"):
            home = self.environ.get(variable, "")
            for name in ("python.exe", "bin/python3", "python3"):
                if home and (Path(home) / name).is_file():
                    yield HostProgram(f"the Python of ${variable}", Path(home) / name)
        local = Path(self.environ.get("LOCALAPPDATA", "") or self.home / "AppData" / "Local")
        paths = [path for at in self._of_system(_PYTHONS) for path in sorted(self.root.glob(at))]
        if self.system == "win32":
            paths += sorted(local.glob("Programs/Python/Python31?/python.exe"))
        for path in paths:
            if path.is_file():
                yield HostProgram("the system's Python", path)

    def _of_system(self, table: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        return table.get(self.system, table["linux"])
