"""Display curves in torch: the encodings that networks are trained on and scores are counted in.

``kwaflux_core.color.display_curves`` has the same curves for numpy arrays.

Source: IEC 61966-2-1 (sRGB), ITU-R BT.709-6 section 1.2.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

__all__ = [
    "Encoding",
    "decode_display",
    "decode_srgb",
    "encode_display",
    "encode_srgb",
    "srgb_slope",
]

Encoding: TypeAlias = Literal["srgb", "bt709", "linear"]

_SRGB_BREAK = 0.0031308
_SRGB_BREAK_CODE = 0.04045


def encode_srgb(linear: Tensor) -> Tensor:
    """Return sRGB code values; the straight part goes on below 0, the power above 1."""
    # Held to the break, so that the branch that is not taken has a finite gradient.
    power = 1.055 * linear.clamp_min(_SRGB_BREAK) ** (1.0 / 2.4) - 0.055
    return torch.where(linear <= _SRGB_BREAK, 12.92 * linear, power)


def decode_srgb(code: Tensor) -> Tensor:
    """Return linear values; the inverse of ``encode_srgb``."""
    power = ((code.clamp_min(_SRGB_BREAK_CODE) + 0.055) / 1.055) ** 2.4
    return torch.where(code <= _SRGB_BREAK_CODE, code / 12.92, power)


def srgb_slope(code: Tensor) -> Tensor:
    """Return the derivative of ``decode_srgb``."""
    power = (2.4 / 1.055) * ((code.clamp_min(_SRGB_BREAK_CODE) + 0.055) / 1.055) ** 1.4
    return torch.where(code <= _SRGB_BREAK_CODE, torch.full_like(code, 1.0 / 12.92), power)


def encode_display(linear: Tensor, encoding: Encoding) -> Tensor:
    """Return code values of scene-linear ones; odd below 0, extended above 1, 1 stays 1."""
    if encoding == "linear":
        return linear
    size = linear.abs()
    if encoding == "srgb":
        code = encode_srgb(size)
    else:
        code = torch.where(size < 0.018, 4.5 * size, 1.099 * size**0.45 - 0.099)
    return torch.copysign(code, linear)


def decode_display(code: Tensor, encoding: Encoding) -> Tensor:
    """Return scene-linear values; the inverse of ``encode_display``."""
    if encoding == "linear":
        return code
    size = code.abs()
    if encoding == "srgb":
        linear = decode_srgb(size)
    else:
        linear = torch.where(size < 0.081, size / 4.5, ((size + 0.099) / 1.099) ** (1 / 0.45))
    return torch.copysign(linear, code)
