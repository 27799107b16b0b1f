"""Display curves on arrays: sRGB, BT.709, a gamma of 2.4, and a log curve; odd below 0, unclamped.

Sources: IEC 61966-2-1 (sRGB); ITU-R BT.709-6, section 1.2.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOG_PEAK", "Curve", "display_decode", "display_encode"]

Array: TypeAlias = NDArray[np.float32]
Curve: TypeAlias = Literal["srgb", "bt709", "gamma24", "log"]

LOG_PEAK = 8.0
"""Scene-linear value at code value 1 of the log curve."""


def display_encode(linear: Array, curve: Curve) -> Array:
    """Encode scene-linear values for a display; odd below 0, extended above 1."""
    size = np.abs(linear).astype(np.float32)
    if curve == "srgb":
        code = np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055)
    elif curve == "bt709":
        code = np.where(size < 0.018, 4.5 * size, 1.099 * size**0.45 - 0.099)
    elif curve == "gamma24":
        code = size ** (1 / 2.4)
    else:
        code = np.log1p(200.0 * size) / np.log1p(200.0 * LOG_PEAK)
    return np.asarray(np.copysign(code, linear), dtype=np.float32)


def display_decode(code: Array, curve: Curve) -> Array:
    """Undo `display_encode`."""
    size = np.abs(code).astype(np.float32)
    if curve == "srgb":
        linear = np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    elif curve == "bt709":
        linear = np.where(size < 0.081, size / 4.5, ((size + 0.099) / 1.099) ** (1 / 0.45))
    elif curve == "gamma24":
        linear = size**2.4
    else:
        linear = np.expm1(size * np.log1p(200.0 * LOG_PEAK)) / 200.0
    return np.asarray(np.copysign(linear, code), dtype=np.float32)
