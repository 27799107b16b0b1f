"""What a client may touch: paths inside the server's roots, its own rings, never its sources.

Owns these checks. Must not know sockets; keys are ZeroMQ's business (``transport.zeromq``).
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
        roots: Folders; a path is allowed if, with every symbolic link resolved, it lies in one.

    Thread: any but the gateway's, which a disk that does not answer must not hold up.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(Path(os.path.realpath(root)) for root in roots)

    def check(self, path: str) -> None:
        """Refuse a path that is relative or outside the roots.

        Raises:
            PathNotAllowed: It is.
        """
        check_absolute(path)
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(root) for root in self._roots):
            raise PathNotAllowed(
                f"{path} lies outside the folders this server may use",
                hint=f"it may use: {', '.join(str(root) for root in self._roots)}",
                path=path,
            )

    def check_files(self, request: Render) -> None:
        """Refuse a render whose files lie outside the roots, or whose target is a source.

        Raises:
            PathNotAllowed: A path outside the roots.
            RequestError: The target is a source, under whatever name.
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
                    f"the target is the source: {path} would be written over",
                    hint="write under another name or into another folder",
                    path=target,
                )


def check_absolute(path: str) -> None:
    """Refuse a relative path. Reads no disk.

    Raises:
        PathNotAllowed: It is relative, or no path at all.
    """
    if not os.path.isabs(path) or "\0" in path:
        raise PathNotAllowed(f"{path!r} is no absolute path", hint="send an absolute path")


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
