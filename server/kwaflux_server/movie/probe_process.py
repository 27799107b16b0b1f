"""The process behind ``probe``: run as a module with a movie and the largest frame in bytes.

Owns what is looked at. It prints one JSON object: the movie's facts, or the error under ``error``.
"""

from __future__ import annotations

import json
import sys

from kwaflux_core.errors import ImageUnreadable, KwafluxError, to_wire
from kwaflux_server.movie.color_tags import interop_id
from kwaflux_server.movie.frame_image import Interpretation
from kwaflux_server.movie.frame_index import FIRST_FRAME
from kwaflux_server.movie.probe import MovieFacts
from kwaflux_server.movie.reader import Movie

__all__ = ["looked_at", "main"]


def looked_at(path: str, *, frame_bytes_max: int) -> MovieFacts:
    """Count a movie's frames and decode the first that can be.

    Raises:
        KwafluxError: What is wrong with the movie, typed. A frame that is damaged is no reason to
            refuse the others.
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


def main(arguments: list[str]) -> int:
    """Look at the movie of the arguments and print what is seen."""
    path, frame_bytes_max = arguments
    try:
        said = looked_at(path, frame_bytes_max=int(frame_bytes_max)).to_json()
    except KwafluxError as error:
        said = json.dumps({"error": to_wire(error)})
    sys.stdout.write(said)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
