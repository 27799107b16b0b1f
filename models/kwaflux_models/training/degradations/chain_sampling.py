"""Draw the steps of a chain: which, how strong, and in what order.

Takes a random generator and gives records; must not know pixels, files or networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kwaflux_models.training.degradations.analog_video import (
    NTSC,
    PAL,
    Composite,
    Dropout,
    Fields,
    TimeBase,
)
from kwaflux_models.training.degradations.lens_blur import Aberration, Defocus, Lens, Streak
from kwaflux_models.training.degradations.resample import KERNELS, Enlarge, Kernel, Shrink
from kwaflux_models.training.degradations.steps import (
    CodedStep,
    Develop,
    Grain,
    LinearStep,
    Quantize,
)
from kwaflux_models.training.degradations.video_codecs import Encode

__all__ = ["Mix", "draw_codec", "draw_codecs", "draw_coded", "draw_optics"]

_CODECS: dict[str, float] = {
    "h264": 0.34,
    "h264_10": 0.05,
    "h265": 0.10,
    "h265_10": 0.05,
    "mpeg1": 0.02,
    "mpeg2": 0.08,
    "mpeg4": 0.06,
    "mjpeg": 0.05,
    "jpeg": 0.11,
    "prores": 0.05,
    "dv": 0.04,
    "dnxhd": 0.02,
    "vp9": 0.03,
}
# (best, worst) drawn: strong, and nearly transparent.
_STRONG = {
    "h264": (18, 38),
    "h264_10": (16, 34),
    "h265": (20, 38),
    "h265_10": (18, 36),
    "mpeg1": (3, 14),
    "mpeg2": (3, 14),
    "mpeg4": (3, 14),
    "mjpeg": (2, 14),
    "jpeg": (88, 12),
    "prores": (2, 0),
    "dv": (1, 0),
    "dnxhd": (1, 0),
    "vp9": (20, 58),
}
_FINE = {
    "h264": (12, 20),
    "h264_10": (10, 20),
    "h265": (14, 21),
    "h265_10": (12, 21),
    "mpeg1": (2, 3),
    "mpeg2": (2, 3),
    "mpeg4": (2, 3),
    "mjpeg": (2, 3),
    "jpeg": (95, 88),
    "prores": (3, 2),
    "dv": (2, 1),
    "dnxhd": (2, 1),
    "vp9": (4, 20),
}


@dataclass(frozen=True, slots=True)
class Mix:
    """How likely each step is in a drawn chain, 0..1.

    Attributes:
        optics: Any blur or fringe of the lens.
        sensor: The sensor's noise.
        develop: A camera's sharpening.
        grain: Noise on code values.
        analog: Composite video, with what comes with it.
        fields: Mixed fields, where there was no composite video.
        resize: Made smaller and brought back.
        quantize: Rounded to 8 bits before a codec.
        codec: At least one codec.
        second: A second generation, where there is a first.
        fine: Only nearly transparent codecs.
    """

    optics: float = 0.35
    sensor: float = 0.6
    develop: float = 0.3
    grain: float = 0.15
    analog: float = 0.1
    fields: float = 0.03
    resize: float = 0.3
    quantize: float = 0.4
    codec: float = 0.75
    second: float = 0.3
    fine: float = 0.2


def _spread(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw log-uniformly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_codec(rng: np.random.Generator, *, is_fine: bool = False) -> Encode:
    """Draw a codec and its settings from all there are.

    Args:
        rng: The random generator.
        is_fine: True keeps to what is nearly transparent.
    """
    names = list(_CODECS)
    codec = names[int(rng.choice(len(names), p=list(_CODECS.values())))]
    low, high = sorted((_FINE if is_fine else _STRONG)[codec])
    return Encode(
        codec,
        int(rng.integers(low, high + 1)),
        preset=str(rng.choice(["veryfast", "fast", "medium"])),
        is_bt601=bool(codec == "dv" or rng.random() < 0.15),
        is_smooth_chroma=bool(rng.random() < 0.7),
        subsampling="420" if rng.random() < 0.75 else "444",
    )


def draw_optics(rng: np.random.Generator) -> list[LinearStep]:
    """Draw one or two faults of a lens, in any order."""
    kinds: list[Literal["defocus", "streak", "lens", "fringe"]] = [
        "defocus",
        "streak",
        "lens",
        "fringe",
    ]
    steps: list[LinearStep] = []
    for number in rng.permutation(4)[: 1 + int(rng.random() < 0.4)]:
        kind = kinds[int(number)]
        if kind == "defocus":
            steps.append(Defocus(_spread(rng, 0.6, 5.0), float(rng.uniform(0.6, 2.0))))
        elif kind == "streak":
            steps.append(Streak(_spread(rng, 1.5, 16.0), float(rng.uniform(0.0, np.pi))))
        elif kind == "lens":
            halo = float(rng.uniform(0.02, 0.2)) * float(rng.random() < 0.3)
            steps.append(Lens(_spread(rng, 0.4, 2.2), halo))
        else:
            grown = rng.normal(0.0, 0.0007, size=2)
            center = rng.uniform(-1500.0, 1500.0, size=2)
            center_px = (float(center[0]), float(center[1]))
            steps.append(Aberration(float(grown[0]), float(grown[1]), center_px))
    return steps


def _draw_analog(rng: np.random.Generator) -> list[CodedStep]:
    """Draw a trip through composite video, in a studio or on tape."""
    is_tape = bool(rng.random() < 0.5)
    standard = NTSC if rng.random() < 0.5 else PAL
    steps: list[CodedStep] = [
        Composite(
            standard,
            decoder="comb" if rng.random() < 0.4 else "notch",
            trap=float(rng.uniform(0.5, 1.0)),
            luma_mhz=float(rng.uniform(2.4, 3.4)) if is_tape else standard.luma_mhz,
            chroma_mhz=_spread(rng, 0.35, 0.7) if is_tape else _spread(rng, 0.6, 1.3),
            delay_px=float(rng.normal(0.0, 1.8)),
            delay_rows=int(rng.random() < 0.3) * (1 + int(is_tape)),
            noise=_spread(rng, 0.004, 0.05),
            is_interlaced=bool(rng.random() < 0.8),
            sample_mhz=float(rng.uniform(13.5, 20.0)),
            first_line=int(rng.integers(4)),
        )
    ]
    if is_tape:
        steps.append(TimeBase(_spread(rng, 0.08, 1.2), float(rng.uniform(0.3, 0.95))))
        if rng.random() < 0.5:
            steps.append(Dropout(_spread(rng, 4.0, 120.0), _spread(rng, 8.0, 60.0)))
    if rng.random() < 0.25:
        steps.append(Fields("weave"))
    return steps


def _draw_resize(rng: np.random.Generator) -> tuple[Shrink, Enlarge]:
    """Draw a way down and one up again; the kernels need not match."""
    down, up = (KERNELS[int(n)] for n in rng.integers(len(KERNELS), size=2))
    kernel: Kernel = up if up != "area" else "bicubic"  # enlarged by area is repeated pixels
    return Shrink(float(rng.uniform(0.4, 0.95)), down), Enlarge(kernel)


def draw_coded(rng: np.random.Generator, mix: Mix) -> list[CodedStep]:
    """Draw what was done to a coded picture before its codecs, in any order."""
    groups: list[list[CodedStep]] = []
    if rng.random() < mix.develop:
        chroma = float(rng.uniform(0.0, 2.0)) * float(rng.random() < 0.6)
        groups.append([Develop(float(rng.uniform(0.1, 1.2)), _spread(rng, 0.6, 1.8), chroma)])
    if rng.random() < mix.grain:
        soft = float(rng.uniform(0.4, 1.2)) * float(rng.random() < 0.6)
        groups.append([Grain(_spread(rng, 0.006, 0.08), float(rng.random()), soft)])
    if rng.random() < mix.analog:
        groups.append(_draw_analog(rng))
    elif rng.random() < mix.fields:
        kinds: list[Literal["weave", "blend", "bob"]] = ["weave", "blend", "bob"]
        groups.append([Fields(kinds[int(rng.integers(3))])])
    if rng.random() < mix.quantize:
        groups.append([Quantize(8)])
    return [step for number in rng.permutation(len(groups)) for step in groups[int(number)]]


def draw_codecs(rng: np.random.Generator, mix: Mix) -> list[CodedStep]:
    """Draw the codecs, and where about them the picture was resized."""
    is_fine = bool(rng.random() < mix.fine)
    steps: list[CodedStep] = []
    if rng.random() < mix.codec:
        steps.append(draw_codec(rng, is_fine=is_fine))
        if rng.random() < mix.second:
            steps.append(draw_codec(rng, is_fine=is_fine))
    if rng.random() < mix.resize:
        shrink, enlarge = _draw_resize(rng)
        first, last = sorted(int(n) for n in rng.integers(len(steps) + 1, size=2))
        steps.insert(last, enlarge)
        steps.insert(first, shrink)
    return steps
