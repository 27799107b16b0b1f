"""Display curves in torch: what people's networks were trained on, and what scores are counted in.

Source: IEC 61966-2-1 (sRGB), ITU-R BT.709-6 section 1.2.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

__all__ = ["Encoding", "decode_display", "encode_display"]

Encoding: TypeAlias = Literal["srgb", "bt709", "linear"]


def encode_display(linear: Tensor, encoding: Encoding) -> Tensor:
    """Return code values of scene-linear ones; odd below 0, extended above 1, 1 stays 1."""
    if encoding == "linear":
        return linear
    size = linear.abs()
    if encoding == "srgb":
        code = torch.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055)
    else:
        code = torch.where(size < 0.018, 4.5 * size, 1.099 * size**0.45 - 0.099)
    return torch.copysign(code, linear)


def decode_display(code: Tensor, encoding: Encoding) -> Tensor:
    """Return scene-linear values; the inverse of ``encode_display``."""
    if encoding == "linear":
        return code
    size = code.abs()
    if encoding == "srgb":
        linear = torch.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    else:
        linear = torch.where(size < 0.081, size / 4.5, ((size + 0.099) / 1.099) ** (1 / 0.45))
    return torch.copysign(linear, code)
