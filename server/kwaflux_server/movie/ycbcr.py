"""Conversion of a decoded frame's code values to RGB in float, unclamped.

Super-whites and out-of-gamut colors stay outside 0..1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.errors import ImageUnreadable, ImageUnsupported
from kwaflux_server.movie.color_tags import ChromaSiting, Matrix

__all__ = ["CodePlane", "Layout", "Levels", "code_values", "enlarged", "rgb_of_codes"]

Codes: TypeAlias = "npt.NDArray[np.uint8] | npt.NDArray[np.uint16]"
Plane: TypeAlias = "npt.NDArray[np.float32]"

_PLANAR: Final = re.compile(
    r"(?P<kind>yuvj|yuva|yuv|gbra|gbr)(?P<sub>4[0-4][0-4])?p(?P<bits>\d{1,2})?(?:le)?"
    r"|(?P<gray>gray)(?P<gray_bits>\d{1,2})?(?:le)?"
)
_PACKED: Final = re.compile(r"(?P<order>[rgba0]{3,4})(?P<size>24|48le|64le)?")
_SHIFTS: Final = {"444": (0, 0), "422": (1, 0), "420": (1, 1), "440": (0, 1), "411": (2, 0),
                  "410": (2, 2)}  # fmt: skip


class CodePlane(Protocol):
    """A plane of a decoded frame."""

    @property
    def width(self) -> int:
        """Pixels per row."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def line_size(self) -> int:
        """Bytes from one row to the next."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Return the bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """The memory layout of a pixel format.

    Args:
        name: FFmpeg's name.
        channels: ``Y``, ``Cb``, ``Cr`` or ``R``, ``G``, ``B``, and optionally ``A``: the plane, the
            offset in it and the step from one pixel to the next, in code values.
        bits: Bits of one code value; more than 8 are stored in 16.
        chroma_shift: Chroma has 1 / 2**shift of the columns and rows.
        is_full_range: Whether the format implies full range (JPEG's).
    """

    name: str
    channels: Mapping[str, tuple[int, int, int]]
    bits: int
    chroma_shift: tuple[int, int]
    is_full_range: bool

    @classmethod
    def parse(cls, name: str, *, path: str) -> Layout:
        """Read the name of a pixel format.

        Raises:
            ImageUnsupported: The format is not supported (float, big-endian, palette, Bayer).
        """
        planar = _PLANAR.fullmatch(name)
        if planar is not None:
            layout = _planar(name, planar)
            if layout is not None:
                return layout
        packed = _PACKED.fullmatch(name)
        letters = [] if packed is None else [c for c in packed["order"] if c != "0"]
        if (
            packed is not None
            and {"r", "g", "b"} <= set(letters)
            and len(letters) == len(set(letters))
        ):
            step = len(packed["order"])
            at = {letter.upper(): (0, packed["order"].index(letter), step) for letter in letters}
            bits = 16 if packed["size"] in ("48le", "64le") else 8
            return cls(name, at, bits, (0, 0), is_full_range=False)
        raise ImageUnsupported(
            f"{path} has the pixel format {name}, which is not supported",
            hint="convert it to ProRes, DNxHR or H.264, or to an image sequence",
        )

    @property
    def is_ycbcr(self) -> bool:
        """Whether color is coded with a matrix."""
        return "Cb" in self.channels


def _planar(name: str, match: re.Match[str]) -> Layout | None:
    if match["gray"]:
        bits = int(match["gray_bits"] or 8)
        return Layout(name, {"Y": (0, 0, 1)}, bits, (0, 0), is_full_range=False)
    kind, sub, bits = match["kind"], match["sub"], int(match["bits"] or 8)
    order = ("G", "B", "R") if kind.startswith("gbr") else ("Y", "Cb", "Cr")
    if not 8 <= bits <= 16 or (sub is None) != kind.startswith("gbr"):
        return None
    if sub is not None and sub not in _SHIFTS:
        return None
    names = (*order, "A") if kind in ("yuva", "gbra") else order
    channels = {channel: (plane, 0, 1) for plane, channel in enumerate(names)}
    return Layout(name, channels, bits, _SHIFTS[sub or "444"], is_full_range=kind == "yuvj")


@dataclass(frozen=True, slots=True)
class Levels:
    """The code values of black, white and neutral.

    Source: ITU-T H.273 (07/2021), section 8.3: equations 2 to 14.
    """

    bits: int
    is_full_range: bool

    def luma(self, codes: Codes) -> Plane:
        """Return luma or an RGB component: black is 0, white 1."""
        if self.is_full_range:
            return _scaled(codes, 0.0, float(2**self.bits - 1))
        unit = float(2 ** (self.bits - 8))
        return _scaled(codes, 16.0 * unit, 219.0 * unit)

    def chroma(self, codes: Codes) -> Plane:
        """Return a color difference: -0.5 to 0.5, neutral is 0."""
        middle = float(2 ** (self.bits - 1))
        span = 2**self.bits - 1 if self.is_full_range else 224 * 2 ** (self.bits - 8)
        return _scaled(codes, middle, float(span))

    def alpha(self, codes: Codes) -> Plane:
        """Return alpha, which always has the full range."""
        return _scaled(codes, 0.0, float(2**self.bits - 1))


def _scaled(codes: Codes, zero: float, span: float) -> Plane:
    plane = codes.astype(np.float32)
    if zero:
        plane -= np.float32(zero)
    plane /= np.float32(span)
    return plane


def code_values(planes: Sequence[CodePlane], layout: Layout) -> dict[str, Codes]:
    """Return the code values of a frame's channels, as views of its memory.

    Raises:
        ImageUnreadable: A plane is smaller than its format needs.
    """
    codes_by_channel: dict[str, Codes] = {}
    for channel, (index, offset, step) in layout.channels.items():
        plane = planes[index]
        data = memoryview(plane)
        codes: Codes = (
            np.frombuffer(data, np.uint8)
            if layout.bits == 8
            else np.frombuffer(data, np.dtype("<u2"))
        )
        row = plane.line_size // codes.dtype.itemsize
        if row < plane.width * step or codes.size < row * plane.height:
            raise ImageUnreadable(
                f"a plane of {plane.width}x{plane.height} pixels has only {codes.nbytes} bytes",
                hint="copy or export the movie again",
            )
        rows = codes[: row * plane.height].reshape(plane.height, row)
        codes_by_channel[channel] = rows[:, offset : plane.width * step : step]
    return codes_by_channel


def rgb_of_codes(
    codes: Mapping[str, Codes],
    layout: Layout,
    *,
    levels: Levels,
    matrix: Matrix | None,
    siting: ChromaSiting,
) -> dict[str, Plane]:
    """Return red, green, blue and, if there is one, alpha: float32 (H, W), still encoded.

    Source: ITU-T H.273 (07/2021), section 8.3, equations 38 to 40, solved for R'G'B'.

    Args:
        codes: Result of ``code_values``.
        layout: The frame's layout.
        levels: The frame's levels.
        matrix: The weights of its luma; None without chroma.
        siting: Its chroma siting.
    """
    alpha = {"A": levels.alpha(codes["A"])} if "A" in codes else {}
    if "R" in codes:
        return {name: levels.luma(codes[name]) for name in "RGB"} | alpha
    luma = levels.luma(codes["Y"])
    if "Cb" not in codes or matrix is None:
        return {"R": luma, "G": luma.copy(), "B": luma.copy()} | alpha
    blue, red = (
        _full_size(levels.chroma(codes[name]), luma.shape, layout.chroma_shift, siting)
        for name in ("Cb", "Cr")
    )
    green_weight = 1.0 - matrix.red - matrix.blue
    red *= np.float32(2.0 * (1.0 - matrix.red))
    blue *= np.float32(2.0 * (1.0 - matrix.blue))
    green = luma - np.float32(matrix.red / green_weight) * red
    green -= np.float32(matrix.blue / green_weight) * blue
    red += luma
    blue += luma
    return {"R": red, "G": green, "B": blue} | alpha


def _full_size(
    chroma: Plane, shape: tuple[int, ...], shift: tuple[int, int], siting: ChromaSiting
) -> Plane:
    rows = enlarged(chroma, 1 << shift[1], place=siting.y, length=shape[0])
    columns = enlarged(rows.T, 1 << shift[0], place=siting.x, length=shape[1])
    return np.ascontiguousarray(columns.T)


def enlarged(plane: Plane, factor: int, *, place: float, length: int) -> Plane:
    """Return a plane with ``factor`` times the rows, by Catmull-Rom interpolation.

    A sample that lies on a pixel is returned unchanged; the edges are extended by repetition.

    Source: Catmull and Rom, "A class of local interpolating splines" (1974); Keys, "Cubic
    convolution interpolation for digital image processing" (1981), a = -1/2.

    Args:
        plane: (h, w), float32.
        factor: 1, 2 or 4.
        place: Position of the first sample among its ``factor`` rows: 0 the first, 1 the last.
        length: Number of rows to return, at most ``h * factor``.
    """
    if factor == 1:
        return plane[:length].copy()
    height = plane.shape[0]
    padded = np.pad(plane, ((2, 2), (0, 0)), mode="edge")
    result = np.empty((height * factor, plane.shape[1]), np.float32)
    for phase in range(factor):
        at = (phase - place * (factor - 1)) / factor
        base = int(np.floor(at))
        out = result[phase::factor]
        out[...] = 0.0
        for tap, weight in enumerate(_catmull_rom(at - base)):
            if weight:
                start = 2 + base - 1 + tap
                out += np.float32(weight) * padded[start : start + height]
    return result[:length]


def _catmull_rom(t: float) -> tuple[float, float, float, float]:
    """Return the weights of the samples at -1, 0, 1 and 2 for a place ``t`` between 0 and 1."""
    return (
        -0.5 * t**3 + t**2 - 0.5 * t,
        1.5 * t**3 - 2.5 * t**2 + 1.0,
        -1.5 * t**3 + 2.0 * t**2 + 0.5 * t,
        0.5 * t**3 - 0.5 * t**2,
    )
