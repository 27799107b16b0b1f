"""A frame of a movie as a picture: float, in the movie's encoding, with its header attributes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.geometry import Box
from kwaflux_core.images.image import Image, Part
from kwaflux_server.movie.color_tags import (
    ChromaSiting,
    ColorTags,
    Matrix,
    interop_id,
    levels_of,
    matrix_of,
    siting,
    untagged,
)
from kwaflux_server.movie.reader import Movie
from kwaflux_server.movie.ycbcr import Layout, Levels, code_values, rgb_of_codes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["DECODED", "Interpretation", "frame_digest", "picture_of"]

DECODED = "kwaflux/decoded"
"""The attribute that records how a movie's code values were interpreted."""


@dataclass(frozen=True, slots=True)
class Interpretation:
    """The interpretation of a frame's code values. Make one with ``of``.

    Args:
        layout: Its pixel format.
        levels: Its black and white levels.
        matrix: Its matrix; None for RGB or gray.
        siting: Its chroma siting.
        tags: The stream's tags.
        notes: One sentence for each missing tag and the default in its place.
    """

    layout: Layout
    levels: Levels
    matrix: Matrix | None
    siting: ChromaSiting
    tags: ColorTags
    notes: tuple[str, ...]

    @classmethod
    def of(cls, frame: VideoFrame, *, chroma_location: str, path: str) -> Interpretation:
        """Read the tags of a decoded frame.

        Raises:
            ImageUnsupported: The pixel format or the matrix is not supported.
        """
        tags = ColorTags(
            int(frame.color_primaries),
            int(frame.color_trc),
            int(frame.colorspace),
            int(frame.color_range),
        )
        layout = Layout.parse(frame.format.name, path=path)
        is_full, about_levels = levels_of(
            tags, is_full_by_layout=layout.is_full_range, is_ycbcr=layout.is_ycbcr
        )
        matrix, about_matrix = None, ""
        if layout.is_ycbcr:
            matrix, about_matrix = matrix_of(tags, height=frame.height, path=path)
        place, about_siting = siting(chroma_location)
        if layout.chroma_shift == (0, 0):
            about_siting = ""
        notes = tuple(text for text in (about_matrix, about_levels, about_siting) if text)
        return cls(layout, Levels(layout.bits, is_full), matrix, place, tags, notes)

    def in_words(self) -> str:
        """Return one line for the header of a result."""
        words = [self.layout.name, "full levels" if self.levels.is_full_range else "video levels"]
        if self.matrix is not None:
            words.append(f"matrix {self.matrix.name}")
        if self.layout.chroma_shift != (0, 0):
            words.append(f"chroma {self.siting.name}, enlarged by Catmull-Rom")
        return "; ".join((*words, self.tags.in_words(), *self.notes))


def picture_of(
    movie: Movie, number: int, *, path: str, colorspace: str, config: ColorConfig
) -> Image:
    """Return a frame as a picture, in the movie's own encoding.

    Args:
        movie: The open movie.
        number: The frame's number, from 1.
        path: The movie, for errors.
        colorspace: The colorspace the user named; empty for the movie's tags.
        config: The OCIO config that defines the names.

    Returns:
        Red, green, blue and, if the movie has one, alpha: float32, unclamped.

    Raises:
        KwafluxError: As ``Movie.frame`` and ``Interpretation.of``.
        UnknownColorspace: Neither the caller nor the movie names a colorspace, or the config does
            not have it.
    """
    frame = movie.frame(number)
    meaning = Interpretation.of(frame, chroma_location=movie.chroma_location, path=path)
    name = colorspace or interop_id(meaning.tags)
    if not name:
        raise untagged(path, meaning.tags.in_words())
    name = config.resolve(name)
    channels = rgb_of_codes(
        code_values(frame.planes, meaning.layout),
        meaning.layout,
        levels=meaning.levels,
        matrix=meaning.matrix,
        siting=meaning.siting,
    )
    window = Box.from_size(frame.width, frame.height)
    attributes = {**movie.header.attributes(number), DECODED: meaning.in_words()}
    part = Part(channels, window, window, attributes, pixel_aspect=movie.header.pixel_aspect)
    notes = (*meaning.notes, *movie.index.notes)
    if frame.rotation % 360:
        notes += ("the movie has a rotation tag; it is processed unrotated",)
    return Image((part,), colorspace=name, notes=notes, coding=movie.coding(frame))


def frame_digest(movie: Movie, number: int, *, path: str) -> str:
    """Return the SHA-256 of a frame's code values and their interpretation.

    Hashing the movie's file would take minutes, and all its frames would have the same hash.

    Raises:
        KwafluxError: As ``Movie.frame`` and ``Interpretation.of``.
    """
    frame = movie.frame(number)
    meaning = Interpretation.of(frame, chroma_location=movie.chroma_location, path=path)
    digest = hashlib.sha256(meaning.in_words().encode())
    digest.update(f"{frame.width}x{frame.height} {movie.header.pixel_aspect}".encode())
    for channel, codes in code_values(frame.planes, meaning.layout).items():
        digest.update(channel.encode())
        digest.update(codes.tobytes())
    return digest.hexdigest()
