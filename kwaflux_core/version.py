"""The version of this package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]


def _installed_version() -> str:
    try:
        return version("kwaflux")
    except PackageNotFoundError:  # copied into a host's folder, or never installed
        return "0+unknown"


__version__ = _installed_version()
