"""The cache of source files: a file that several tasks read is hashed and decoded once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias
from weakref import WeakValueDictionary

from kwaflux_core.images.image import Image, Layer
from kwaflux_models.rendering.plate import Plate
from kwaflux_server.worker.provenance import file_digest

__all__ = ["Decoded", "SourceFile", "SourceFiles"]

_WAIT_S = 60.0
"""Seconds that a task waits for another that decodes the same file before it decodes it itself."""
_Stamp: TypeAlias = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A source's plate, and the image and layer it was taken from, if any."""

    plate: Plate
    image: Image | None = None
    layer: Layer | None = None


class SourceFile:
    """An image file, or a frame of a movie, in its state at the first access.

    Args:
        digest: Hashes its content.

    Thread: any.
    """

    def __init__(self, digest: Callable[[], str]) -> None:
        self._make_digest = digest
        self._digest = ""
        self._lock = threading.Lock()
        self._decoded: dict[Hashable, Decoded] = {}

    def digest(self) -> str:
        """Return the SHA-256 of the file's content.

        Raises:
            FrameMissing: There is no such file.
            ImageUnreadable: It cannot be opened.
        """
        if not self._digest:
            self._digest = self._make_digest()
        return self._digest

    def decoded(
        self, reading: Hashable, decode: Callable[[], Decoded], *, needs_picture: bool
    ) -> Decoded:
        """Return the decoded source; the first caller decodes it, and all share its plate.

        The image is cached only if it has no channels but the plate's: other layers, which a
        neighbor does not need, are decoded again for the frame itself.

        Args:
            reading: Parameters of reading; equal parameters give equal pixels.
            decode: Reads the source.
            needs_picture: Whether the whole image is needed too.
        """
        is_alone = self._lock.acquire(timeout=_WAIT_S)
        try:
            cached = self._decoded.get(reading)
            if cached is not None and (cached.image is not None or not needs_picture):
                return cached
            fresh = decode()
            if cached is not None:
                return replace(cached, image=fresh.image)
            self._decoded[reading] = fresh if _is_bare(fresh) else replace(fresh, image=None)
            return fresh
        finally:
            if is_alone:
                self._lock.release()


class SourceFiles:
    """The source files that active tasks hold.

    Thread: any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: WeakValueDictionary[_Stamp, SourceFile] = WeakValueDictionary()

    def file(
        self, path: str, *, frame: int = 0, digest: Callable[[], str] | None = None
    ) -> SourceFile:
        """Return a file: the one that another task holds, if it is unchanged since.

        Keep a reference to it while its decoded pixels are used.

        Args:
            path: The file.
            frame: The frame's number in a movie.
            digest: Hashes that frame; None hashes the file's bytes.
        """
        fresh = SourceFile(digest or partial(file_digest, path))
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # the reader reports the error
            return fresh
        stamp = (path, frame, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            return self._files.setdefault(stamp, fresh)


def _is_bare(decoded: Decoded) -> bool:
    """Return whether the image takes no more memory than its plate."""
    if decoded.image is None:
        return True
    channels = (plane for part in decoded.image.parts for plane in part.channels.values())
    return sum(plane.nbytes for plane in channels) <= decoded.plate.nbytes
