"""Connect to a host's scripting API from a Python outside the host."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Final

from kwaflux_core.child_process import run_command
from kwaflux_core.errors import HostError, KwafluxError

__all__ = ["external_app"]

_CHILD_S: Final = 30.0


def external_app(
    name: str,
    connect: Callable[[Any], object],
    *,
    host: str,
    folder: str,
    is_risky: bool,
    missing: str,
    misfit: str,
    silent: str,
) -> object:
    """Return the host that a module of its own reaches.

    Args:
        name: Of the module.
        connect: Gets the module and returns the host, or None where none answers.
        host: What the host is called.
        folder: Where it lies; it goes to the end of the path.
        is_risky: Whether it may end the process where it does not fit this Python: then a child
            tries it first.
        missing: The hint where it does not import.
        misfit: The hint where the child ended.
        silent: The hint where no host answers.

    Raises:
        HostError: It does not import, does not fit this Python, or no host answers.
    """
    if folder not in sys.path:
        sys.path.append(folder)
    if is_risky:
        _try_in_child(name, folder=folder, misfit=misfit)
    try:
        found = connect(importlib.import_module(name))
    except ImportError as error:
        raise HostError(
            f"{name} does not import: {error}", hint=f"{missing}; tried {folder}"
        ) from error
    if found is None:
        raise HostError(f"no {host} answers", hint=silent)
    return found


def _try_in_child(name: str, *, folder: str, misfit: str) -> None:
    code = f"import sys; sys.path.append({folder!r}); import {name}"
    try:
        run_command([sys.executable, "-c", code], limit_s=_CHILD_S).raise_for_status()
    except KwafluxError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        raise HostError(
            f"{name} does not load into this Python ({version}): {error.message}", hint=misfit
        ) from error
