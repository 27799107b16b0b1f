"""The server: a gateway without torch, a pure scheduler, one worker process for each device.

Importing this package is cheap: it reads nothing and starts nothing.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Return ``__version__``, the installed distribution's, when somebody asks for it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kwaflux")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
