"""Checks of the paths and rings in a client's request.

Paths must be inside the server's roots, rings must be the session's own, and a target must not be a
source.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kwaflux_core.errors import PathNotAllowed, RequestError
from kwaflux_core.images.atomic_write import same_file
from kwaflux_core.protocol.messages import PathPixels, PathTarget, Render, ShmPixels, ShmTarget
from kwaflux_core.transport.shared_memory import check_ring_name

__all__ = ["PathGuard", "check_absolute", "check_names"]


class PathGuard:
    """Confine paths to the roots a server was given. Its checks read the disk.

    Args:
        roots: Folders; a path is allowed if, with all symbolic links resolved, it is inside one.

    Thread: any but the gateway's, which an unresponsive disk must not block.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(Path(os.path.realpath(root)) for root in roots)

    def check(self, path: str) -> None:
        """Refuse a path that is relative or outside the roots.

        Raises:
            PathNotAllowed: The path is relative or outside the roots.
        """
        check_absolute(path)
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in self._roots):
            raise PathNotAllowed(
                f"{path} is outside the folders that this server may use",
                hint=f"it may use: {', '.join(str(root) for root in self._roots)}",
                path=path,
            )

    def check_files(self, request: Render) -> None:
        """Refuse a render whose files lie outside the roots, or whose target is a source.

        Raises:
            PathNotAllowed: A path is outside the roots.
            RequestError: The target is a source, also under another name.
        """
        sources = [
            source.pixels.path
            for source in request.sources
            if isinstance(source.pixels, PathPixels)
        ]
        for path in sources:
            self.check(path)
        if not isinstance(request.target, PathTarget):
            return
        target = request.target.path
        self.check(target)
        for path in sources:
            if same_file(path, target):
                raise RequestError(
                    f"the target {path} is also the source and would be overwritten",
                    hint="write under another name or into another folder",
                    path=target,
                )


def check_absolute(path: str) -> None:
    """Refuse a relative path. Reads no disk.

    Raises:
        PathNotAllowed: It is relative, or not a path.
    """
    if not os.path.isabs(path) or "\0" in path:
        raise PathNotAllowed(f"{path!r} is not an absolute path", hint="send an absolute path")


def check_names(request: Render, *, session: str) -> None:
    """Refuse a render that names a relative path, or a ring that is not the session's own.

    Reads no disk; ``PathGuard.check_files`` does, in the worker that opens the files.

    Raises:
        PathNotAllowed: A path is not absolute.
        ProtocolError: A ring belongs to another session.
    """
    for place in (*(source.pixels for source in request.sources), request.target):
        if isinstance(place, (PathPixels, PathTarget)):
            check_absolute(place.path)
        elif isinstance(place, (ShmPixels, ShmTarget)):
            check_ring_name(place.ring, session=session)
