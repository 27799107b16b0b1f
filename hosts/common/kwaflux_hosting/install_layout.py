"""Layout of an installed adapter in a host's folder, and of the wheels it imports from there.

    <root>/                     on the host's sys.path
        kwaflux_install.json    what was installed, and the command that starts the server
        kwaflux_core/  kwaflux_hosting/  kwaflux_nuke/ (or kwaflux_resolve/)
        init.py  menu.py        Nuke's only: the files of kwaflux_nuke/plugin
        wheels/cp311-linux-x86_64/{zmq,msgpack,...}    for each Python

The wheels are compiled, so each Python has its own folder, and only the one that fits is ever added
to ``sys.path``: at the end, so that the host's own packages come first.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Final

import kwaflux_core

__all__ = ["INSTALL_FILE", "WHEELS", "add_wheels", "installed_root", "python_tag"]

INSTALL_FILE: Final = "kwaflux_install.json"
"""What was installed and the command that starts the server, as JSON."""

WHEELS: Final = "wheels"
"""The folder of compiled packages, one folder in it for each Python."""


def python_tag(
    *,
    version: tuple[int, int] = sys.version_info[:2],
    system: str = sys.platform,
    machine: str = "",
) -> str:
    """Return the name of a Python's folder of wheels: ``cp311-linux-x86_64``.

    Args:
        version: Of the language.
        system: As ``sys.platform`` says it.
        machine: What it was built for; empty: what this one runs on.
    """
    built_for = (machine or platform.machine()).lower().replace("amd64", "x86_64")
    return f"cp{version[0]}{version[1]}-{system}-{built_for}"


def installed_root() -> Path:
    """Return the folder that this package lies in."""
    return Path(kwaflux_core.__file__).resolve().parent.parent


def add_wheels(root: Path | None = None) -> bool:
    """Let this Python find the wheels that were installed for it; return whether there are any.

    Args:
        root: The installed folder; None: the one this package lies in.
    """
    folder = (root or installed_root()) / WHEELS / python_tag()
    if not folder.is_dir():
        return False
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return True
