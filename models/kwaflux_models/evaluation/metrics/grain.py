"""Say how alike two grains are: their spectra, their strength at every brightness, their frames.

Works on numpy arrays of grain alone, noisy minus clean; must not know effects, cases or files, nor
how the effect itself measures.

Spectra are mean periodograms of half-overlapping Hann windows (P. Welch, "The use of fast Fourier
transform for the estimation of power spectra", IEEE Trans. Audio Electroacoust. 1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BLOCK_PX",
    "SpectrumDistance",
    "correlation",
    "power_spectrum",
    "spectrum_distance",
    "variance_error_percent",
]

Array = NDArray[np.float32]
Spectra = NDArray[np.float64]

BLOCK_PX = 64
"""Side of the blocks that a spectrum is averaged over."""

_LOWEST = 1.0 / 16.0
"""Cycles a pixel: grain coarser than 16 pixels is not compared."""
_RINGS = 14
"""Rings of 1/32 cycle a pixel, from the lowest frequency to the limit of sampling."""
_SMOOTHED = 5
"""Side in bins, of 1/64 cycle a pixel, over which spectra are averaged before bins are compared."""
_FLOOR = 1e-3
"""Power below this share of the mean is as good as none; -30 dB."""
_LEAST_SHARE = 0.02
"""A band of luma with less of the picture than this is not judged."""


@dataclass(frozen=True, slots=True)
class SpectrumDistance:
    """Hold how far two spectra are apart, in dB, over all channels.

    Args:
        mean: Mean distance over rings of 1/32 cycle a pixel, from 1/16 to 1/2.
        plane: Root mean square over the whole plane above 1/16, direction by direction, of
            spectra averaged over 5 x 5 bins of 1/64 cycle.
    """

    mean: float
    plane: float


def power_spectrum(grain: Array) -> Spectra:
    """Return the power spectrum (C, BLOCK_PX, BLOCK_PX) of grain (H, W, C).

    In the order of a Fourier transform; its mean is the variance of the grain's blocks.
    """
    window = np.hanning(BLOCK_PX + 1)[:-1]
    window = window[:, None] * window
    total = np.zeros((grain.shape[2], BLOCK_PX, BLOCK_PX))
    count = 0
    for top in range(0, grain.shape[0] - BLOCK_PX + 1, BLOCK_PX // 2):
        row = grain[top : top + BLOCK_PX].transpose(2, 0, 1)
        starts = range(0, grain.shape[1] - BLOCK_PX + 1, BLOCK_PX // 2)
        blocks = np.stack([row[:, :, left : left + BLOCK_PX] for left in starts])
        blocks = (blocks - blocks.mean(axis=(2, 3), keepdims=True)) * window
        total += (np.abs(np.fft.fft2(blocks)) ** 2).sum(axis=0)
        count += blocks.shape[0]
    return np.asarray(total / (count * np.square(window).sum()), dtype=np.float64)


def spectrum_distance(made: Array, wanted: Array) -> SpectrumDistance:
    """Return how far the spectrum of one grain is from another's.

    Args:
        made: (H, W, C), at least BLOCK_PX a side.
        wanted: The same shape.
    """
    found, aim = power_spectrum(made), power_spectrum(wanted)
    radius = _radius()
    ring = np.floor((radius - _LOWEST) * 32.0).astype(int)
    rings = []
    for number in range(_RINGS):
        inside = (ring == number) & (radius >= _LOWEST) & (radius <= 0.5)
        rings.append(_decibels(found[:, inside].mean(axis=1), aim[:, inside].mean(axis=1), aim))
    by_ring = np.abs(np.stack(rings))
    by_bin = _decibels(_averaged(found), _averaged(aim), aim)[:, radius >= _LOWEST]
    return SpectrumDistance(
        mean=float(by_ring.mean()),
        plane=float(np.sqrt(np.square(by_bin).mean())),
    )


def variance_error_percent(
    made: Array, wanted: Array, luma: Array, *, bands: int = 10
) -> NDArray[np.float64]:
    """Return by how much the variance of one grain differs from another's, band by band.

    Args:
        made: (H, W, C).
        wanted: (H, W, C).
        luma: (H, W), of the picture without grain, in the working curve.
        bands: Equal bands from the least luma to the greatest.

    Returns:
        (bands, C) in percent of the wanted variance; NaN for a band with less than 2 % of the
        pixels.
    """
    low, high = float(luma.min()), float(luma.max())
    band = np.minimum(((luma - low) / max(high - low, 1e-9) * bands).astype(int), bands - 1)
    errors = np.full((bands, made.shape[2]), np.nan)
    for number in range(bands):
        inside = band == number
        if inside.mean() >= _LEAST_SHARE:
            errors[number] = 100.0 * (made[inside].var(axis=0) / wanted[inside].var(axis=0) - 1.0)
    return errors


def correlation(first: Array, second: Array) -> float:
    """Return the correlation of two grains of one shape, from -1 to 1."""
    one, other = (each.astype(np.float64) - each.mean() for each in (first, second))
    return float((one * other).sum() / np.sqrt(np.square(one).sum() * np.square(other).sum()))


def _radius() -> Spectra:
    """Return (BLOCK_PX, BLOCK_PX): cycles a pixel of each bin."""
    grid = np.fft.fftfreq(BLOCK_PX)
    return np.asarray(np.hypot(grid[:, None], grid), dtype=np.float64)


def _averaged(power: Spectra) -> Spectra:
    """Return spectra averaged over squares of bins; a spectrum is periodic."""
    reach = range(-(_SMOOTHED // 2), _SMOOTHED // 2 + 1)
    moved = [np.roll(power, (down, across), axis=(1, 2)) for down in reach for across in reach]
    return np.asarray(np.mean(moved, axis=0), dtype=np.float64)


def _decibels(found: Spectra, aim: Spectra, whole: Spectra) -> Spectra:
    """Return the distance of powers, those of channels with hardly any power set to the floor."""
    floor = _FLOOR * whole.mean(axis=(1, 2)).reshape(-1, *([1] * (found.ndim - 1)))
    return np.asarray(
        10.0 * np.log10(np.maximum(found, floor) / np.maximum(aim, floor)), dtype=np.float64
    )
