"""Kwaflux for Python: read a plate, render it on the server, write it.

Public names are imported on first access (PEP 562): importing this package is fast, and a host's
Python without numpy can use everything that does not need it::

    from kwaflux_core import Client, Flow, read_image, write_image
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing.TYPE_CHECKING takes longer to import than the rest of this module
if TYPE_CHECKING:
    from kwaflux_core.client.client import Client, FileResult, Job, RenderResult
    from kwaflux_core.errors import KwafluxError
    from kwaflux_core.flows.card import Card
    from kwaflux_core.flows.flow import Flow
    from kwaflux_core.geometry import Box
    from kwaflux_core.images.image import Image
    from kwaflux_core.images.io import read_image, write_image
    from kwaflux_core.version import __version__

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

_MODULE_OF = {
    "Box": "geometry",
    "Card": "flows.card",
    "Client": "client.client",
    "FileResult": "client.client",
    "Flow": "flows.flow",
    "Image": "images.image",
    "Job": "client.client",
    "KwafluxError": "errors",
    "RenderResult": "client.client",
    "__version__": "version",
    "read_image": "images.io",
    "write_image": "images.io",
}


def __getattr__(name: str) -> object:
    """Import and return a public name."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"kwaflux_core.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
