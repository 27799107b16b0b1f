"""Distributions of codecs and qualities, one for each kind of footage that a task imitates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kwaflux_models.training.degradations.codec_roundtrip import Encode

__all__ = [
    "ANY_CODEC",
    "FOOTAGE",
    "LIGHT_FOOTAGE",
    "LIGHT_H264",
    "SMALL_PICTURES",
    "CodecMix",
    "CodecRange",
    "draw_codec",
]


@dataclass(frozen=True, slots=True)
class CodecRange:
    """One codec of a mix.

    Attributes:
        share: Probability of the codec, 0..1.
        low: Lowest quality drawn, on the codec's own scale (`Encode.quality`).
        high: Highest quality drawn; both ends are included.
    """

    share: float
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class CodecMix:
    """A distribution of codecs.

    Attributes:
        codecs: Ranges by codec; the shares add up to 1. Qualities are uniform in a range.
        bt601: Probability of the BT.601 matrix; preset and enlargement of chroma are drawn too.
            None leaves all three as `Encode` has them.
    """

    codecs: Mapping[str, CodecRange]
    bt601: float | None = None


FOOTAGE = CodecMix(
    {
        "h264": CodecRange(0.5, 18, 34),
        "h265": CodecRange(0.1, 20, 34),
        "mpeg2": CodecRange(0.1, 3, 12),
        "mpeg4": CodecRange(0.1, 3, 12),
        "mjpeg": CodecRange(0.12, 2, 14),
        "prores": CodecRange(0.08, 0, 3),
    },
    bt601=0.15,
)
LIGHT_FOOTAGE = CodecMix(
    {
        "h264": CodecRange(0.5, 12, 20),
        "h265": CodecRange(0.1, 14, 21),
        "mpeg2": CodecRange(0.1, 2, 3),
        "mpeg4": CodecRange(0.1, 2, 3),
        "mjpeg": CodecRange(0.12, 2, 3),
        "prores": CodecRange(0.08, 2, 3),
    },
    bt601=0.15,
)
"""The codecs of `FOOTAGE`, nearly transparent."""

ANY_CODEC = CodecMix(
    {
        "jpeg": CodecRange(0.2, 12, 95),
        "h264": CodecRange(0.28, 16, 38),
        "h265": CodecRange(0.1, 18, 38),
        "mpeg2": CodecRange(0.12, 2, 16),
        "mpeg4": CodecRange(0.06, 2, 16),
        "mjpeg": CodecRange(0.06, 2, 16),
        "h264_10": CodecRange(0.03, 16, 36),
        "h265_10": CodecRange(0.03, 18, 36),
        "prores": CodecRange(0.04, 0, 3),
        "dv": CodecRange(0.04, 0, 0),
        "vp9": CodecRange(0.04, 20, 50),
    },
    bt601=0.3,
)
"""Codecs and qualities in use, from nearly transparent to heavy."""

SMALL_PICTURES = CodecMix(
    {
        "jpeg": CodecRange(0.35, 30, 95),
        "h264": CodecRange(0.4, 14, 32),
        "h265": CodecRange(0.1, 16, 32),
        "mpeg2": CodecRange(0.15, 2, 10),
    }
)
LIGHT_H264 = CodecMix({"h264": CodecRange(1.0, 10, 23)})


def draw_codec(rng: np.random.Generator, mix: CodecMix) -> Encode:
    """Draw a codec and its settings from a mix."""
    names = list(mix.codecs)
    shares = [entry.share for entry in mix.codecs.values()]
    codec = names[int(rng.choice(len(names), p=shares))] if len(names) > 1 else names[0]
    entry = mix.codecs[codec]
    quality = int(rng.integers(entry.low, entry.high + 1))
    if mix.bt601 is None:
        return Encode(codec, quality)
    return Encode(
        codec,
        quality,
        preset=str(rng.choice(["veryfast", "fast", "medium"])),
        is_bt601=bool(rng.random() < mix.bt601),
        is_smooth_chroma=bool(rng.random() < 0.7),
    )
