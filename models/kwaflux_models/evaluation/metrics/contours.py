"""Measure false contours: steps in a picture where its reference has a gradient.

Where the reference is smooth, differences between pixels are compared with the same differences of
the reference, over 1 to 16 pixels: a staircase in place of a ramp has too large ones at its steps
and none between them, at every span up to the width of a step. Wide spans are needed because a
contour that is blurred a little has small differences between neighbors and is seen as before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

__all__ = ["SPANS_PX", "contour_reduction", "false_contour_energy", "smooth_areas"]

Array = NDArray[np.float32]

SPANS_PX = (1, 2, 4, 8, 16)
"""Distances over which differences are compared."""
_AROUND_PX = 9
_SMOOTH_STEPS = 0.5


def smooth_areas(reference: Array, *, step: float) -> NDArray[np.bool_]:
    """Return where a reference is smooth: within 4 pixels no neighbors differ by half a step.

    Args:
        reference: (H, W, C), display-encoded, not rounded.
        step: The width of a code step in the same units, such as 1/255.

    Returns:
        (H, W, C).
    """
    steep = np.zeros(reference.shape, dtype=np.float32)
    for axis in (0, 1):
        apart = np.abs(np.diff(reference, axis=axis, append=reference.take([-1], axis=axis)))
        np.maximum(steep, apart, out=steep)
    around = maximum_filter(steep, size=(_AROUND_PX, _AROUND_PX, 1))
    return np.asarray(around < _SMOOTH_STEPS * step)


def false_contour_energy(picture: Array, reference: Array, *, step: float) -> float:
    """Return the energy of false contours in steps squared; 0 for the reference itself.

    Over each of ``SPANS_PX`` and both axes, the mean over the smooth areas of the squared error of
    the difference between two pixels; the sum of these means. A staircase with wide steps in
    place of a ramp has about 2.

    Args:
        picture: (H, W, C), display-encoded, 0..1.
        reference: The same, not rounded.
        step: The width of a code step in the same units.
    """
    is_smooth = smooth_areas(reference, step=step)
    error = (picture.astype(np.float64) - reference) / step
    total = 0.0
    for span in SPANS_PX:
        for axis in (0, 1):
            if error.shape[axis] <= span:
                continue
            near, far = _ends(error.shape[axis], span, axis)
            both = is_smooth[near] & is_smooth[far]
            squared = np.square(error[far] - error[near])[both]
            total += float(squared.mean()) if squared.size else 0.0
    return total


def contour_reduction(before: Array, after: Array, reference: Array, *, step: float) -> float:
    """Return the share (up to 1) of the false contours' energy that is gone; 0 without any.

    Args:
        before: (H, W, C), display-encoded, rounded to steps.
        after: The same after an effect.
        reference: The same, not rounded.
        step: The width of a code step.
    """
    banded = false_contour_energy(before, reference, step=step)
    if banded == 0.0:
        return 0.0
    return 1.0 - false_contour_energy(after, reference, step=step) / banded


def _ends(length: int, span: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the indices of the two ends of all pairs that lie ``span`` apart."""
    near, far = slice(0, length - span), slice(span, length)
    whole = slice(None)
    return ((near, whole), (far, whole)) if axis == 0 else ((whole, near), (whole, far))
