"""Sharpen what a lens left soft, told how soft.

The level is the standard deviation of the point spread along one axis, in `SIGMA_UNIT_PX`. Sharp
pictures, and those beyond what can be recovered, are there so that the probe learns to say so.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from kwaflux_models.effects.deblur.network import SIGMA_UNIT_PX, DeblurNetwork
from kwaflux_models.training.degradations.codec_mixes import LIGHT_H264, draw_codec
from kwaflux_models.training.degradations.codec_roundtrip import round_trip_linear
from kwaflux_models.training.degradations.lens_blur import Defocus, Lens, Streak
from kwaflux_models.training.degradations.sensor_noise import Array, add_sensor_noise, draw_sensor
from kwaflux_models.training.loop.task_api import Answer, Batch, Half, Network, Sample
from kwaflux_models.training.pictures.crops import draw_clip
from kwaflux_models.training.pictures.sources import Picture

__all__ = ["TASK", "DeblurTask"]

_PATCH_PX = 128
_CLIP_PX = 160
_LARGEST_PX = 2.3
"""Softness beyond this is only for the probe."""


def _softness(rng: np.random.Generator) -> Defocus | Lens | Streak:
    """Draw a soft lens: out of focus, simply soft, or moved while the shutter was open."""
    draw = rng.random()
    sigma = float(rng.uniform(0.3, 2.3) if rng.random() < 0.85 else rng.uniform(2.3, 5.0))
    if draw < 0.5:
        return Defocus(2.0 * sigma, edge_px=float(rng.uniform(0.5, 1.5)))
    if draw < 0.85:
        return Lens(sigma)
    return Streak(sigma * float(np.sqrt(24.0)), float(rng.uniform(0.0, np.pi)))


class DeblurTask:
    """Learn the sharp picture from the soft one, told how soft."""

    scale = 1
    patch_px = _PATCH_PX
    grid_px = 1

    def make(self, pictures: list[Picture], rng: np.random.Generator, count: int) -> list[Sample]:
        """Make samples: sharp, soft, or beyond what can be recovered."""
        return [self._sample(pictures, rng) for _ in range(count)]

    def _sample(self, pictures: list[Picture], rng: np.random.Generator) -> Sample:
        is_coded = bool(rng.random() < 0.25)
        clean = draw_clip(pictures, rng, frames=3 if is_coded else 1, side=_CLIP_PX)
        case, level, soft = "sharp", 0.0, clean
        if rng.random() < 0.92:
            blur = _softness(rng)
            case = "soft" if blur.sigma_px <= _LARGEST_PX else "beyond"
            level, soft = blur.sigma_px / SIGMA_UNIT_PX, blur.apply(clean)
        if rng.random() < 0.8:
            sensor = draw_sensor(rng, low=0.001, high=0.01)
            soft = np.stack([add_sensor_noise(frame, sensor, rng) for frame in soft])
        if is_coded:
            clean = np.minimum(clean, 1.0)
            soft = round_trip_linear(soft, draw_codec(rng, LIGHT_H264), "bt709")
        margin = (_CLIP_PX - _PATCH_PX) // 2
        cut = np.s_[margin:-margin, margin:-margin]
        middle = len(clean) // 2
        degraded: Array = soft[middle][cut]
        return Sample(degraded, clean[middle][cut], level, case)

    def varied(self, extra: Half, order: NDArray[np.intp], rng: np.random.Generator) -> Half:
        """Return the planes; there are none."""
        return extra

    def network(self) -> Network:
        """Return a new network."""
        return DeblurNetwork()

    def answer(self, network: Network, batch: Batch) -> Answer:
        """Run the network, told the softness and how much detail is wanted."""
        levels = torch.cat([batch.level, batch.detail], dim=1)
        change = network(batch.degraded, levels).float()
        return Answer(change, batch.degraded + change, batch.clean)


TASK = DeblurTask()
