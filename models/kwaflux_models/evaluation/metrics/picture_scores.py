"""Every measure of one picture: PSNR, SSIM, MS-SSIM, gradient similarity and texture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from kwaflux_models.evaluation.metrics.display_values import halved, luma
from kwaflux_models.evaluation.metrics.psnr_ssim import ms_ssim, psnr_db, ssim

__all__ = ["Scores", "gmsd", "score", "texture_ratio"]

Array = NDArray[np.float32]

_BLOCK_PX = 16
_TEXTURED = 2e-4
"""Mean squared Laplacian from which a block of the clean picture counts as textured."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Hold the measures of one picture.

    Args:
        psnr: dB over red, green and blue, capped at `psnr_ssim.PSNR_CAP_DB`.
        ssim: Mean structural similarity over red, green and blue.
        ms_ssim: Multi-scale structural similarity of luma.
        gmsd: Gradient magnitude similarity deviation of luma; 0 is the clean picture.
        texture: Laplacian energy over the clean picture's, on its textured blocks; NaN where it
            has none.
    """

    psnr: float
    ssim: float
    ms_ssim: float
    gmsd: float
    texture: float


def gmsd(picture: Array, clean: Array) -> float:
    """Return the gradient magnitude similarity deviation of luma; 0 is the clean picture.

    Source: W. Xue et al., "Gradient magnitude similarity deviation: a highly efficient perceptual
    image quality index", IEEE TIP 2014: Prewitt gradients of the picture halved by area, constant
    170 in units of 1/255 squared.
    """
    constant = 170.0 / 255.0**2
    first, second = (_gradient(halved(luma(p).astype(np.float64))) for p in (picture, clean))
    similar = (2.0 * first * second + constant) / (first**2 + second**2 + constant)
    return float(similar.std())


def _gradient(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Prewitt gradient magnitude."""
    box, step = np.full(3, 1 / 3), np.array([1.0, 0.0, -1.0])
    across = correlate1d(correlate1d(plane, step, axis=1), box, axis=0)
    down = correlate1d(correlate1d(plane, step, axis=0), box, axis=1)
    return np.asarray(np.hypot(across, down))


def _block_energy(picture: Array) -> NDArray[np.float64]:
    """Return the mean squared Laplacian of the gray mean for each whole block of 16 x 16."""
    gray = picture.mean(axis=2, dtype=np.float64)
    inner = 4.0 * gray[1:-1, 1:-1]
    inner -= gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
    rows, columns = (side // _BLOCK_PX for side in inner.shape)
    cut = np.square(inner[: rows * _BLOCK_PX, : columns * _BLOCK_PX])
    return np.asarray(cut.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).mean(axis=(1, 3)))


def texture_ratio(picture: Array, clean: Array) -> float:
    """Return the Laplacian energy over the clean picture's, on the clean one's textured blocks.

    1 is natural, below 0.8 looks plastic, above 1 is noise that is left or sharpening. NaN where
    no block of the clean picture is textured.
    """
    wanted = _block_energy(clean)
    is_textured = wanted > _TEXTURED
    if not is_textured.any():
        return math.nan
    return float(_block_energy(picture)[is_textured].sum() / wanted[is_textured].sum())


def score(picture: Array, clean: Array) -> Scores:
    """Return every measure of a shown picture against the shown clean one."""
    return Scores(
        psnr_db(picture, clean),
        ssim(picture, clean),
        ms_ssim(picture, clean),
        gmsd(picture, clean),
        texture_ratio(picture, clean),
    )
