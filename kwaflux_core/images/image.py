"""A picture in memory: parts, channels, windows, attributes, and the name of its colorspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.errors import ImageError, ImageUnsupported
from kwaflux_core.geometry import Box
from kwaflux_core.images.coding import Coding

__all__ = ["SCENE_LINEAR", "Channel", "Image", "Layer", "Part"]

SCENE_LINEAR = "scene_linear"
"""The OCIO role of the working space; the default colorspace of a picture."""

Channel: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float16] | npt.NDArray[np.uint32]
"""One channel: (H, W) of its part's data window; float32, float16 or uint32."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an EXR: channels over one data window, and the header.

    Args:
        channels: Arrays (H, W) of ``data_window`` by full EXR name (``R``, ``depth.Z``,
            ``left.R``). They are not copied.
        data_window: The window of the pixels.
        display_window: The display window; it may have any relation to the data window.
        attributes: Every other header attribute by name, as OpenEXR's Python returns it.
        name: The part's name; empty in a single-part file.
        pixel_aspect: Width / height of one pixel.
        plinear: Names of the channels with EXR's pLinear flag, a hint to lossy codecs.

    Raises:
        ImageError: A channel is not (H, W) of the data window.
    """

    channels: Mapping[str, Channel]
    data_window: Box
    display_window: Box
    attributes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    name: str = ""
    pixel_aspect: float = 1.0
    plinear: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        shape = (self.data_window.height, self.data_window.width)
        for name, pixels in self.channels.items():
            if pixels.shape != shape:
                raise ImageError(
                    f"channel {name!r} is {pixels.shape}, the data window is {shape}",
                    hint="give every channel as (height, width) of the data window",
                )


@dataclass(frozen=True, slots=True)
class Layer:
    """The names of the color channels of one part.

    Args:
        part: Index into ``Image.parts``.
        color: The full names of red, green and blue.
        alpha: The full name of alpha, or None.
    """

    part: int
    color: tuple[str, str, str]
    alpha: str | None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of one or more parts.

    Args:
        parts: At least one.
        colorspace: OCIO colorspace, alias or role of the color channels.
        is_premultiplied: Whether color is multiplied with alpha, as in EXR by default.
        notes: Warnings of the reader, such as content of the file that was not read, a sentence
            each.
        coding: What the file says of its lossy coding; None where it says nothing.
    """

    parts: tuple[Part, ...]
    colorspace: str = SCENE_LINEAR
    is_premultiplied: bool = True
    notes: tuple[str, ...] = ()
    coding: Coding | None = None

    @classmethod
    def from_channels(
        cls,
        channels: Mapping[str, Channel],
        *,
        colorspace: str = SCENE_LINEAR,
        is_premultiplied: bool = True,
        attributes: Mapping[str, object] | None = None,
    ) -> Image:
        """Return a single-part picture whose data and display windows start at 0, 0.

        Args:
            channels: (H, W) arrays by name.
            colorspace: OCIO colorspace, alias or role of the color channels.
            is_premultiplied: Whether color is multiplied with alpha.
            attributes: Header attributes.

        Raises:
            ImageError: There is no channel, or channels differ in size.
        """
        if not channels:
            raise ImageError("a picture needs at least one channel")
        height, width = next(iter(channels.values())).shape
        window = Box.from_size(width, height)
        part = Part(dict(channels), window, window, dict(attributes or {}))
        return cls((part,), colorspace=colorspace, is_premultiplied=is_premultiplied)

    @property
    def part(self) -> Part:
        """The first part."""
        return self.parts[0]

    def find_layer(self, layer: str = "") -> Layer:
        """Return the color channels of a layer.

        Args:
            layer: ``""`` for the base layer (R, G, B), else the name of a layer or view before the
                dot (``diffuse``, ``left``), or the name of a part.

        Raises:
            ImageUnsupported: The picture has no such red, green and blue.
        """
        for index, part in enumerate(self.parts):
            prefixes = [f"{layer}."] if layer else [""]
            if layer and part.name == layer:
                prefixes += ["", *(f"{name[:-1]}" for name in part.channels if name[-2:] == ".R")]
            for prefix in prefixes:
                color = _color_of(part, prefix)
                if color is not None:
                    return Layer(index, color[0], color[1])
        known = ", ".join(sorted(name for part in self.parts for name in part.channels))
        raise ImageUnsupported(
            f"no red, green and blue in {'layer ' + repr(layer) if layer else 'the base layer'}",
            hint=f"the channels are: {known}; name another layer",
        )

    def color_planes(self, layer: Layer) -> tuple[Channel, ...]:
        """Return red, green, blue (and alpha, if there is one), each (H, W), not copied."""
        channels = self.parts[layer.part].channels
        planes = [channels[name] for name in layer.color]
        if layer.alpha is not None:
            planes.append(channels[layer.alpha])
        return tuple(planes)

    def with_color(
        self,
        layer: Layer,
        color: tuple[Channel, Channel, Channel],
        *,
        attributes: Mapping[str, object] | None = None,
    ) -> Image:
        """Return the picture with new color of the same size; everything else is shared.

        Args:
            layer: The channels to replace.
            color: Red, green, blue; (H, W) of the part's data window.
            attributes: Header attributes to add to, or replace in, the first part.
        """
        parts = list(self.parts)
        part = parts[layer.part]
        channels = {**part.channels, **dict(zip(layer.color, color, strict=True))}
        parts[layer.part] = replace(part, channels=channels)
        if attributes:
            parts[0] = replace(parts[0], attributes={**parts[0].attributes, **attributes})
        return replace(self, parts=tuple(parts))


def _color_of(part: Part, prefix: str) -> tuple[tuple[str, str, str], str | None] | None:
    for red, green, blue, alpha in (("R", "G", "B", "A"), ("r", "g", "b", "a")):
        names = (prefix + red, prefix + green, prefix + blue)
        if all(name in part.channels for name in names):
            has_alpha = prefix + alpha in part.channels
            return names, (prefix + alpha if has_alpha else None)
    return None
