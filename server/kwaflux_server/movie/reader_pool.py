"""The pool of open movies of a worker: one decoder each, closed when idle."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import FrameMissing
from kwaflux_core.images.image import Image
from kwaflux_server.movie.frame_image import frame_digest, picture_of
from kwaflux_server.movie.reader import Movie

__all__ = ["MovieShelf"]

_OPEN_MAX: Final = 2
_IDLE_S: Final = 60.0
_CACHE_BYTES: Final = 256 << 20

_Identity: TypeAlias = "tuple[int, int, int, int]"


@dataclass(slots=True)
class _Held:
    identity: _Identity
    movie: Movie
    used_s: float
    users: int = 0
    is_dropped: bool = False


class MovieShelf:
    """Return frames of movies, and keep recently read movies open.

    Args:
        config: The OCIO config that defines colorspaces.
        frame_bytes_max: Largest accepted frame, in bytes.
        open_max: Largest number of idle movies that stay open.
        clock: Monotonic time in seconds.

    Thread: any.
    """

    def __init__(
        self,
        config: ColorConfig,
        *,
        frame_bytes_max: int,
        open_max: int = _OPEN_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._frame_bytes_max = frame_bytes_max
        self._open_max = open_max
        self._clock = clock
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def picture(self, path: str, frame: int, *, colorspace: str) -> Image:
        """Return a frame as a picture in the movie's encoding; see ``picture_of``.

        Raises:
            KwafluxError: The movie or the frame cannot be read.
        """
        held = self._take(path)
        try:
            return picture_of(
                held.movie, frame, path=path, colorspace=colorspace, config=self._config
            )
        finally:
            self._give_back(held)

    def digest(self, path: str, frame: int) -> str:
        """Return the hash of a frame; see ``frame_digest``.

        Raises:
            KwafluxError: The movie or the frame cannot be read.
        """
        held = self._take(path)
        try:
            return frame_digest(held.movie, frame, path=path)
        finally:
            self._give_back(held)

    def close_idle(self) -> None:
        """Close the movies that were idle for a minute, and the oldest above ``open_max``."""
        now_s = self._clock()
        with self._lock:
            free = [path for path, held in self._held.items() if not held.users]
            excess = len(self._held) - self._open_max
            for number, path in enumerate(free):
                if number < excess or now_s - self._held[path].used_s > _IDLE_S:
                    self._held.pop(path).movie.close()

    def close(self) -> None:
        """Close every movie; those in use are closed when their frame is done."""
        with self._lock:
            for held in self._held.values():
                _drop(held)
            self._held.clear()

    def _take(self, path: str) -> _Held:
        """Yield an open movie, which is not closed before the end of the block."""
        # One at a time: two threads must not both open and index the same movie.
        with self._opening:
            identity = _identity(path)
            with self._lock:
                held = self._held.get(path)
                if held is not None and held.identity == identity:
                    held.users += 1
                    self._held.move_to_end(path)
                    return held
            movie = Movie(path, frame_bytes_max=self._frame_bytes_max, cache_bytes=_CACHE_BYTES)
            with self._lock:
                stale = self._held.pop(path, None)
                if stale is not None:
                    _drop(stale)
                held = self._held[path] = _Held(identity, movie, self._clock(), users=1)
        self.close_idle()
        return held

    def _give_back(self, held: _Held) -> None:
        with self._lock:
            held.users -= 1
            held.used_s = self._clock()
            if held.is_dropped:
                _drop(held)


def _drop(held: _Held) -> None:
    """Close a movie now, or when it is no longer in use."""
    held.is_dropped = True
    if not held.users:
        held.movie.close()


def _identity(path: str) -> _Identity:
    """Return the identity of a file, which changes when the file is replaced."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise FrameMissing(
            f"{path} cannot be opened: {error.strerror}",
            hint="check the path on the server's machine",
            path=path,
        ) from error
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
