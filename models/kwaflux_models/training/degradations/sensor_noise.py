"""The noise of a camera's sensor, and how its raw image becomes RGB.

Source: A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image
raw-data", IEEE TIP 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kwaflux_models.training.degradations.demosaic import bayer_mask, demosaic

__all__ = ["Sensor", "add_sensor_noise", "draw_sensor"]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sensor:
    """A camera's noise and how its raw picture becomes RGB.

    Attributes:
        shot: Variance per unit of linear signal (a of Foi et al.), at white balance gain 1.
        read: Standard deviation of the signal-independent part, linear units.
        row: Standard deviation of an offset shared by a row, linear units.
        gains: White balance gains of red and blue, at least 1.
        crosstalk: 0..1: how far the sensor's colors are from Rec.709; the matrix that undoes it
            mixes the channels' noise.
        mosaic: Phase 0..3 of the Bayer pattern, or -1 for three sensors without a mosaic.
        is_linear_demosaic: True takes plain bilinear interpolation, False Malvar's filters.
        saturation: Linear value at which the sensor clips, after gains.
    """

    shot: float
    read: float
    row: float = 0.0
    gains: tuple[float, float] = (1.0, 1.0)
    crosstalk: float = 0.0
    mosaic: int = 0
    is_linear_demosaic: bool = False
    saturation: float = 16.0


def draw_sensor(rng: np.random.Generator, *, low: float = 0.006, high: float = 0.11) -> Sensor:
    """Draw a camera whose noise on mid gray has a log-uniform level.

    Args:
        rng: The random generator.
        low: Least standard deviation on linear 0.18, in display units (0..1).
        high: Greatest, likewise.
    """
    sigma = float(np.exp(rng.uniform(np.log(low), np.log(high)))) / 1.2
    shot_share = float(rng.uniform(0.75, 0.995))
    read = sigma * float(np.sqrt(1.0 - shot_share))
    return Sensor(
        shot=shot_share * sigma**2 / 0.18,
        read=read,
        row=read * float(rng.uniform(0.0, 0.3)) * float(rng.random() < 0.4),
        gains=(float(rng.uniform(1.2, 2.2)), float(rng.uniform(1.2, 2.2))),
        crosstalk=float(rng.uniform(0.0, 0.8)),
        mosaic=int(rng.integers(4)) if rng.random() < 0.85 else -1,
        is_linear_demosaic=bool(rng.random() < 0.3),
        saturation=float(rng.choice([1.0, 4.0, 16.0], p=[0.25, 0.25, 0.5])),
    )


def _color_matrix(crosstalk: float) -> Array:
    """Return the matrix from Rec.709 to a sensor's colors; rows sum to 1."""
    full = np.array([[0.66, 0.29, 0.05], [0.12, 0.76, 0.12], [0.04, 0.30, 0.66]])
    return (crosstalk * full + (1.0 - crosstalk) * np.eye(3)).astype(np.float32)


def add_sensor_noise(clean: Array, sensor: Sensor, rng: np.random.Generator) -> Array:
    """Expose a sensor to a picture and develop what it read.

    Args:
        clean: (H, W, 3) scene-linear Rec.709; H and W even.
        sensor: The camera.
        rng: The random generator.

    Returns:
        (H, W, 3) scene-linear Rec.709 with noise; keeps negatives, clipped at the saturation.
    """
    matrix = _color_matrix(sensor.crosstalk)
    gains = np.array([sensor.gains[0], 1.0, sensor.gains[1]], dtype=np.float32)
    raw = (clean @ matrix.T) / gains
    if sensor.mosaic >= 0:
        mask = bayer_mask(raw.shape[0], raw.shape[1], sensor.mosaic)
        raw = (raw * mask).sum(axis=2, keepdims=True)
    mean = np.maximum(raw, 0.0) / sensor.shot
    electrons = np.where(
        mean < 200.0,
        rng.poisson(np.minimum(mean, 200.0)),
        mean + np.sqrt(mean) * rng.standard_normal(mean.shape, dtype=np.float32),
    )
    raw = (electrons * sensor.shot + np.minimum(raw, 0.0)).astype(np.float32)
    raw += sensor.read * rng.standard_normal(raw.shape, dtype=np.float32)
    raw += sensor.row * rng.standard_normal((raw.shape[0], 1, 1), dtype=np.float32)
    if sensor.mosaic >= 0:
        balanced = raw[..., 0] * (mask * gains).sum(axis=2)
        balanced = np.minimum(balanced, sensor.saturation)
        rgb = demosaic(balanced, mask, is_linear=sensor.is_linear_demosaic)
        rgb = np.maximum(rgb, -6.0 * sensor.read)  # the filters undershoot beside highlights
    else:
        rgb = np.minimum(raw * gains, sensor.saturation)
    return np.asarray(rgb @ np.linalg.inv(matrix).T, dtype=np.float32)
