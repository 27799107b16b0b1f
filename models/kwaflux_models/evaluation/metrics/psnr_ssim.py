"""PSNR, SSIM and multi-scale SSIM of a shown picture, (H, W, 3) float32, against the clean one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from skimage.metrics import structural_similarity

from kwaflux_models.evaluation.metrics.display_values import halved, luma

__all__ = ["PSNR_CAP_DB", "ms_ssim", "psnr_db", "ssim"]

Array = NDArray[np.float32]

PSNR_CAP_DB = 60.0
"""What equal pictures score; nobody sees a difference beyond it."""


def psnr_db(picture: Array, clean: Array, *, cap_db: float = PSNR_CAP_DB) -> float:
    """Return the peak signal-to-noise ratio in dB, at most ``cap_db``."""
    error = float(np.mean(np.square(picture.astype(np.float64) - clean)))
    return cap_db if error <= 0.0 else min(cap_db, -10.0 * math.log10(error))


def ssim(picture: Array, clean: Array) -> float:
    """Return the mean structural similarity over the channels.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004; Gaussian window of 1.5 px, population covariance.
    """
    value = structural_similarity(  # type: ignore[no-untyped-call]
        picture,
        clean,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plane under the 11 px Gaussian window, without its border of 5 px."""
    weights = _WINDOW / _WINDOW.sum()
    smooth = convolve1d(convolve1d(plane, weights, axis=0), weights, axis=1)
    return np.asarray(smooth[5:-5, 5:-5])


def ms_ssim(picture: Array, clean: Array) -> float:
    """Return the multi-scale structural similarity of luma; sides of at least 176 px.

    Source: Z. Wang, E. Simoncelli, A. Bovik, "Multi-scale structural similarity for image quality
    assessment", Asilomar 2003: five scales, halved by area; a contrast term below 0 counts as 0.

    Raises:
        ValueError: the picture is too small for five scales.
    """
    x, y = luma(picture).astype(np.float64), luma(clean).astype(np.float64)
    if min(x.shape) < 11 * 2 ** (len(_SCALES) - 1):
        raise ValueError(f"{x.shape[1]} x {x.shape[0]} pixels are too few for five scales")
    total = 1.0
    for scale, exponent in enumerate(_SCALES):
        if scale:
            x, y = halved(x), halved(y)
        mean_x, mean_y = _blur(x), _blur(y)
        var_x = _blur(x * x) - mean_x**2
        var_y = _blur(y * y) - mean_y**2
        both = _blur(x * y) - mean_x * mean_y
        similar = (2.0 * both + 0.03**2) / (var_x + var_y + 0.03**2)
        if scale == len(_SCALES) - 1:
            similar *= (2.0 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        total *= max(float(similar.mean()), 0.0) ** exponent
    return total
