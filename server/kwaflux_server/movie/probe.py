"""A first look at a movie, in a process of its own: how many frames, and whether they can be read.

Owns that process and what it says. The gateway needs the number of frames before a job begins; to
find it a movie may have to be read through, by a library that a damaged file can crash. Must not
import PyAV itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from kwaflux_core.errors import DeadlineExceeded, ImageUnreadable, KwafluxError, from_wire
from kwaflux_server.movie.frame_index import FIRST_FRAME

__all__ = ["Look", "MovieFacts"]

_LIMIT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class MovieFacts:
    """Hold what a job must know of a movie before its first frame.

    Args:
        frame_count: How many frames it has.
        interop_id: The colorspace its tags name; empty where they name none.
        tags: The tags in words.
    """

    frame_count: int
    interop_id: str
    tags: str

    @property
    def frames(self) -> range:
        """The numbers of its frames."""
        return range(FIRST_FRAME, FIRST_FRAME + self.frame_count)

    def to_json(self) -> str:
        """Return the form in which a look's process says it."""
        return json.dumps(asdict(self))


class Look:
    """Look at a movie in a child process, which begins at once.

    Args:
        path: The movie.
        frame_bytes_max: The largest frame that is accepted.
        clock: Seconds that never run backwards.
        limit_s: How long it may take.
        python: The interpreter.
    """

    def __init__(
        self,
        path: str,
        *,
        frame_bytes_max: int,
        clock: Callable[[], float] = time.monotonic,
        limit_s: float = _LIMIT_S,
        python: str = sys.executable,
    ) -> None:
        self._path = path
        self._clock = clock
        self._limit_s = limit_s
        self._begun_s = clock()
        # What it says fits into a pipe, so that it ends whether anybody reads or not.
        self._process = subprocess.Popen(
            [python, "-m", "kwaflux_server.movie.probe_process", path, str(frame_bytes_max)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def is_done(self) -> bool:
        """Tell whether ``result`` returns at once; also when the time is over."""
        return self._process.poll() is not None or self._left_s() <= 0.0

    def result(self) -> MovieFacts:
        """Return what was seen; waits for it. Once.

        Raises:
            KwafluxError: What is wrong with the movie, typed.
            DeadlineExceeded: It took too long.
            ImageUnreadable: The process ended without a word: the movie broke it.
        """
        try:
            said, _ = self._process.communicate(timeout=max(0.0, self._left_s()))
            return _facts(said, path=self._path)
        except subprocess.TimeoutExpired as error:
            raise DeadlineExceeded(
                f"counting the frames of {self._path} took more than {self._limit_s:.0f} s",
                hint="give a part of it, or convert it to an image sequence",
                path=self._path,
            ) from error
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End the look; more than once does no harm."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _left_s(self) -> float:
        return self._begun_s + self._limit_s - self._clock()


def _facts(said: bytes, *, path: str) -> MovieFacts:
    try:
        record = json.loads(said)
    except ValueError as error:
        raise ImageUnreadable(
            f"{path} cannot be read as a movie: the library that decodes it broke on it",
            hint="copy or export the movie again",
            path=path,
        ) from error
    if "error" in record:
        problem: KwafluxError = from_wire(record["error"])
        raise problem
    return MovieFacts(record["frame_count"], record["interop_id"], record["tags"])
