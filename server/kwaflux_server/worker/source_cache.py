"""Files that several tasks read at a time: each is hashed and decoded once."""

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
"""How long a task waits for another that decodes the same file, before it does so itself."""
_Stamp: TypeAlias = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Hold a source's plate, and the picture and layer it was taken from where there are any."""

    plate: Plate
    image: Image | None = None
    layer: Layer | None = None


class SourceFile:
    """A picture's file, or a frame of a movie, as it was when it was first looked at.

    Args:
        digest: Hashes what it holds.

    Thread: any.
    """

    def __init__(self, digest: Callable[[], str]) -> None:
        self._make_digest = digest
        self._digest = ""
        self._lock = threading.Lock()
        self._decoded: dict[Hashable, Decoded] = {}

    def digest(self) -> str:
        """Return the SHA-256 of what the file holds.

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
        """Return what whoever asked first decoded; the plate is one and the same for all.

        The picture stays with it only where it holds nothing but the plate's own channels: other
        layers, which a neighbor has no use for, are decoded once more for the frame itself.

        Args:
            reading: How it is read; readings that are equal give equal pixels.
            decode: Reads it.
            needs_picture: Whether the whole picture is wanted too.
        """
        is_alone = self._lock.acquire(timeout=_WAIT_S)
        try:
            kept = self._decoded.get(reading)
            if kept is not None and (kept.image is not None or not needs_picture):
                return kept
            fresh = decode()
            if kept is not None:
                return replace(kept, image=fresh.image)
            self._decoded[reading] = fresh if _is_bare(fresh) else replace(fresh, image=None)
            return fresh
        finally:
            if is_alone:
                self._lock.release()


class SourceFiles:
    """Find the files that tasks under way hold.

    Thread: any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: WeakValueDictionary[_Stamp, SourceFile] = WeakValueDictionary()

    def file(
        self, path: str, *, frame: int = 0, digest: Callable[[], str] | None = None
    ) -> SourceFile:
        """Return a file: the one that another task holds, if it has not been changed since.

        Hold it for as long as what was decoded of it is used.

        Args:
            path: Where it lies.
            frame: Which frame of it, where it is a movie.
            digest: Hashes that frame; None: the hash is that of the file's bytes.
        """
        fresh = SourceFile(digest or partial(file_digest, path))
        try:
            found = os.stat(path)
        except (OSError, ValueError):  # who reads it says what is wrong
            return fresh
        stamp = (path, frame, found.st_ino, found.st_size, found.st_mtime_ns)
        with self._lock:
            return self._files.setdefault(stamp, fresh)


def _is_bare(decoded: Decoded) -> bool:
    """Tell whether the picture takes no more room than its plate."""
    if decoded.image is None:
        return True
    channels = (plane for part in decoded.image.parts for plane in part.channels.values())
    return sum(plane.nbytes for plane in channels) <= decoded.plate.nbytes
