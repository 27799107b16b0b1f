"""What a client may touch: the paths inside the server's roots, its own rings, never its sources.

Owns these checks. Must not know sockets; keys are ZeroMQ's business (``transport.zeromq``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kwaflux_core.errors import PathNotAllowed, RequestError
from kwaflux_core.images.io import same_file
from kwaflux_core.protocol.messages import PathPixels, PathTarget, Render, ShmPixels, ShmTarget
from kwaflux_core.transport.shared_memory import check_ring_name

__all__ = ["PathGuard", "check_render"]


class PathGuard:
    """Confine paths to the roots a server was given.

    Args:
        roots: Folders; a path is allowed if, with every symbolic link resolved, it lies in one.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(Path(os.path.realpath(root)) for root in roots)

    def check(self, path: str) -> None:
        """Refuse a path that is relative or outside the roots.

        Raises:
            PathNotAllowed: It is.
        """
        if not os.path.isabs(path) or "\0" in path:
            raise PathNotAllowed(f"{path!r} is no absolute path", hint="send an absolute path")
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in self._roots):
            raise PathNotAllowed(
                f"{path} lies outside the folders this server may use",
                hint=f"it may use: {', '.join(str(root) for root in self._roots)}",
                path=path,
            )


def check_render(request: Render, *, guard: PathGuard, session: str) -> None:
    """Refuse a render that names what it may not touch.

    Raises:
        PathNotAllowed: A path outside the roots.
        ProtocolError: A ring that is not the session's own.
        RequestError: The target is a source, under whatever name.
    """
    for place in (*(source.pixels for source in request.sources), request.target):
        if isinstance(place, (PathPixels, PathTarget)):
            guard.check(place.path)
        elif isinstance(place, (ShmPixels, ShmTarget)):
            check_ring_name(place.ring, session=session)
    target = request.target
    if not isinstance(target, PathTarget):
        return
    for source in request.sources:
        if isinstance(source.pixels, PathPixels) and same_file(source.pixels.path, target.path):
            raise RequestError(
                f"the target is the source: {source.pixels.path} would be written over",
                hint="write under another name or into another folder",
                path=target.path,
            )
