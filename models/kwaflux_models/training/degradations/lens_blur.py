"""Blur pictures the way lenses and motion do, in linear light.

Works on numpy arrays; must not know noise, codecs, files or networks.

Source: W. J. Smith, "Modern Optical Engineering", 4th ed., section 15.8 (the spread of a defocused
point is the picture of the stop: a disk).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

__all__ = [
    "Defocus",
    "Lens",
    "Streak",
    "convolve_clip",
    "disk_kernel",
    "lens_kernel",
    "line_kernel",
]

Array = NDArray[np.float32]

_FINE = 5
"""Points across one pixel at which a kernel is evaluated."""


def _grid(reach_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return fine rows and columns, in pixels from the center, over (2 reach + 1) pixels."""
    count = (2 * reach_px + 1) * _FINE
    axis = (np.arange(count) + 0.5) / _FINE - (reach_px + 0.5)
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    return rows, columns


def _gathered(fine: NDArray[np.float64]) -> Array:
    """Return a kernel of whole pixels whose sum is 1."""
    side = fine.shape[0] // _FINE
    kernel = fine.reshape(side, _FINE, side, _FINE).mean(axis=(1, 3))
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def disk_kernel(radius_px: float, *, edge_px: float = 1.0) -> Array:
    """Return a defocused point: a disk whose rim falls over ``edge_px``; sums to 1.

    Args:
        radius_px: Radius at half height.
        edge_px: Width of the rim.
    """
    rows, columns = _grid(int(np.ceil(radius_px + 0.5 * edge_px)))
    distance = np.hypot(rows, columns)
    soft = max(edge_px, 1.0 / _FINE)
    return _gathered(np.asarray(np.clip((radius_px - distance) / soft + 0.5, 0.0, 1.0)))


def line_kernel(length_px: float, angle: float) -> Array:
    """Return a point that moved ``length_px`` steadily in direction ``angle``; sums to 1.

    Args:
        length_px: Length of the line.
        angle: Radians, 0 along rows.
    """
    reach = int(np.ceil(0.5 * length_px)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    count = max(int(4 * np.ceil(length_px)), 1)
    along = ((np.arange(count) + 0.5) / count - 0.5) * length_px
    for row, column in zip(
        along * np.sin(angle) + reach, along * np.cos(angle) + reach, strict=True
    ):
        top, left = int(row), int(column)
        down, right = row - top, column - left
        kernel[top, left] += (1.0 - down) * (1.0 - right)
        kernel[top, left + 1] += (1.0 - down) * right
        kernel[top + 1, left] += down * (1.0 - right)
        kernel[top + 1, left + 1] += down * right
    return np.asarray(kernel / count, dtype=np.float32)


def lens_kernel(sigma_px: float) -> Array:
    """Return a soft lens' spread: a Gaussian of this standard deviation; sums to 1."""
    rows, columns = _grid(int(np.ceil(3.0 * sigma_px)))
    return _gathered(np.exp(-(rows**2 + columns**2) / (2.0 * sigma_px**2)))


def convolve_clip(clip: Array, kernel: Array) -> Array:
    """Convolve every frame and channel with a kernel; edges mirror.

    Args:
        clip: (T, H, W, C), linear light.
        kernel: (K, K), K odd.
    """
    reach = kernel.shape[0] // 2
    if reach == 0:
        return clip * np.float32(kernel[0, 0])
    height, width = clip.shape[1:3]
    size = (next_fast_len(height + 4 * reach, True), next_fast_len(width + 4 * reach, True))
    wide = np.pad(clip, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    planes = np.moveaxis(wide, -1, 1)
    spectrum = rfft2(planes, s=size) * rfft2(kernel, s=size)
    blurred = irfft2(spectrum, s=size)[
        :, :, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width
    ]
    return np.ascontiguousarray(np.moveaxis(blurred, 1, -1), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Defocus:
    """A lens out of focus.

    Attributes:
        radius_px: Radius of the disk that a point becomes.
        edge_px: Width of the disk's rim.
    """

    radius_px: float
    edge_px: float = 1.0

    @property
    def sigma_px(self) -> float:
        """Standard deviation along one axis of what a point becomes."""
        return 0.5 * self.radius_px

    def apply(self, clip: Array) -> Array:
        """Blur a clip, (T, H, W, 3), linear light."""
        return convolve_clip(clip, disk_kernel(self.radius_px, edge_px=self.edge_px))


@dataclass(frozen=True, slots=True)
class Streak:
    """A camera that moved while the shutter was open.

    Attributes:
        length_px: How far.
        angle: Radians, 0 along rows.
    """

    length_px: float
    angle: float = 0.0

    @property
    def sigma_px(self) -> float:
        """Standard deviation of what a point becomes, mean over the axes."""
        return self.length_px / float(np.sqrt(24.0))

    def apply(self, clip: Array) -> Array:
        """Blur a clip, (T, H, W, 3), linear light."""
        return convolve_clip(clip, line_kernel(self.length_px, self.angle))


@dataclass(frozen=True, slots=True)
class Lens:
    """A lens that is soft.

    Attributes:
        sigma_px: Standard deviation along one axis of what a point becomes.
    """

    sigma_px: float

    def apply(self, clip: Array) -> Array:
        """Blur a clip, (T, H, W, 3), linear light."""
        return convolve_clip(clip, lens_kernel(self.sigma_px))
