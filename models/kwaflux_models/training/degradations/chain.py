"""Chains of degradations: what happened to a clip between the scene and the file.

Works on numpy arrays and a given random generator; must not know files, processes or networks. A
chain with a codec runs encoders: run it with `kwaflux_models.child_call.call_in_child`.

The order: the lens (its steps in any order), the sensor, a display curve, then what was done to the
coded picture (its steps in any order), and one or two generations of codecs, between which the
picture may have been resized.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.color.display_curves import LOG_PEAK, Curve, display_decode, display_encode
from kwaflux_models.training.degradations.analog_video import Composite
from kwaflux_models.training.degradations.chain_sampling import (
    Mix,
    draw_codec,
    draw_codecs,
    draw_coded,
    draw_optics,
)
from kwaflux_models.training.degradations.resample import Shrink
from kwaflux_models.training.degradations.sensor_noise import Sensor, draw_sensor
from kwaflux_models.training.degradations.steps import (
    CodedStep,
    Grain,
    LinearStep,
    apply_coded,
    apply_linear,
)
from kwaflux_models.training.degradations.video_codecs import Encode

__all__ = ["Chain", "Conditions", "Degraded", "Mix", "draw_chain", "draw_codec"]

Array = NDArray[np.float32]

_MID_GRAY_SLOPE = 1.2
"""Display units per unit of linear light on mid gray, in the sRGB curve."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a network may be told of a chain.

    Attributes:
        noise: Standard deviation on mid gray, display units, of sensor, grain and signal noise.
        blur_px: Standard deviation of the lens' spread along one axis.
        step: Quantizer step of the codecs in 8-bit code values, generations added as squares; 0
            for none.
        scale: Smallest size on the way / full size.
    """

    noise: float = 0.0
    blur_px: float = 0.0
    step: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Degraded:
    """What a chain made of a clip; each (T, H, W, 3), scene-linear, float32.

    Attributes:
        degraded: What came out.
        clean: The clip through the chain's lens alone, clipped where the chain clipped: what there
            is to be recovered without deblurring.
    """

    degraded: Array
    clean: Array


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps in the order in which they are applied.

    Attributes:
        linear: Lens and sensor, in scene-linear light.
        curve: Display curve between the two parts.
        coded: Steps on code values, which are clipped to 0..1 before the first; none leaves the
            clip in linear light, unclipped.
    """

    linear: tuple[LinearStep, ...] = ()
    curve: Curve = "srgb"
    coded: tuple[CodedStep, ...] = ()

    @property
    def conditions(self) -> Conditions:
        """The chain's known parameters."""
        noises = [
            _MID_GRAY_SLOPE * float(np.sqrt(step.shot * 0.18 + step.read**2))
            for step in self.linear
            if isinstance(step, Sensor)
        ]
        noises += [step.sigma for step in self.coded if isinstance(step, Grain)]
        noises += [step.noise for step in self.coded if isinstance(step, Composite)]
        codecs = [step.step for step in self.coded if isinstance(step, Encode)]
        blurs = [step.sigma_px for step in self.linear if not isinstance(step, Sensor)]
        return Conditions(
            noise=_rooted(noises),
            blur_px=_rooted(blurs),
            step=_rooted(codecs),
            scale=min([s.scale for s in self.coded if isinstance(s, Shrink)], default=1.0),
        )

    @property
    def peak(self) -> float:
        """Scene-linear value above which the chain clips; infinite where it doesn't."""
        clips = [step.saturation for step in self.linear if isinstance(step, Sensor)]
        if self.coded:
            clips.append(LOG_PEAK if self.curve == "log" else 1.0)
        return min(clips, default=float("inf"))

    def apply(self, clip: Array, rng: np.random.Generator) -> Degraded:
        """Degrade a clip.

        Args:
            clip: (T, H, W, 3), clean, scene-linear Rec.709; H and W even.
            rng: The random generator; the same state gives the same bits. Each step draws from its
                own, so a step more leaves the others' noise as it was.

        Raises:
            RequestError: a codec cannot take a clip of this size.
            WorkerError: a codec lost frames.
        """
        floor = 0.0 if self.coded else -np.inf
        seed = int(rng.integers(2**62))
        size_px = (int(clip.shape[1]), int(clip.shape[2]))
        made, clean = clip, clip
        for number, step in enumerate(self.linear):
            made = apply_linear(step, made, np.random.default_rng([seed, 0, number]))
            if not isinstance(step, Sensor):
                clean = made
        if self.coded:
            code = np.clip(display_encode(made, self.curve), 0.0, 1.0)
            for number, later in enumerate(self.coded):
                own = np.random.default_rng([seed, 1, number])
                code = apply_coded(later, code, own, size_px)
            made = display_decode(np.asarray(code, dtype=np.float32), self.curve)
        return Degraded(
            np.ascontiguousarray(made, dtype=np.float32),
            np.asarray(np.clip(clean, floor, self.peak), dtype=np.float32),
        )


def _rooted(sizes: list[float]) -> float:
    """Return the root of the sum of squares."""
    return float(np.sqrt(sum(size * size for size in sizes)))


def draw_chain(rng: np.random.Generator, *, mix: Mix | None = None) -> Chain:
    """Draw a chain.

    Args:
        rng: The random generator; the same state gives the same chain.
        mix: How likely each step is; the default is the mix of a blind restoration.

    Returns:
        The chain; it may be empty. With dv in it, it takes clips of up to 720 x 480 pixels.
    """
    shares = mix or Mix()
    linear: list[LinearStep] = draw_optics(rng) if rng.random() < shares.optics else []
    if rng.random() < shares.sensor:
        linear.append(draw_sensor(rng))
    curves: list[Curve] = ["srgb", "bt709", "gamma24", "log"]
    curve = curves[int(rng.choice(4, p=[0.4, 0.3, 0.1, 0.2]))]
    coded = [*draw_coded(rng, shares), *draw_codecs(rng, shares)]
    return Chain(tuple(linear), curve, tuple(coded))
