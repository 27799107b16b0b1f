"""Resolve's scripting API from a Python outside Resolve."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final, cast

from kwaflux_core.child_process import run_command
from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_resolve.resolve_api import Resolve

__all__ = ["external_resolve"]

_CHILD_S: Final = 30.0
_MODULE: Final = "DaVinciResolveScript"
_FOLDERS: Final = {
    "win32": r"%PROGRAMDATA%\Blackmagic Design\DaVinci Resolve\Support\Developer\Scripting",
    "darwin": "/Library/Application Support/Blackmagic Design/DaVinci Resolve/Developer/Scripting",
    "linux": "/opt/resolve/Developer/Scripting",
}


def external_resolve() -> Resolve:
    """Return the running Resolve that the scripting module connects to.

    The module's folder goes to the end of ``sys.path``. On Windows a module that does not fit this
    Python can end the process, so a child process imports it first.

    Raises:
        HostError: The module cannot be imported, does not fit this Python, or no Resolve answers.
    """
    default = os.path.expandvars(_FOLDERS.get(sys.platform, _FOLDERS["linux"]))
    folder = os.path.join(os.environ.get("RESOLVE_SCRIPT_API", default), "Modules")
    if folder not in sys.path:
        sys.path.append(folder)
    if sys.platform == "win32":
        _import_in_child(folder)
    try:
        resolve = importlib.import_module(_MODULE).scriptapp("Resolve")
    except ImportError as error:
        raise HostError(
            f"{_MODULE} cannot be imported: {error}",
            hint=f"install DaVinci Resolve Studio, or set RESOLVE_SCRIPT_API; tried {folder}",
        ) from error
    if resolve is None:
        raise HostError(
            "no Resolve answers",
            hint="start DaVinci Resolve Studio, and set Preferences > System > General > External "
            "scripting using to Local; the free edition does not allow it",
        )
    return cast("Resolve", resolve)


def _import_in_child(folder: str) -> None:
    code = f"import sys; sys.path.append({folder!r}); import {_MODULE}"
    try:
        run_command([sys.executable, "-c", code], limit_s=_CHILD_S).raise_for_status()
    except KwafluxError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        raise HostError(
            f"{_MODULE} cannot be loaded by this Python ({version}): {error.message}",
            hint=f"set FUSION_PYTHON3_HOME to {sys.base_prefix}, or use another Python",
        ) from error
