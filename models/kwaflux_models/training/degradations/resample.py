"""Make clips smaller and bring them back, with kernels nobody wrote down.

Works on display-encoded numpy arrays; must not know codecs, noise, files or networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["KERNELS", "Enlarge", "Kernel", "Shrink", "resize_clip"]

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


@dataclass(frozen=True, slots=True)
class Shrink:
    """Make a clip smaller.

    Attributes:
        scale: New size / old size, above 0, at most 1; sides are rounded to even numbers.
        kernel: Interpolation.
    """

    scale: float
    kernel: Kernel = "bicubic"

    def apply(self, clip: Array) -> Array:
        """Return the smaller clip, (T, h, w, C)."""
        height, width = (max(2 * round(0.5 * self.scale * n), 2) for n in clip.shape[1:3])
        return resize_clip(clip, (height, width), self.kernel)


@dataclass(frozen=True, slots=True)
class Enlarge:
    """Bring a clip back to the size it had at the head of its chain.

    Attributes:
        kernel: Interpolation.
    """

    kernel: Kernel = "bicubic"

    def apply(self, clip: Array, size_px: tuple[int, int]) -> Array:
        """Return the clip at (height, width) ``size_px``."""
        return resize_clip(clip, size_px, self.kernel)
