"""The codes that plates were rounded in: curves, primaries, Y'CbCr.

A step is equally wide everywhere only in the code that was rounded, so whatever was undone to make
the plate scene-linear is done again here. Nothing is rounded and nothing clamps.

Sources: ITU-R BT.709-6 sections 3.2 to 3.5; ITU-R BT.1886; Sony, "Technical Summary for
S-Gamut3.Cine/S-Log3 and S-Gamut3/S-Log3"; ARRI, "ALEXA Log C Curve" (EI 800); Panasonic,
"V-Log/V-Gamut Reference Manual". The matrices are those of OpenColorIO's built-in configs, with
which plates are decoded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.rendering.display_curves_tensor import Encoding, decode_display, encode_display

__all__ = ["CODES", "Code", "Coding"]

_Curve = Callable[[Tensor], Tensor]
_Matrix = tuple[tuple[float, float, float], ...]

_CHROMA_SPACING_PX = 4
"""A step of halved chroma, enlarged again, takes this many pixels."""


def _inverse(matrix: _Matrix) -> _Matrix:
    return _rows(torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64)))


def _rows(matrix: Tensor) -> _Matrix:
    return tuple((float(row[0]), float(row[1]), float(row[2])) for row in matrix)


@dataclass(frozen=True, slots=True)
class Code:
    """One way of encoding scene-linear light.

    Attributes:
        encode: From linear to code; white of a display curve is 1.
        decode: Its inverse.
        primaries: The matrix from scene-linear Rec.709 to the code's primaries; None for
            Rec.709.
    """

    encode: _Curve
    decode: _Curve
    primaries: _Matrix | None = None


def _odd(curve: _Curve) -> _Curve:
    """Return the curve mirrored below zero."""
    return lambda values: torch.copysign(curve(values.abs()), values)


def _power(exponent: float) -> Code:
    return Code(_odd(lambda x: x ** (1.0 / exponent)), _odd(lambda v: v**exponent))


def _display(encoding: Encoding) -> Code:
    return Code(
        partial(encode_display, encoding=encoding), partial(decode_display, encoding=encoding)
    )


@dataclass(frozen=True, slots=True)
class _Log:
    """``gain * log10(scale * x + shift) + lift``, ``slope * x + black`` at ``cut`` and below."""

    gain: float
    scale: float
    shift: float
    lift: float
    cut: float
    slope: float
    black: float

    def encode(self, x: Tensor) -> Tensor:
        """Return codes; the straight part goes on below zero."""
        log = torch.log10((self.scale * x + self.shift).clamp(min=1e-6))
        return torch.where(x > self.cut, self.gain * log + self.lift, self.slope * x + self.black)

    def decode(self, v: Tensor) -> Tensor:
        """Return linear values."""
        power = torch.exp((v - self.lift) * (math.log(10.0) / self.gain)) - self.shift
        end = self.slope * self.cut + self.black
        return torch.where(v > end, power / self.scale, (v - self.black) / self.slope)

    def with_primaries(self, primaries: _Matrix) -> Code:
        """Return the curve as a code of a camera's primaries."""
        return Code(self.encode, self.decode, primaries)


_SLOG3 = _Log(
    gain=261.5 / 1023.0,
    scale=1.0 / 0.19,
    shift=0.01 / 0.19,
    lift=420.0 / 1023.0,
    cut=0.01125,
    slope=(171.2102946929 - 95.0) / 0.01125 / 1023.0,
    black=95.0 / 1023.0,
)
_LOGC3 = _Log(0.247190, 5.555556, 0.052272, 0.385537, 0.010591, 5.367655, 0.092809)
_VLOG = _Log(0.241514, 1.0, 0.00873, 0.598206, 0.01, 5.6, 0.125)

_SGAMUT3: _Matrix = (
    (0.56607425, 0.34136664, 0.09255911),
    (0.07713879, 0.79793046, 0.12493075),
    (0.02247549, 0.11139805, 0.86612646),
)
_SGAMUT3_CINE: _Matrix = (
    (0.64567898, 0.25772272, 0.09659830),
    (0.08770133, 0.75872398, 0.15357468),
    (0.03708068, 0.13187930, 0.83104002),
)
_ARRI_WIDE_GAMUT3: _Matrix = (
    (0.63132483, 0.26942584, 0.09924933),
    (0.03700574, 0.79216275, 0.17083151),
    (0.01749920, 0.15139203, 0.83110877),
)
_VGAMUT: _Matrix = (
    (0.58519615, 0.32264162, 0.09216223),
    (0.07858857, 0.81962711, 0.10178432),
    (0.02279424, 0.11421702, 0.86298874),
)

CODES: dict[str, Code] = {
    "srgb": _display("srgb"),
    "bt709": _display("bt709"),
    "gamma22": _power(2.2),
    "gamma24": _power(2.4),
    "slog3": _SLOG3.with_primaries(_SGAMUT3),
    "slog3_cine": _SLOG3.with_primaries(_SGAMUT3_CINE),
    "logc3": _LOGC3.with_primaries(_ARRI_WIDE_GAMUT3),
    "vlog": _VLOG.with_primaries(_VGAMUT),
}
"""The codes under the names that the card offers."""

_YCBCR: _Matrix = (
    REC709_LUMA,
    (-REC709_LUMA[0] / 1.8556, -REC709_LUMA[1] / 1.8556, 0.5),
    (0.5, -REC709_LUMA[1] / 1.5748, -REC709_LUMA[2] / 1.5748),
)
"""From R'G'B' to Y'CbCr. Source: ITU-R BT.709-6 sections 3.2 and 3.3."""
_RGB = _inverse(_YCBCR)


@dataclass(frozen=True, slots=True)
class Coding:
    """A code with a number of bits, as RGB or as Y'CbCr.

    Attributes:
        code: A key of ``CODES``.
        bits: Bits of one sample.
        is_ycbcr: False: red, green and blue over the full range of codes. True: BT.709 Y'CbCr
            of 16..235 and 16..240 (at 8 bits), chroma halved.
    """

    code: str
    bits: int
    is_ycbcr: bool = False

    @property
    def planes(self) -> tuple[tuple[slice, int], ...]:
        """Which planes are looked at together, and over how many pixels a step is spread."""
        if self.is_ycbcr:
            return (slice(0, 1), 1), (slice(1, 3), _CHROMA_SPACING_PX)
        return ((slice(0, 3), 1),)

    def to_steps(self, linear: Tensor) -> Tensor:
        """Return (1, 3, H, W) in code steps from scene-linear Rec.709."""
        code = CODES[self.code]
        native = linear if code.primaries is None else _mixed(linear, code.primaries)
        signal = code.encode(native)
        if self.is_ycbcr:
            return _mixed(signal, _YCBCR) * self._spans(signal)
        return signal * float((1 << self.bits) - 1)

    def from_steps(self, steps: Tensor) -> Tensor:
        """Return (1, 3, H, W) scene-linear Rec.709; the inverse of ``to_steps``."""
        code = CODES[self.code]
        if self.is_ycbcr:
            signal = _mixed(steps / self._spans(steps), _RGB)
        else:
            signal = steps / float((1 << self.bits) - 1)
        native = code.decode(signal)
        return native if code.primaries is None else _mixed(native, _inverse(code.primaries))

    def _spans(self, like: Tensor) -> Tensor:
        unit = 2.0 ** (self.bits - 8)
        spans = torch.tensor([219.0, 224.0, 224.0], dtype=like.dtype, device=like.device)
        return (unit * spans).view(1, 3, 1, 1)


def _mixed(planes: Tensor, matrix: _Matrix) -> Tensor:
    """Return (1, 3, H, W) with a matrix applied to each pixel."""
    red, green, blue = planes.unbind(dim=1)
    return torch.stack([row[0] * red + row[1] * green + row[2] * blue for row in matrix], dim=1)
