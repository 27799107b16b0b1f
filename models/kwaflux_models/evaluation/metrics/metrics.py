"""Say how close a picture is to the clean one, and whether it looks alive.

Works on numpy arrays; must not know effects, cases or files.

Every measure is taken on what a viewer sees: sRGB-encoded values clipped to 0..1 (`shown`), as (H,
W, 3) float32. Luma is the BT.601 weighting of those values, as the papers take it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, correlate1d
from skimage.metrics import structural_similarity

from kwaflux_core.color.display_curves import display_encode

__all__ = [
    "PSNR_CAP_DB",
    "Scores",
    "flicker",
    "ghost",
    "gmsd",
    "luma",
    "ms_ssim",
    "psnr_db",
    "score",
    "shown",
    "ssim",
    "texture_ratio",
]

Array = NDArray[np.float32]

PSNR_CAP_DB = 60.0
"""What equal pictures score; nobody sees a difference beyond it."""

_BLOCK_PX = 16
_TEXTURED = 2e-4
"""Mean squared Laplacian from which a block of the clean picture counts as textured."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Scores:
    """Hold the measures of one picture.

    Args:
        psnr: dB over red, green and blue, capped at `PSNR_CAP_DB`.
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


def shown(linear: Array) -> Array:
    """Return scene-linear Rec.709 values as an sRGB display shows them, 0..1."""
    return np.clip(display_encode(linear, "srgb"), 0.0, 1.0)


def luma(picture: Array) -> Array:
    """Return (..., H, W) luma of an (..., H, W, 3) picture."""
    return np.asarray(picture @ _LUMA, dtype=np.float32)


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
            x, y = _halved(x), _halved(y)
        mean_x, mean_y = _blur(x), _blur(y)
        var_x = _blur(x * x) - mean_x**2
        var_y = _blur(y * y) - mean_y**2
        both = _blur(x * y) - mean_x * mean_y
        similar = (2.0 * both + 0.03**2) / (var_x + var_y + 0.03**2)
        if scale == len(_SCALES) - 1:
            similar *= (2.0 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        total *= max(float(similar.mean()), 0.0) ** exponent
    return total


def _halved(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plane at half its size, by area."""
    height, width = (side // 2 * 2 for side in plane.shape)
    cut = plane[:height, :width]
    return np.asarray(cut.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))


def gmsd(picture: Array, clean: Array) -> float:
    """Return the gradient magnitude similarity deviation of luma; 0 is the clean picture.

    Source: W. Xue et al., "Gradient magnitude similarity deviation: a highly efficient perceptual
    image quality index", IEEE TIP 2014: Prewitt gradients of the picture halved by area, constant
    170 in units of 1/255 squared.
    """
    constant = 170.0 / 255.0**2
    first, second = (_gradient(_halved(luma(p).astype(np.float64))) for p in (picture, clean))
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


def score(picture: Array, clean: Array) -> Scores:
    """Return every measure of a shown picture against the shown clean one."""
    return Scores(
        psnr_db(picture, clean),
        ssim(picture, clean),
        ms_ssim(picture, clean),
        gmsd(picture, clean),
        texture_ratio(picture, clean),
    )
