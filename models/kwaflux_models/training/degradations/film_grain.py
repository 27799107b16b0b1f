"""Film grain: noise of a size, strongest in the middle tones, alike in part in all channels.

Source: J. Yan, P. Campisi and D. Hatzinakos, "Film grain noise modeling in advanced video coding",
SPIE VCIP 2007, for grain as filtered noise scaled by the level; the ranges are stated constants.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from kwaflux_models.training.degradations.sensor_noise import Array

__all__ = ["film_grain"]


def film_grain(
    code: Array, rng: np.random.Generator, *, sigma: float, size_px: float, gray: float = 0.5
) -> Array:
    """Return a display-encoded picture with grain.

    Args:
        code: (H, W, 3), 0..1.
        rng: The random generator.
        sigma: The standard deviation at the middle tone.
        size_px: Diameter of a grain, at least 1, which is white noise: the root of the sum of the
            squared autocorrelation.
        gray: 0..1, part of the grain that all channels share.
    """
    # Behind a Gaussian filter of deviation s the squared autocorrelation sums up to 2 pi s^2.
    spread = 0.0 if size_px <= 1.0 else size_px / np.sqrt(2.0 * np.pi)
    noise = rng.standard_normal(code.shape, dtype=np.float32)
    noise = np.sqrt(1.0 - gray) * noise + np.sqrt(gray) * rng.standard_normal(
        (*code.shape[:2], 1), dtype=np.float32
    )
    if spread:
        noise = gaussian_filter(noise, (spread, spread, 0.0))
    noise = noise / noise.std()
    level = np.clip(code, 0.0, 1.0)
    strength = 0.4 + 2.4 * level * (1.0 - level)
    return np.asarray(code + sigma * strength * noise, np.float32)
