"""Measures of a clip: flicker between frames, and ghosts of another shot across a cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kwaflux_models.evaluation.metrics.display_values import luma

__all__ = ["flicker", "ghost"]

Array = NDArray[np.float32]


def flicker(clip: Array, clean: Array) -> float:
    """Return the RMS of what changes from frame to frame and does not in the clean clip.

    Args:
        clip: (T, H, W, 3) shown, T at least 2.
        clean: The same frames, clean: their motion is taken out.

    Returns:
        Units of the display's range; 0 for a clip that differs from the clean one by the same
        picture in every frame.
    """
    error = luma(clip) - luma(clean)
    return float(np.sqrt(np.mean(np.square(np.diff(error, axis=0), dtype=np.float64))))


def ghost(picture: Array, clean: Array, other: Array) -> float:
    """Return the share of another picture that shines through.

    Args:
        picture: (H, W, 3) shown, a frame beside a cut.
        clean: What it should be.
        other: The clean frame from across the cut.

    Returns:
        The least-squares weight w of ``picture - clean = w * (other - clean)``: 0 for none, 0.1
        where a tenth of the other shot was blended in.
    """
    towards = (luma(other) - luma(clean)).astype(np.float64)
    error = luma(picture) - luma(clean)
    energy = float(np.sum(towards * towards))
    return float(np.sum(error * towards)) / energy if energy > 0.0 else 0.0
