"""Measure high dynamic range pictures in perceptually uniform units.

Linear values can't be compared by squares: one sun outweighs the rest of the picture. PU21 maps
light in cd/m2 to units in which a difference is about as visible at any level; 100 cd/m2 stand at
256, which is therefore the peak of the PSNR, as in the authors' own metric.

Source: R. K. Mantiuk and M. Azimi, "PU21: A novel perceptually uniform encoding for adapting
existing quality metrics for HDR", Picture Coding Symposium 2021; the coefficients are the published
ones of the variant "banding_glare", which the authors recommend.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["PEAK", "RANGE_CD_M2", "pu21_encode", "pu21_psnr"]

Array = NDArray[np.float32]

PEAK = 256.0
"""What the PSNR takes for white: PU21 of 100 cd/m2, about."""
RANGE_CD_M2 = (0.005, 10_000.0)
"""Light outside is held to these ends, as the encoding was fitted between them."""

_P = (
    0.353487901,
    0.3734658629,
    8.277049286e-05,
    0.9062562627,
    0.09150303166,
    0.9099517204,
    596.3148142,
)


def pu21_encode(light: Array) -> NDArray[np.float64]:
    """Map light to perceptually uniform units.

    Args:
        light: Any shape, in cd/m2; held to ``RANGE_CD_M2``.

    Returns:
        The same shape: 0 at 0.005 cd/m2, 256 at about 100, 595 at 10,000.
    """
    held = np.clip(light.astype(np.float64), *RANGE_CD_M2)
    power = held ** _P[3]
    ratio = (_P[0] + _P[1] * power) / (1.0 + _P[2] * power)
    return np.asarray(_P[6] * (ratio ** _P[4] - _P[5]), dtype=np.float64)


def pu21_psnr(picture: Array, reference: Array, *, white_cd_m2: float = 100.0) -> float:
    """Return the PSNR of scene-linear pictures in PU21 units, in dB; at most 100.

    Args:
        picture: (H, W, 3), scene-linear.
        reference: The same, as it should be.
        white_cd_m2: The light that a display shows a linear 1.0 with.
    """
    found, wanted = (pu21_encode(each * np.float32(white_cd_m2)) for each in (picture, reference))
    error = float(np.mean(np.square(found - wanted)))
    return min(100.0, -10.0 * math.log10(max(error / PEAK**2, 1e-10)))
