"""Pictures as a viewer sees them: sRGB-encoded values clipped to 0..1, and their luma.

Luma is the BT.601 weighting of the encoded values, as the papers of the measures take it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.color.display_curves import display_encode

__all__ = ["halved", "luma", "shown"]

Array = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def shown(linear: Array) -> Array:
    """Return scene-linear Rec.709 values as an sRGB display shows them, 0..1."""
    return np.clip(display_encode(linear, "srgb"), 0.0, 1.0)


def luma(picture: Array) -> Array:
    """Return (..., H, W) luma of an (..., H, W, 3) picture."""
    return np.asarray(picture @ _LUMA, dtype=np.float32)


def halved(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plane at half its size, by area."""
    height, width = (side // 2 * 2 for side in plane.shape)
    cut = plane[:height, :width]
    return np.asarray(cut.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))
