"""Learn what an enlargement by Lanczos lacks, and apart from it what cleans it.

A sample's further planes say how the small picture would be without noise and codec, so that the
part that adds detail and the part that cleans can be told apart.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from kwaflux_core.color.display_curves import Curve, display_decode, display_encode
from kwaflux_models.effects.upscale.network import SCALE, UpscaleNetwork, enlarged
from kwaflux_models.rendering import working_curves
from kwaflux_models.training.degradations.codec_mixes import SMALL_PICTURES, draw_codec
from kwaflux_models.training.degradations.codec_roundtrip import round_trip_linear
from kwaflux_models.training.degradations.resample import KERNELS, resize_clip
from kwaflux_models.training.degradations.sensor_noise import Array, add_sensor_noise, draw_sensor
from kwaflux_models.training.loop.task_api import Answer, Batch, Half, Network, Sample
from kwaflux_models.training.pictures.crops import draw_clip
from kwaflux_models.training.pictures.sources import Picture

__all__ = ["TASK", "UpscaleTask"]

_SMALL_PX = 80
_FRAMES = 3


def _shrunk(clip: Array, rng: np.random.Generator) -> Array:
    """Make a clip smaller as lenses, sensors and scalers do: softened, then by a drawn kernel."""
    size = (clip.shape[1] // SCALE, clip.shape[2] // SCALE)
    kernel = KERNELS[int(rng.choice(len(KERNELS), p=[0.5, 0.1, 0.25, 0.15]))]
    sigma = float(rng.uniform(0.2, 0.75)) * SCALE if rng.random() < 0.8 else 0.0
    soft = gaussian_filter(clip, (0.0, sigma, sigma, 0.0), truncate=3.0) if sigma else clip
    if rng.random() < 0.7:
        return resize_clip(soft, size, kernel)
    return display_decode(resize_clip(display_encode(soft, "srgb"), size, kernel), "srgb")


class UpscaleTask:
    """Learn the large picture from the small one."""

    scale = SCALE
    patch_px = _SMALL_PX
    grid_px = 1

    def make(self, pictures: list[Picture], rng: np.random.Generator, count: int) -> list[Sample]:
        """Make samples: clean, noisy, coded, or both."""
        return [self._sample(pictures, rng) for _ in range(count)]

    def _sample(self, pictures: list[Picture], rng: np.random.Generator) -> Sample:
        is_noisy, is_coded = bool(rng.random() < 0.35), bool(rng.random() < 0.35)
        side, frames = _SMALL_PX * SCALE, _FRAMES if is_coded else 1
        large = draw_clip(pictures, rng, frames=frames, side=side)
        if is_coded:
            large = np.minimum(large, 1.0)
        small = noisy = _shrunk(large, rng)
        if is_noisy:
            sensor = draw_sensor(rng, low=0.004, high=0.06)
            noisy = np.stack([add_sensor_noise(frame, sensor, rng) for frame in small])
        if is_coded:
            curve: Curve = "srgb" if rng.random() < 0.6 else "bt709"
            noisy = round_trip_linear(noisy, draw_codec(rng, SMALL_PICTURES), curve)
        middle = frames // 2
        planes = _working(small[middle]) - _working(noisy[middle])
        case = "+".join(n for n, holds in (("noisy", is_noisy), ("coded", is_coded)) if holds)
        return Sample(noisy[middle], large[middle], 0.0, case or "clean", planes[0].numpy())

    def varied(self, extra: Half, order: NDArray[np.intp], rng: np.random.Generator) -> Half:
        """Return the planes in the colors' order."""
        return extra[..., order]

    def network(self) -> Network:
        """Return a new network."""
        return UpscaleNetwork()

    def answer(self, network: Network, batch: Batch) -> Answer:
        """Run the network; every third sample is wanted with its noise left in."""
        lacking, unclean = network(batch.degraded, batch.detail)
        noisy = enlarged(batch.degraded)
        clean = enlarged(batch.degraded + batch.extra)
        order = torch.arange(noisy.shape[0], device=noisy.device).reshape(-1, 1, 1, 1)
        share = (order % 3 != 0).to(noisy.dtype)
        change = lacking.float() + share * unclean.float()
        wanted = noisy + (batch.clean - clean) + share * (clean - noisy)
        return Answer(change, noisy + change, wanted)


def _working(frame: Array) -> Tensor:
    return working_curves.encode(
        torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None], "extended_srgb"
    )


TASK = UpscaleTask()
