"""What the contact sheet shows: every step at three strengths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kwaflux_models.training.degradations.analog_video import (
    NTSC,
    PAL,
    Composite,
    Dropout,
    Fields,
    TimeBase,
)
from kwaflux_models.training.degradations.chain import Chain, draw_chain
from kwaflux_models.training.degradations.lens_blur import Aberration, Defocus, Lens, Streak
from kwaflux_models.training.degradations.resample import Enlarge, Shrink
from kwaflux_models.training.degradations.sensor_noise import Sensor
from kwaflux_models.training.degradations.steps import (
    CodedStep,
    Develop,
    Grain,
    LinearStep,
    Quantize,
)
from kwaflux_models.training.degradations.video_codecs import Encode

__all__ = ["Row", "rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One step at three strengths.

    Attributes:
        name: What the row is called.
        labels: What each strength is, in numbers.
        chains: The three chains.
        clip: Which clip shows it best: 0 a portrait, 1 objects, 2 type; -1 for the next in turn.
    """

    name: str
    labels: tuple[str, str, str]
    chains: tuple[Chain, Chain, Chain]
    clip: int = -1


def _linear(name: str, labels: tuple[str, str, str], *steps: LinearStep) -> Row:
    """Return a row of steps in linear light."""
    low, middle, high = (Chain(linear=(step,)) for step in steps)
    return Row(name, labels, (low, middle, high))


def _coded(
    name: str, labels: tuple[str, str, str], *steps: CodedStep | list[CodedStep], clip: int = -1
) -> Row:
    """Return a row of steps, or of several at a time, on code values."""
    low, middle, high = (
        Chain(coded=tuple(step) if isinstance(step, list) else (step,)) for step in steps
    )
    return Row(name, labels, (low, middle, high), clip)


def _optical_rows() -> list[Row]:
    return [
        _linear("defocus", ("1 px", "2.5 px", "5 px"), *map(Defocus, (1.0, 2.5, 5.0))),
        _linear(
            "camera motion",
            ("4 px", "9 px", "16 px"),
            *(Streak(length, 0.4) for length in (4.0, 9.0, 16.0)),
        ),
        _linear(
            "lens, with a halo",
            ("0.7 px", "1.2 px, 8 %", "1.8 px, 20 %"),
            Lens(0.7),
            Lens(1.2, 0.08),
            Lens(1.8, 0.2),
        ),
        _linear(
            "lateral color",
            ("0.6 px", "1.5 px", "3 px"),
            *(Aberration(g, -g, (0.0, 1500.0)) for g in (0.0004, 0.001, 0.002)),
        ),
        _linear(
            "sensor: shot, read, mosaic",
            ("1 % on mid gray", "3 %", "8 %"),
            *(_camera(sigma) for sigma in (0.01, 0.03, 0.08)),
        ),
    ]


def _camera(sigma: float) -> Sensor:
    """Return a camera with a noise on mid gray, display units."""
    linear = sigma / 1.2
    return Sensor(shot=0.95 * linear**2 / 0.18, read=0.22 * linear, gains=(1.8, 1.5), crosstalk=0.5)


def _analog_rows() -> list[Row]:
    tape = Composite(NTSC, luma_mhz=3.0, chroma_mhz=0.5)
    return [
        _coded(
            "NTSC, notch: dots, rainbow",
            ("trap 1.0", "trap 0.8", "trap 0.4"),
            *(Composite(NTSC, trap=trap) for trap in (1.0, 0.8, 0.4)),
            clip=2,
        ),
        _coded(
            "PAL, comb: hanging dots",
            ("1.3 MHz", "0.9 MHz", "0.6 MHz, noise 3 %"),
            Composite(PAL, decoder="comb", luma_mhz=5.0, chroma_mhz=1.3),
            Composite(PAL, decoder="comb", luma_mhz=5.0, chroma_mhz=0.9),
            Composite(PAL, decoder="comb", luma_mhz=5.0, chroma_mhz=0.6, noise=0.03),
            clip=2,
        ),
        _coded(
            "tape: color late and wide",
            ("1 px", "3 px", "6 px, 2 rows"),
            replace(tape, delay_px=1.0),
            replace(tape, delay_px=3.0, noise=0.02),
            replace(tape, delay_px=6.0, delay_rows=2, noise=0.05),
            clip=2,
        ),
        _coded(
            "time-base error",
            ("0.3 px", "0.8 px", "2 px"),
            *(TimeBase(jitter, 0.8, jitter) for jitter in (0.3, 0.8, 2.0)),
            clip=2,
        ),
        _coded(
            "dropouts",
            ("20 / MP", "80 / MP", "300 / MP"),
            *(Dropout(rate) for rate in (20.0, 80.0, 300.0)),
            clip=0,
        ),
        _coded(
            "two fields in a frame",
            ("bob", "blend", "weave"),
            Fields("bob"),
            Fields("blend"),
            Fields("weave"),
            clip=1,
        ),
    ]


def _picture_rows() -> list[Row]:
    resized: list[list[CodedStep]] = [
        [Shrink(0.8, "bicubic"), Enlarge("bicubic")],
        [Shrink(0.6, "lanczos"), Enlarge("bilinear")],
        [Shrink(0.4, "area"), Enlarge("lanczos")],
    ]
    return [
        _coded(
            "smaller and back",
            ("0.8 bicubic", "0.6 Lanczos, bilinear", "0.4 area, Lanczos"),
            *resized,
        ),
        _coded(
            "a camera's sharpening",
            ("0.3", "0.8", "1.5, color smoothed"),
            Develop(0.3),
            Develop(0.8, 1.2),
            Develop(1.5, 1.5, 2.0),
        ),
        _coded(
            "noise on code values",
            ("1.5 % white", "4 % gray, soft", "8 %"),
            Grain(0.015),
            Grain(0.04, 0.0, 0.7),
            Grain(0.08, 0.7, 0.5),
        ),
        _coded(
            "rounding (training: 8 bits)",
            ("8 bits", "6 bits", "5 bits"),
            *(Quantize(bits) for bits in (8, 6, 5)),
            clip=0,
        ),
    ]


_QUALITIES: dict[str, tuple[int, int, int]] = {
    "h264": (20, 28, 38),
    "h264_10": (20, 28, 38),
    "h265": (20, 28, 38),
    "h265_10": (20, 28, 38),
    "mpeg1": (3, 8, 16),
    "mpeg2": (3, 8, 16),
    "mpeg4": (3, 8, 16),
    "mjpeg": (3, 8, 16),
    "jpeg": (85, 40, 12),
    "prores": (3, 1, 0),
    "dv": (2, 1, 0),
    "dnxhd": (2, 1, 0),
    "vp9": (25, 45, 60),
}


def _codec_rows() -> list[Row]:
    made = []
    for name, qualities in _QUALITIES.items():
        how = [Encode(name, quality, is_bt601=name == "dv") for quality in qualities]
        low, middle, high = (f"{e.quality} (step {e.step:.3g})" for e in how)
        made.append(_coded(name, (low, middle, high), *how))
    twice: list[list[CodedStep]] = [
        [Encode("mpeg2", 4), Encode("h264", 26)],
        [Encode("mpeg2", 8), Shrink(0.7), Encode("h264", 28), Enlarge()],
        [Encode("dv", 0, is_bt601=True), Shrink(0.5), Encode("mpeg4", 8), Enlarge("bilinear")],
    ]
    labels = ("mpeg2, h264", "mpeg2, 0.7, h264", "dv, 0.5, mpeg4")
    return [*made, _coded("two generations", labels, *twice)]


def rows(rng: np.random.Generator) -> list[Row]:
    """Return the rows of the sheet: every step, and nine drawn chains."""
    drawn = [tuple(draw_chain(rng) for _ in range(3)) for _ in range(3)]
    whole = [
        Row("a drawn chain", (_told(low), _told(middle), _told(high)), (low, middle, high))
        for low, middle, high in drawn
    ]
    return [*_optical_rows(), *_analog_rows(), *_picture_rows(), *_codec_rows(), *whole]


def _told(chain: Chain) -> str:
    """Return the labels of a chain in a few words."""
    told = chain.conditions
    return f"n {told.noise:.3f} b {told.blur_px:.1f} q {told.step:.0f} s {told.scale:.2f}"
