"""Kwaflux for Python: read a plate, have it rendered by the server, write it.

Owns the public surface, read when somebody asks for it (PEP 562): importing this package costs
nothing, and a host's Python without numpy can use what needs none.

    from kwaflux_core import Client, Flow, read_image, write_image
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing's own takes longer to import than all the rest here
if TYPE_CHECKING:
    from kwaflux_core.card import Card
    from kwaflux_core.client import Client, FileResult, Job, RenderResult
    from kwaflux_core.errors import KwafluxError
    from kwaflux_core.files import read_image, write_image
    from kwaflux_core.flow import Flow
    from kwaflux_core.geometry import Box
    from kwaflux_core.image import Image

    __version__: str

__all__ = [
    "Box",
    "Card",
    "Client",
    "FileResult",
    "Flow",
    "Image",
    "Job",
    "KwafluxError",
    "RenderResult",
    "__version__",
    "read_image",
    "write_image",
]

_HOME = {
    "Box": "geometry",
    "Card": "card",
    "Client": "client",
    "FileResult": "client",
    "Flow": "flow",
    "Image": "image",
    "Job": "client",
    "KwafluxError": "errors",
    "RenderResult": "client",
    "read_image": "files",
    "write_image": "files",
}


def __getattr__(name: str) -> object:
    """Return a public name from the module it lives in."""
    if name == "__version__":
        found: object = _version()
    elif name in _HOME:
        found = getattr(import_module(f"kwaflux_core.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kwaflux")
    except PackageNotFoundError:  # copied into a host's folder, or never installed
        return "0+unknown"
