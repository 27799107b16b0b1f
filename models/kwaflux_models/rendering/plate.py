"""A plate as the renderer sees it: color planes, alpha, a window and a colorspace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kwaflux_core.errors import ImageUnsupported
from kwaflux_core.geometry import Box
from kwaflux_core.images.coding import Coding
from kwaflux_core.images.image import Channel, Image, Layer

__all__ = ["Plate"]

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Plate:
    """Hold the pixels that a flow works on.

    Args:
        color: Red, green, blue, each float32 (H, W) of ``window``.
        alpha: float32 (H, W), or None.
        window: The data window.
        colorspace: An OCIO name or role.
        is_premultiplied: Whether color is multiplied with alpha.
        coding: What the plate's file says of its lossy coding; None where it says nothing.
    """

    color: tuple[Plane, Plane, Plane]
    alpha: Plane | None
    window: Box
    colorspace: str
    is_premultiplied: bool = True
    coding: Coding | None = None

    @classmethod
    def from_image(cls, image: Image, layer: Layer) -> Plate:
        """Return the plate of a picture's layer; half channels are widened (exactly).

        Raises:
            ImageUnsupported: A color channel of integers (an ID pass).
        """
        planes = tuple(_as_float32(plane) for plane in image.color_planes(layer))
        alpha = planes[3] if len(planes) == 4 else None
        return cls(
            (planes[0], planes[1], planes[2]),
            alpha,
            image.parts[layer.part].data_window,
            image.colorspace,
            is_premultiplied=image.is_premultiplied,
            coding=image.coding,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of pixels held."""
        return sum(plane.nbytes for plane in self.color) + (
            0 if self.alpha is None else self.alpha.nbytes
        )


def _as_float32(plane: Channel) -> Plane:
    if plane.dtype.kind != "f":
        raise ImageUnsupported(
            f"a color channel of type {plane.dtype} holds IDs, not light",
            hint="choose a layer whose red, green and blue are half or float",
        )
    return plane.astype(np.float32, copy=False)
