"""Conversion of a picture to another colorspace, if its target's file format requires it.

A plate that keeps its colorspace is never converted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.images.image import SCENE_LINEAR, Channel, Image, Layer

__all__ = ["recolored"]

Planes: TypeAlias = npt.NDArray[np.float32]


def recolored(image: Image, layer: Layer, colorspace: str, *, config: ColorConfig) -> Image:
    """Return a picture with one layer's color in another colorspace, as float32.

    Alpha is unchanged; premultiplied color is unpremultiplied for the conversion. A picture with
    straight alpha becomes premultiplied if the new colorspace is scene-linear, as EXR requires.

    Args:
        image: The picture; its other layers are unchanged.
        layer: The color channels to convert.
        colorspace: Name, alias or role of the new colorspace.
        config: The OCIO config that defines both names.

    Raises:
        UnknownColorspace: The config lacks one of the names.
    """
    planes = image.color_planes(layer)
    alpha = planes[3] if len(planes) == 4 else None
    color = np.stack([plane.astype(np.float32) for plane in planes[:3]])
    if alpha is not None and image.is_premultiplied:
        color = _divided(color, alpha)
    config.converter(image.colorspace, colorspace).apply(color)
    name = config.resolve(colorspace)
    is_linear = name == config.resolve(SCENE_LINEAR)
    is_premultiplied = image.is_premultiplied or is_linear
    if alpha is not None and is_premultiplied:
        color *= _factor(alpha)
    done = image.with_color(layer, (color[0], color[1], color[2]))
    name = SCENE_LINEAR if is_linear else name
    return replace(done, colorspace=name, is_premultiplied=is_premultiplied)


def _divided(color: Planes, alpha: Channel) -> Planes:
    factor = _factor(alpha)
    return np.divide(color, factor, out=color.copy(), where=factor > 0)


def _factor(alpha: Channel) -> Planes:
    widened = alpha.astype(np.float32)
    return np.where(np.isfinite(widened), widened, np.float32(1.0))
