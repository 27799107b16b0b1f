"""Remove the noise of a sensor, of tape, and what a codec made of it, from one frame.

The level is the one at which FFDNet with its published weights does best on the sample. For white
noise that is the standard deviation; for spatially correlated noise it is up to twice as much. A
codec alone is not noise: its samples have level 0, so that the probe learns to leave them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kwaflux_core.color.display_curves import LOG_PEAK, Curve, display_decode, display_encode
from kwaflux_models.effects.denoise.network import DenoiseNetwork
from kwaflux_models.rendering import working_curves
from kwaflux_models.training.degradations.analog_video import NTSC, PAL, Composite, TimeBase
from kwaflux_models.training.degradations.camera_jpeg import draw_camera
from kwaflux_models.training.degradations.camera_motion import draw_moving_clip
from kwaflux_models.training.degradations.codec_mixes import FOOTAGE, LIGHT_FOOTAGE, draw_codec
from kwaflux_models.training.degradations.codec_roundtrip import (
    Encode,
    round_trip,
    round_trip_linear,
)
from kwaflux_models.training.degradations.film_grain import film_grain
from kwaflux_models.training.degradations.sensor_noise import Array, add_sensor_noise, draw_sensor
from kwaflux_models.training.loop.initial_weights import fitted_state, start_tensors
from kwaflux_models.training.loop.task_api import Answer, Batch, Half, Network, Sample
from kwaflux_models.training.pictures.sources import Picture

__all__ = ["TASK", "DenoiseTask"]

_PATCH_PX = 112
_CLIP_PX = 160
_FRAMES = 5
_SHARES = {
    "sensor": 0.17,
    "sensor_codec": 0.2,
    "dark": 0.08,
    "camera": 0.12,
    "grain": 0.09,
    "white": 0.07,
    "white_codec": 0.06,
    "analog": 0.05,
    "codec": 0.08,
    "jpeg": 0.05,
    "clean": 0.03,
}
_LOWEST, _RUNG, _RUNGS = 0.004, 1.25, 20
"""The ladder of levels that are tried: from one 8-bit code to 0.35, a quarter more each."""
_GAIN = 0.98
"""Part of the error that must be left at most: a gain of less than 0.1 dB is none."""
_CURVES: tuple[Curve, ...] = ("srgb", "bt709", "gamma24", "log")


@dataclass(frozen=True, slots=True)
class _Noisy:
    """A degraded clip, what it should have been, and whether there is noise in it at all."""

    clip: Array
    clean: Array
    is_noisy: bool = True


def _white(clip: Array, rng: np.random.Generator) -> Array:
    """Add white noise of a drawn level, in linear or in display units, sometimes softened."""
    sigma = float(np.exp(rng.uniform(np.log(0.008), np.log(0.12))))
    noise = sigma * rng.standard_normal(clip.shape, dtype=np.float32)
    if rng.random() < 0.2:
        noise = 0.6 * noise + 0.6 * noise.mean(axis=-1, keepdims=True)
    if rng.random() < 0.25:
        return clip + noise / 3.0
    curve: Curve = "srgb" if rng.random() < 0.7 else "log"
    return display_decode(display_encode(clip, curve) + noise, curve)


def _sensor(clip: Array, rng: np.random.Generator) -> _Noisy:
    sensor = draw_sensor(rng)
    noisy = np.stack([add_sensor_noise(frame, sensor, rng) for frame in clip])
    return _Noisy(noisy, np.minimum(clip, 1.0) if sensor.saturation < 2.0 else clip)


def _analog(clip: Array, rng: np.random.Generator) -> _Noisy:
    """Send a clip over composite video and perhaps tape: noise, crosstalk, slipping rows."""
    clean = np.clip(clip, 0.0, 1.0)
    is_tape = bool(rng.random() < 0.5)
    way = Composite(
        standard=NTSC if rng.random() < 0.5 else PAL,
        decoder="comb" if rng.random() < 0.5 else "notch",
        trap=float(rng.uniform(0.5, 1.0)),
        luma_mhz=float(rng.uniform(3.0, 4.2)) if is_tape else 5.0,
        chroma_mhz=float(rng.uniform(0.5, 1.3)),
        noise=float(np.exp(rng.uniform(np.log(0.01), np.log(0.08)))),
        sample_mhz=float(rng.uniform(13.5, 27.0)),
        first_line=int(rng.integers(4)),
    )
    code = way.apply(display_encode(clean, "bt709"), rng)
    if is_tape:
        code = TimeBase(jitter_px=float(rng.uniform(0.0, 0.3))).apply(code, rng)
    return _Noisy(display_decode(code, "bt709"), clean)


def _dark(clip: Array, rng: np.random.Generator) -> _Noisy:
    """Film a clip 2 to 4 stops under, and lift it again in half of the cases."""
    stops = float(rng.uniform(2.0, 4.0))
    noisy = _sensor(clip * np.float32(2.0**-stops), rng)
    if rng.random() < 0.5:
        return noisy
    lift = np.float32(2.0 ** float(rng.uniform(0.5, 0.8) * stops))
    return _Noisy(noisy.clip * lift, noisy.clean * lift)


def _camera(clip: Array, rng: np.random.Generator) -> _Noisy:
    """Take a picture with a camera that smooths, sharpens and compresses; clean goes alike."""
    camera, clean = draw_camera(rng), np.clip(clip, 0.0, 1.0)
    sensor = draw_sensor(rng, low=0.015, high=0.12)
    middle = slice(len(clip) // 2, len(clip) // 2 + 1)
    noisy = np.clip(np.stack([add_sensor_noise(f, sensor, rng) for f in clean[middle]]), 0.0, 1.0)
    code = camera.apply(display_encode(noisy, "srgb"))
    wanted = np.stack([camera.smoothed(f) for f in display_encode(clean[middle], "srgb")])
    noisy, clean = display_decode(code, "srgb"), display_decode(np.clip(wanted, 0.0, 1.0), "srgb")
    return _Noisy(np.repeat(noisy, len(clip), axis=0), np.repeat(clean, len(clip), axis=0))


def _grain(clip: Array, rng: np.random.Generator) -> _Noisy:
    """Print film grain of 1.2 to 2.5 pixels into a clip."""
    sigma = float(np.exp(rng.uniform(np.log(0.01), np.log(0.08))))
    size_px, gray = float(rng.uniform(1.2, 2.5)), float(rng.uniform(0.2, 0.9))
    clean = np.clip(clip, 0.0, 1.0)
    code = display_encode(clean, "srgb")
    grainy = [film_grain(f, rng, sigma=sigma, size_px=size_px, gray=gray) for f in code]
    return _Noisy(display_decode(np.stack(grainy), "srgb"), clean)


def _jpeg(clip: Array, rng: np.random.Generator) -> _Noisy:
    """Compress a clean clip as cameras do."""
    clean = np.clip(clip, 0.0, 1.0)
    code = round_trip(display_encode(clean, "srgb"), Encode("jpeg", int(rng.integers(60, 99))))
    return _Noisy(display_decode(code, "srgb"), clean, is_noisy=False)


def _coded(noisy: _Noisy, rng: np.random.Generator, *, is_noisy: bool = True) -> _Noisy:
    """Encode for a display, round-trip through a codec, decode; clip the clean alike."""
    curve = _CURVES[int(rng.choice(4, p=[0.4, 0.3, 0.1, 0.2]))]
    is_light = not is_noisy and rng.random() < 0.5
    how = draw_codec(rng, LIGHT_FOOTAGE if is_light else FOOTAGE)
    decoded = round_trip_linear(noisy.clip, how, curve)
    peak = LOG_PEAK if curve == "log" else 1.0
    return _Noisy(decoded, np.clip(noisy.clean, 0.0, peak), is_noisy)


def _eight_bits(noisy: _Noisy) -> _Noisy:
    """Quantise to 8 bits in the sRGB curve, clipped to 0..1."""
    code = np.rint(np.clip(display_encode(noisy.clip, "srgb"), 0.0, 1.0) * 255.0) / 255.0
    clip = display_decode(code.astype(np.float32), "srgb")
    return _Noisy(clip, np.clip(noisy.clean, 0.0, 1.0), noisy.is_noisy)


_WAYS: Mapping[str, Callable[[Array, np.random.Generator], _Noisy]] = {
    "analog": _analog,
    "camera": _camera,
    "dark": _dark,
    "grain": _grain,
    "jpeg": _jpeg,
}


def _degraded(clip: Array, case: str, rng: np.random.Generator) -> _Noisy:
    """Degrade a clip by a case."""
    noisy = _Noisy(clip, clip, is_noisy=False)
    if case.startswith("sensor"):
        noisy = _sensor(clip, rng)
    elif case.startswith("white"):
        noisy = _Noisy(_white(clip, rng), clip)
    elif case in _WAYS:
        noisy = _WAYS[case](clip, rng)
    if case.endswith("codec"):
        noisy = _coded(noisy, rng, is_noisy=noisy.is_noisy)
    elif case not in ("camera", "jpeg") and rng.random() < 0.4:
        noisy = _eight_bits(noisy)
    return noisy


def _working(frame: Array) -> Tensor:
    return working_curves.encode(
        torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None], "extended_srgb"
    )


@cache
def _published() -> DenoiseNetwork:
    network = DenoiseNetwork()
    network.load_state_dict(fitted_state(network, start_tensors("ffdnet")))
    return network.eval()


@torch.inference_mode()
def best_level(degraded: Array, clean: Array) -> float:
    """Return the level at which FFDNet does best on a picture; 0 if none does better than none.

    Args:
        degraded: (H, W, 3) scene-linear Rec.709, even sides.
        clean: What it should have been.
    """
    picture, wanted = _working(degraded), _working(clean)
    network = _published()
    errors: dict[int, float] = {}

    def error(rung: int) -> float:
        if rung not in errors:
            level = picture.new_full((1, 1, *picture.shape[2:]), _LOWEST * _RUNG**rung)
            restored = picture + network(picture, level)
            errors[rung] = float((restored - wanted).square().mean())
        return errors[rung]

    deviation = max(float((picture - wanted).std()), _LOWEST)
    best = round(math.log(deviation / _LOWEST, _RUNG))
    while best < _RUNGS and error(best + 1) < error(best):
        best += 1
    while best > 0 and error(best - 1) < error(best):
        best -= 1
    untouched = float((picture - wanted).square().mean())
    return _LOWEST * _RUNG**best if error(best) < _GAIN * untouched else 0.0


class DenoiseTask:
    """Learn the clean frame from the noisy one, told the level."""

    scale = 1
    patch_px = _PATCH_PX
    grid_px = 8

    def make(self, pictures: list[Picture], rng: np.random.Generator, count: int) -> list[Sample]:
        """Make samples: one from the middle of each clip."""
        names, shares = list(_SHARES), np.array(list(_SHARES.values()))
        samples = []
        for _ in range(count):
            case = names[int(rng.choice(len(names), p=shares))]
            clip = draw_moving_clip(pictures, rng, frames=_FRAMES, side=_CLIP_PX)
            noisy = _degraded(clip, case, rng)
            samples.append(self._sample(noisy, case, rng))
        return samples

    def _sample(self, noisy: _Noisy, case: str, rng: np.random.Generator) -> Sample:
        top, left = (8 * int(v) for v in rng.integers((_CLIP_PX - _PATCH_PX) // 8 + 1, size=2))
        rows, columns = slice(top, top + _PATCH_PX), slice(left, left + _PATCH_PX)
        middle = _FRAMES // 2
        degraded, clean = noisy.clip[middle], noisy.clean[middle]
        patch, wanted = degraded[rows, columns], clean[rows, columns]
        return Sample(patch, wanted, best_level(patch, wanted) if noisy.is_noisy else 0.0, case)

    def network(self) -> Network:
        """Return a new network."""
        return DenoiseNetwork()

    def varied(self, extra: Half, order: NDArray[np.intp], rng: np.random.Generator) -> Half:
        """Return nothing: there are no further planes."""
        return extra

    def answer(self, network: Network, batch: Batch) -> Answer:
        """Run the network, told the level."""
        change = network(batch.degraded, batch.level.expand_as(batch.degraded[:, :1])).float()
        return Answer(change, batch.degraded + change, batch.clean)


TASK = DenoiseTask()
