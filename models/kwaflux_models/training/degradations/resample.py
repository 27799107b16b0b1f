"""Resize clips with the kernels that scalers use.

Works on numpy arrays; must not know codecs, noise, files or networks.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["KERNELS", "Kernel", "resize_clip"]

Array = NDArray[np.float32]
Kernel = Literal["area", "bilinear", "bicubic", "lanczos"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)

_FILTERS = {
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize_clip(clip: Array, size_px: tuple[int, int], kernel: Kernel) -> Array:
    """Resize every frame; a kernel grows with the step, so nothing aliases on the way down.

    Args:
        clip: (T, H, W, C).
        size_px: New (height, width); the picture's corners stay its corners.
        kernel: Interpolation.
    """
    made = np.empty((clip.shape[0], *size_px, clip.shape[3]), dtype=np.float32)
    for frame, target in zip(clip, made, strict=True):
        for channel in range(clip.shape[3]):
            plane = Image.fromarray(np.ascontiguousarray(frame[..., channel], dtype=np.float32))
            small = plane.resize((size_px[1], size_px[0]), _FILTERS[kernel])
            target[..., channel] = np.asarray(small)
    return made
