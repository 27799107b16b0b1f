"""Installation plans: the files and lines that each host gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from kwaflux_core.errors import HostError
from kwaflux_server.install.host_locations import Host, Machine

__all__ = ["Shape", "package_folder", "shape_of"]

_NUKE_LINES: Final = (
    "import nuke",
    "try:",
    '    nuke.pluginAddPath("./kwaflux")',
    "except Exception as kwaflux_error:  # Nuke starts, whatever is wrong with ours",
    '    print("Kwaflux is not there: %s" % kwaflux_error)',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The parts of an installation.

    Args:
        host: The host.
        root: The folder of packages and wheels, used by Kwaflux only.
        packages: The packages copied into it.
        beside: Files copied into it: source in the package by target name.
        outside: Files copied to folders that the host searches.
        lines_in: A file of the user that gets the lines; None for no lines.
        lines: The lines.
        hints: Next steps for the user.
    """

    host: Host
    root: Path
    packages: tuple[str, ...]
    beside: Mapping[str, Path]
    outside: Mapping[Path, Path]
    lines_in: Path | None = None
    lines: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def shape_of(host: Host, machine: Machine, *, to: Path | None = None) -> Shape:
    """Return the parts of a host's installation.

    Args:
        host: The host.
        machine: The machine.
        to: A shared folder, such as a studio's; None for the user's own.
    """
    return _nuke(machine, to) if host == "nuke" else _resolve(machine, to)


def package_folder(name: str) -> Path:
    """Return the folder of one of our packages, without importing it.

    Raises:
        HostError: It is not installed.
    """
    spec = find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise HostError(f"{name} is not installed", hint="install kwaflux again")
    return Path(places[0])


def _nuke(machine: Machine, to: Path | None) -> Shape:
    plugin = package_folder("kwaflux_nuke") / "plugin"
    root = (to or machine.nuke_folder) / "kwaflux"
    next_steps = (
        "Start Nuke, press Tab in the node graph and type Kwaflux."
        if to is None
        else f"For every Nuke that shall load it, add {root} to NUKE_PATH."
    )
    return Shape(
        host="nuke",
        root=root,
        packages=("kwaflux_core", "kwaflux_hosting", "kwaflux_nuke"),
        beside={path.name: path for path in _files(plugin)},
        outside={},
        lines_in=machine.nuke_folder / "init.py" if to is None else None,
        lines=_NUKE_LINES,
        hints=(next_steps,),
    )


def _resolve(machine: Machine, to: Path | None) -> Shape:
    scripts = package_folder("kwaflux_resolve") / "scripts"
    fusion = (to or machine.resolve_folder) / "Fusion"
    menu = fusion / "Scripts" / "Utility"
    root = fusion / "Modules" / "Kwaflux"
    hints = ["Start DaVinci Resolve Studio: Workspace > Scripts > Kwaflux."]
    if to is not None:
        hints.append(f"Set for Resolve: KWAFLUX_RESOLVE_DIR={root}")
    return Shape(
        host="resolve",
        root=root,
        packages=("kwaflux_core", "kwaflux_hosting", "kwaflux_resolve"),
        beside={},
        outside={menu / path.name: path for path in _files(scripts)},
        hints=tuple(hints),
    )


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and path.name != "__init__.py"
    )
