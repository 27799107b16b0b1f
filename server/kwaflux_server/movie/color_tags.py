"""Color tags of a movie: matrix, levels, chroma siting, colorspace.

Each default for a missing tag comes with a note for the user. The colorspace has no default.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from kwaflux_core.errors import ImageUnsupported, UnknownColorspace

__all__ = [
    "ChromaSiting",
    "ColorTags",
    "Matrix",
    "interop_id",
    "levels_of",
    "matrix_of",
    "siting",
    "untagged",
]

UNSPECIFIED: Final = 2
_SD_ROWS_MAX: Final = 576


@dataclass(frozen=True, slots=True)
class ColorTags:
    """The tags of a stream: numbers of H.273, and FFmpeg's for range (1 video, 2 full)."""

    primaries: int
    transfer: int
    matrix: int
    levels: int

    def in_words(self) -> str:
        """Return primaries and transfer as text."""
        return (
            f"primaries {_PRIMARIES.get(self.primaries, self.primaries)}, "
            f"transfer {_TRANSFERS.get(self.transfer, self.transfer)}"
        )


@dataclass(frozen=True, slots=True)
class Matrix:
    """The weights of red and blue in luma; green has the rest."""

    name: str
    red: float
    blue: float


@dataclass(frozen=True, slots=True)
class ChromaSiting:
    """The position of a chroma sample among the pixels that share it.

    0 is the first of these pixels, 0.5 their middle, 1 the last.
    """

    name: str
    x: float
    y: float


_PRIMARIES: Final = MappingProxyType(
    {1: "BT.709", 2: "unspecified", 5: "BT.601 (625)", 6: "BT.601 (525)", 9: "BT.2020",
     11: "P3 DCI", 12: "P3 D65"}
)  # fmt: skip
_TRANSFERS: Final = MappingProxyType(
    {1: "BT.709", 2: "unspecified", 4: "gamma 2.2", 5: "gamma 2.8", 6: "BT.601", 8: "linear",
     13: "sRGB", 14: "BT.2020", 15: "BT.2020", 16: "PQ", 17: "ST 428", 18: "HLG"}
)  # fmt: skip

_MATRICES: Final = MappingProxyType(
    {
        1: Matrix("BT.709", 0.2126, 0.0722),
        4: Matrix("FCC", 0.30, 0.11),
        5: Matrix("BT.601", 0.299, 0.114),
        6: Matrix("BT.601", 0.299, 0.114),
        7: Matrix("SMPTE 240M", 0.212, 0.087),
        9: Matrix("BT.2020", 0.2627, 0.0593),
    }
)
"""Source: ITU-T H.273 (07/2021), table 4."""

_REFUSED_MATRICES: Final = MappingProxyType(
    {0: "RGB", 8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "Y'D'zD'x", 14: "ICtCp"}
)

_SITINGS: Final = MappingProxyType(
    {
        "left": ChromaSiting("left", 0.0, 0.5),
        "center": ChromaSiting("center", 0.5, 0.5),
        "topleft": ChromaSiting("top left", 0.0, 0.0),
        "top": ChromaSiting("top", 0.5, 0.0),
        "bottomleft": ChromaSiting("bottom left", 0.0, 1.0),
        "bottom": ChromaSiting("bottom", 0.5, 1.0),
    }
)

_BT709_CURVES: Final = (1, 6, 14, 15)
"""Transfer characteristics that H.273 calls functionally the same."""

_INTEROP_IDS: Final = MappingProxyType(
    {
        **{(1, curve): "g24_rec709_display" for curve in _BT709_CURVES},
        (1, 4): "g22_rec709_display",
        (1, 8): "lin_rec709_scene",
        (1, 13): "srgb_rec709_display",
        (9, 8): "lin_rec2020_scene",
        (9, 16): "pq_rec2020_display",
        (9, 18): "hlg_rec2020_display",
        (12, 8): "lin_p3d65_scene",
        (12, 13): "srgb_p3d65_display",
        (12, 16): "pq_p3d65_display",
    }
)
"""By primaries and transfer. BT.709 is what a grading display shows (BT.1886), as for a PNG."""


def interop_id(tags: ColorTags) -> str:
    """Return the id of the colorspace that the tags name; empty if they name no known one.

    Source: ITU-T H.273; ASWF Color Interop Forum for the ids; ITU-R BT.1886 for the display.
    """
    return _INTEROP_IDS.get((tags.primaries, tags.transfer), "")


def matrix_of(tags: ColorTags, *, height: int, path: str) -> tuple[Matrix, str]:
    """Return the matrix of a Y'CbCr stream, and a note if the stream has no matrix tag.

    Args:
        tags: The stream's tags.
        height: Rows of the picture, which decide an untagged stream: more than 576 are HD.
        path: The movie, for the error.

    Raises:
        ImageUnsupported: The matrix is not a weighted sum of red, green and blue.
    """
    if tags.matrix in _MATRICES:
        return _MATRICES[tags.matrix], ""
    if tags.matrix not in (UNSPECIFIED, 3):
        name = _REFUSED_MATRICES.get(tags.matrix, f"number {tags.matrix}")
        raise ImageUnsupported(
            f"{path} is coded with the matrix {name}",
            hint="convert it to Y'CbCr with the matrix of BT.709, BT.601 or BT.2020, or to EXR",
        )
    matrix = _MATRICES[6] if height <= _SD_ROWS_MAX else _MATRICES[1]
    return matrix, f"the movie has no matrix tag; {matrix.name} was assumed from its height"


def levels_of(tags: ColorTags, *, is_full_by_layout: bool, is_ycbcr: bool) -> tuple[bool, str]:
    """Return whether code values span the full range, and a note if the stream has no range tag.

    Args:
        tags: The stream's tags.
        is_full_by_layout: Whether the pixel format implies full range (JPEG's).
        is_ycbcr: Whether it is Y'CbCr; RGB and gray are full unless tagged otherwise.
    """
    if is_full_by_layout or tags.levels == 2:
        return True, ""
    if tags.levels == 1:
        return False, ""
    if not is_ycbcr:
        return True, ""
    return False, "the movie has no range tag; video levels (16 to 235) were assumed"


def siting(name: str) -> tuple[ChromaSiting, str]:
    """Return the chroma siting, and a note if the stream has no siting tag.

    Args:
        name: FFmpeg's name; ``unspecified`` means left, the default of H.264 and MPEG-2.
    """
    known = _SITINGS.get(name)
    if known is not None:
        return known, ""
    return _SITINGS["left"], "the movie has no chroma siting tag; left was assumed"


def untagged(path: str, tags: str) -> UnknownColorspace:
    """Return the error for a movie whose colorspace is unknown."""
    return UnknownColorspace(
        f"the color tags of {path} name no known colorspace ({tags})",
        hint="name it, for example with --colorspace 'Rec.1886 Rec.709 - Display'",
        path=path,
    )
