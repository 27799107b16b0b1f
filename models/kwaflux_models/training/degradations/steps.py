"""The steps of a chain of degradations, each with the numbers that say how strong it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.training.degradations.analog_video import Composite, Dropout, Fields, TimeBase
from kwaflux_models.training.degradations.lens_blur import Aberration, Defocus, Lens, Streak
from kwaflux_models.training.degradations.resample import Enlarge, Shrink
from kwaflux_models.training.degradations.sensor_noise import Sensor, add_sensor_noise
from kwaflux_models.training.degradations.video_codecs import Encode, round_trip

__all__ = [
    "CodedStep",
    "Develop",
    "Grain",
    "LinearStep",
    "Quantize",
    "apply_coded",
    "apply_linear",
]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Develop:
    """What a camera does to its picture: it smooths color and sharpens luma.

    Attributes:
        sharpen: How much of the detail is added once more, 0 for none.
        radius_px: Standard deviation of what counts as detail.
        chroma_px: Standard deviation of the smoothing of color, 0 for none.
    """

    sharpen: float
    radius_px: float = 1.0
    chroma_px: float = 0.0

    def apply(self, clip: Array) -> Array:
        """Develop a clip, (T, H, W, 3), display-encoded; the mean of a flat patch stays."""
        luma = clip @ np.array(REC709_LUMA, dtype=np.float32)
        color = clip - luma[..., None]
        if self.chroma_px > 0.0:
            color = gaussian_filter(color, (0.0, self.chroma_px, self.chroma_px, 0.0))
        soft = gaussian_filter(luma, (0.0, self.radius_px, self.radius_px))
        crisp = luma + np.float32(self.sharpen) * (luma - soft)
        return np.asarray(crisp[..., None] + color, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Grain:
    """Noise on code values, fresh in every frame.

    Attributes:
        sigma: Standard deviation, of a range of 1.
        color: 0..1, how far the channels go their own way; 0 is gray noise.
        soft_px: Standard deviation of the blur that gives it a size; 0 is white.
    """

    sigma: float
    color: float = 1.0
    soft_px: float = 0.0

    def apply(self, clip: Array, rng: np.random.Generator) -> Array:
        """Add the noise to a clip, (T, H, W, 3), display-encoded."""
        gray = rng.standard_normal((*clip.shape[:3], 1), dtype=np.float32)
        own = rng.standard_normal(clip.shape, dtype=np.float32)
        noise = np.sqrt(1.0 - self.color) * gray + np.sqrt(self.color) * own
        if self.soft_px > 0.0:
            noise = gaussian_filter(noise, (0.0, self.soft_px, self.soft_px, 0.0), mode="wrap")
            noise /= max(float(noise.std()), 1e-9)
        return np.asarray(clip + np.float32(self.sigma) * noise, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Quantize:
    """Round code values, and clip them to 0..1.

    Attributes:
        bits: Bits of a code value.
    """

    bits: int = 8

    def apply(self, clip: Array) -> Array:
        """Round a clip, display-encoded."""
        top = np.float32((1 << self.bits) - 1)
        return np.asarray(np.rint(np.clip(clip, 0.0, 1.0) * top) / top, dtype=np.float32)


LinearStep: TypeAlias = Defocus | Streak | Lens | Aberration | Sensor
CodedStep: TypeAlias = (
    Develop | Grain | Composite | TimeBase | Dropout | Fields | Shrink | Enlarge | Quantize | Encode
)


def apply_linear(step: LinearStep, clip: Array, rng: np.random.Generator) -> Array:
    """Apply a step of the lens or the sensor to a clip, (T, H, W, 3), scene-linear."""
    if isinstance(step, Sensor):
        return np.stack([add_sensor_noise(frame, step, rng) for frame in clip])
    return step.apply(clip)


def apply_coded(
    step: CodedStep, clip: Array, rng: np.random.Generator, size_px: tuple[int, int]
) -> Array:
    """Apply a step to a clip, (T, H, W, 3), display-encoded.

    Args:
        step: The step.
        clip: The clip.
        rng: The random generator; steps without chance leave it alone.
        size_px: (height, width) that an `Enlarge` brings the clip back to.

    Raises:
        RequestError: a codec cannot take a clip of this size.
        WorkerError: a codec lost frames.
    """
    if isinstance(step, Encode):
        return round_trip(clip, step)
    if isinstance(step, Enlarge):
        return step.apply(clip, size_px)
    if isinstance(step, Grain | Composite | TimeBase | Dropout):
        return step.apply(clip, rng)
    return step.apply(clip)
