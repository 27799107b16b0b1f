"""Bayer mosaics: masks, and the interpolation of a raw image to RGB.

Source: H. Malvar et al., "High-quality linear interpolation for demosaicing of Bayer-patterned
color images", ICASSP 2004.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

__all__ = ["bayer_mask", "demosaic"]

Array = NDArray[np.float32]


def bayer_mask(height: int, width: int, phase: int) -> Array:
    """Return (H, W, 3) of 0 and 1: which color each photosite sees."""
    mask = np.zeros((height, width, 3), dtype=np.float32)
    top, left = phase // 2, phase % 2
    mask[top::2, left::2, 0] = 1.0
    mask[1 - top :: 2, 1 - left :: 2, 2] = 1.0
    mask[..., 1] = 1.0 - mask[..., 0] - mask[..., 2]
    return mask


_CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], dtype=np.float32) / 4.0
_SQUARE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32) / 4.0
# Malvar's linear filters, in units of 1/8.
_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
    dtype=np.float32,
)
_ALONG_ROW = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
    dtype=np.float32,
)
_DIAGONAL = np.array(
    [
        [0, 0, -1.5, 0, 0],
        [0, 2, 0, 2, 0],
        [-1.5, 0, 6, 0, -1.5],
        [0, 2, 0, 2, 0],
        [0, 0, -1.5, 0, 0],
    ],
    dtype=np.float32,
)


def demosaic(raw: Array, mask: Array, *, is_linear: bool) -> Array:
    """Interpolate a Bayer picture to RGB.

    Args:
        raw: (H, W) linear, balanced.
        mask: (H, W, 3) of 0 and 1: the color of each photosite.
        is_linear: True for bilinear interpolation, False for Malvar's filters.
    """
    if is_linear:
        kernels = (_SQUARE, _CROSS, _SQUARE)
        planes = [convolve(raw * mask[..., c], kernels[c], mode="mirror") for c in range(3)]
        return np.stack(planes, axis=-1)
    green = convolve(raw, _GREEN / 8.0, mode="mirror")
    row = convolve(raw, _ALONG_ROW / 8.0, mode="mirror")
    column = convolve(raw, _ALONG_ROW.T / 8.0, mode="mirror")
    diagonal = convolve(raw, _DIAGONAL / 8.0, mode="mirror")
    at_red, at_green, at_blue = (mask[..., c] for c in range(3))
    red_rows = at_red.max(axis=1, keepdims=True) > 0.0
    red = np.where(red_rows, row, column)
    blue = np.where(red_rows, column, row)
    return np.stack(
        [
            at_red * raw + at_green * red + at_blue * diagonal,
            at_green * raw + (1.0 - at_green) * green,
            at_blue * raw + at_green * blue + at_red * diagonal,
        ],
        axis=-1,
    ).astype(np.float32)
