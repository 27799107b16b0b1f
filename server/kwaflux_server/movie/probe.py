"""Probe a movie before a job starts: count its frames and read its color tags.

Decodes the first decodable frame, with a library that a damaged file can crash: call it in a
process that may die (``jobs.plan_child``).
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
    """The properties of a movie that planning a job needs.

    Args:
        frame_count: Number of frames.
        interop_id: The colorspace its tags name; empty if they name none.
        tags: The tags as text.
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
        frame_bytes_max: Largest accepted frame, in bytes.

    Raises:
        KwafluxError: The movie is unusable. A single damaged frame is not an error.
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
        f"no frame of {path} can be decoded", hint="copy or export the movie again", path=path
    )
