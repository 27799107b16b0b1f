"""Undo what a codec did: blocks, ringing, mosquito noise, smeared chroma.

The level is the codec's quantiser step on a logarithmic scale, `level_of_step`. Samples without
a codec, and nearly transparent ones, are there so that the probe learns to say so.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from kwaflux_core.color.display_curves import LOG_PEAK, Curve, display_decode, display_encode
from kwaflux_models.effects.decompress.network import DecompressNetwork, level_of_step
from kwaflux_models.training.degradations.codec_mixes import ANY_CODEC, draw_codec
from kwaflux_models.training.degradations.codec_roundtrip import round_trip
from kwaflux_models.training.degradations.sensor_noise import (
    Array,
    Sensor,
    add_sensor_noise,
    draw_sensor,
)
from kwaflux_models.training.loop.task_api import Answer, Batch, Half, Network, Sample
from kwaflux_models.training.pictures.crops import draw_clip
from kwaflux_models.training.pictures.sources import Picture

__all__ = ["TASK", "DecompressTask"]

_PATCH_PX = 128
_CLIP_PX = 160
_FRAMES = 5


def _curve(rng: np.random.Generator) -> Curve:
    curves: list[Curve] = ["srgb", "bt709", "gamma24", "log"]
    return curves[int(rng.choice(4, p=[0.5, 0.3, 0.1, 0.1]))]


def _grain(clip: Array, rng: np.random.Generator) -> Array:
    """Return the clip as a fairly clean camera sees it: codecs seldom meet noiseless pictures."""
    sensor: Sensor = draw_sensor(rng, low=0.002, high=0.01)
    return np.stack([add_sensor_noise(frame, sensor, rng) for frame in clip])


class DecompressTask:
    """Learn the clean picture from the coded one, told the level."""

    scale = 1
    patch_px = _PATCH_PX
    grid_px = 1

    def make(self, pictures: list[Picture], rng: np.random.Generator, count: int) -> list[Sample]:
        """Make samples: the case is the codec's name, or clean."""
        samples: list[Sample] = []
        while len(samples) < count:
            clip = draw_clip(pictures, rng, frames=_FRAMES, side=_CLIP_PX)
            if rng.random() < 0.05:
                samples += self._samples(clip[:1], clip[:1], 0.0, "clean", rng)
                continue
            samples += self._coded(clip, rng)
        return samples[:count]

    def _coded(self, clip: Array, rng: np.random.Generator) -> list[Sample]:
        curve = _curve(rng)
        peak = LOG_PEAK if curve == "log" else 1.0
        clean = np.clip(clip, 0.0, peak)
        if rng.random() < 0.15:
            clean = clip = np.clip(_grain(clip, rng), 0.0, peak)
        how = draw_codec(rng, ANY_CODEC)
        is_still = how.codec == "jpeg"
        if is_still:
            clip, clean = clip[:2], clean[:2]
        code = round_trip(display_encode(clip, curve), how)
        level, case = level_of_step(how.step), how.codec
        if rng.random() < 0.15:
            again = draw_codec(rng, ANY_CODEC)
            code = round_trip(code, again)
            level, case = max(level, level_of_step(again.step)), "generations"
        if level < level_of_step(6.5):
            case = "light"
        decoded = display_decode(code, curve)
        picks = sorted(int(i) for i in rng.choice(len(clip), size=2, replace=False))
        return self._samples(decoded[picks], clean[picks], level, case, rng)

    def _samples(
        self, degraded: Array, clean: Array, level: float, case: str, rng: np.random.Generator
    ) -> list[Sample]:
        samples = []
        for bad, good in zip(degraded, clean, strict=True):
            top, left = (int(v) for v in rng.integers(0, _CLIP_PX - _PATCH_PX + 1, size=2))
            cut = np.s_[top : top + _PATCH_PX, left : left + _PATCH_PX]
            samples.append(Sample(bad[cut], good[cut], level, case))
        return samples

    def varied(self, extra: Half, order: NDArray[np.intp], rng: np.random.Generator) -> Half:
        """Return the planes; there are none."""
        return extra

    def network(self) -> Network:
        """Return a new network."""
        return DecompressNetwork()

    def answer(self, network: Network, batch: Batch) -> Answer:
        """Run the network, told the level and how much detail is wanted."""
        levels = torch.cat([batch.level, batch.detail], dim=1)
        change = network(batch.degraded, levels).float()
        return Answer(change, batch.degraded + change, batch.clean)


TASK = DecompressTask()
