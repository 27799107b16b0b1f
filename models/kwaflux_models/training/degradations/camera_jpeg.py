"""What a camera does to a noisy picture before it is a JPEG: smooth, sharpen, compress.

The noise of camera JPEGs is not a sensor's: it is smoothed, chroma more than luma, so that it is
blotchy; then it is sharpened and quantized. Source: S. Nam et al., "A Holistic Approach to
Cross-Channel Image Noise Modeling and its Application to Image Denoising", CVPR 2016; the ranges
are stated constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.training.degradations.codec_roundtrip import Encode, round_trip
from kwaflux_models.training.degradations.sensor_noise import Array

__all__ = ["Camera", "draw_camera"]

_LUMA = np.array(REC709_LUMA, np.float32)


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera's processing of a developed picture.

    Attributes:
        luma_px: Standard deviation of the filter on luma, 0 for none.
        chroma_px: That on the color differences.
        sharpen: How much of what a filter of one pixel removes is added again.
        jpeg: The settings of the JPEG.
    """

    luma_px: float
    chroma_px: float
    sharpen: float
    jpeg: Encode

    def smoothed(self, code: Array) -> Array:
        """Return a display-encoded picture, (H, W, 3), smoothed and sharpened."""
        luma = code @ _LUMA
        color = code - luma[..., None]
        if self.luma_px:
            luma = gaussian_filter(luma, self.luma_px)
        if self.chroma_px:
            color = gaussian_filter(color, (self.chroma_px, self.chroma_px, 0.0))
        luma = luma + self.sharpen * (luma - gaussian_filter(luma, 1.0))
        return np.asarray(color + luma[..., None], np.float32)

    def apply(self, code: Array) -> Array:
        """Return a display-encoded clip, (T, H, W, 3), smoothed, sharpened and compressed."""
        made = np.stack([self.smoothed(frame) for frame in code])
        return round_trip(np.clip(made, 0.0, 1.0), self.jpeg)


def draw_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera: chroma smoothed more than luma, JPEG at quality 75 to 98."""
    luma_px = float(rng.uniform(0.3, 0.9))
    quality = int(rng.integers(75, 99))
    return Camera(
        luma_px=luma_px,
        chroma_px=luma_px + float(rng.uniform(0.3, 1.6)),
        sharpen=float(rng.uniform(0.0, 0.9)),
        jpeg=Encode("jpeg", quality, subsampling="420" if rng.random() < 0.6 else "444"),
    )
