"""Draw a codec and its quality as footage has them."""

from __future__ import annotations

import numpy as np

from kwaflux_models.training.degradations.video_codecs import Encode

__all__ = ["draw_encode"]


def draw_encode(rng: np.random.Generator, *, is_light: bool = False) -> Encode:
    """Draw a codec and its settings; ``is_light`` keeps to what is nearly transparent."""
    names = ["h264", "h265", "mpeg2", "mpeg4", "mjpeg", "prores"]
    codec = names[int(rng.choice(6, p=[0.5, 0.1, 0.1, 0.1, 0.12, 0.08]))]
    limits = {"h264": (18, 34), "h265": (20, 34), "mpeg2": (3, 12), "mpeg4": (3, 12)}
    light = {"h264": (12, 20), "h265": (14, 21), "mpeg2": (2, 3), "mpeg4": (2, 3)}
    others = {"mjpeg": (2, 3 if is_light else 14), "prores": (2 if is_light else 0, 3)}
    low, high = {**others, **(light if is_light else limits)}[codec]
    return Encode(
        codec=codec,
        quality=int(rng.integers(low, high + 1)),
        preset=str(rng.choice(["veryfast", "fast", "medium"])),
        is_bt601=bool(rng.random() < 0.15),
        is_smooth_chroma=bool(rng.random() < 0.7),
    )
