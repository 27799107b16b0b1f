"""Count a movie's frames and read what its tags say of color, before a job begins.

Decodes the first frame that can be decoded, with a library that a damaged file can crash: call it
in a process that may die (``jobs.plan_child``).
"""

from __future__ import annotations

from dataclasses import dataclass

from kwaflux_core.errors import ImageUnreadable
from kwaflux_server.movie.color_tags import interop_id
from kwaflux_server.movie.frame_image import Interpretation
from kwaflux_server.movie.frame_index import FIRST_FRAME
from kwaflux_server.movie.reader import Movie

__all__ = ["MovieFacts", "probe_movie"]


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


def probe_movie(path: str, *, frame_bytes_max: int) -> MovieFacts:
    """Return a movie's number of frames and its tags.

    Args:
        path: The movie.
        frame_bytes_max: The largest frame that is accepted.

    Raises:
        KwafluxError: What is wrong with the movie, typed. A damaged frame does not cost the others.
    """
    movie = Movie(path, frame_bytes_max=frame_bytes_max, cache_bytes=0)
    try:
        count = movie.index.frame_count
        for number in range(FIRST_FRAME, FIRST_FRAME + len(movie.index.shown)):
            try:
                frame = movie.frame(number)
            except ImageUnreadable:
                continue
            meaning = Interpretation.of(frame, chroma_location=movie.chroma_location, path=path)
            return MovieFacts(count, interop_id(meaning.tags), meaning.tags.in_words())
    finally:
        movie.close()
    raise ImageUnreadable(
        f"not one frame of {path} can be decoded", hint="copy or export the movie again", path=path
    )
