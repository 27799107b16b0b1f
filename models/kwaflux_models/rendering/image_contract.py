"""The image contract for one tile: into a network's domain, and back as a difference.

Owns the math that keeps a picture's bits wherever a network does nothing. With ``x`` the plate,
``u`` the unpremultiplied color, ``y`` the same in the network's colorspace, ``c = curve(y)`` and
``r`` the network's residual:

    delta = inverse(c + r) - inverse(c)
    out   = x + alpha * (back(y + delta) - back(y))

No step of the way there and back is exact in float32; the difference of two equal numbers is.
NaN and Inf never reach the network and stand in the result as they stood in the plate. Must not
know files, tiles' plans or which effect runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_core.color.config import ColorConfig, Converter
from kwaflux_core.flows.card import Working
from kwaflux_models.rendering import working_curves

__all__ = ["Domain", "Prepared"]

_ALPHA_FLOOR = 1e-3
"""Below this alpha, color is not divided: the quotient would be noise."""
_FILL_RADIUS_PX = 2

Curve = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold a tile on its way: the plate's own values and the same in the network's domain.

    All tensors are float32: ``x`` (1, 3, H, W), ``alpha`` (1, 1, H, W) or None, ``y`` and ``c``
    as in the module's formula. ``finite`` is None where every value of ``x`` is finite.
    ``is_in_range`` tells that no value of ``y`` lies beyond the trained range.
    """

    x: Tensor
    alpha: Tensor | None
    y: Tensor
    c: Tensor
    finite: Tensor | None
    is_in_range: bool

    def cropped(self, left: int, top: int, width: int, height: int) -> Prepared:
        """Return the same for a rectangle of the tile, as views."""
        rows, columns = slice(top, top + height), slice(left, left + width)

        def crop(tensor: Tensor) -> Tensor:
            return tensor[..., rows, columns]

        return Prepared(
            crop(self.x),
            None if self.alpha is None else crop(self.alpha),
            crop(self.y),
            crop(self.c),
            None if self.finite is None else crop(self.finite),
            self.is_in_range,
        )


class Domain:
    """Lead tiles of one plate's colorspace into one network's domain and back.

    Args:
        working: What the card says of the network's domain.
        colorspace: The plate's colorspace.
        config: The OCIO config both names are looked up in.
        is_premultiplied: Whether the plate's color is multiplied with its alpha.

    Raises:
        UnknownColorspace: One of the two names is not in the config.
    """

    def __init__(
        self, working: Working, *, colorspace: str, config: ColorConfig, is_premultiplied: bool
    ) -> None:
        self._forward = config.converter(colorspace, working.colorspace)
        self._backward = config.converter(working.colorspace, colorspace)
        self._is_premultiplied = is_premultiplied
        self._low, self._high = working.range
        self._faded_low, self._faded_high = self._low * working.fade, self._high * working.fade
        self._encode: Curve = partial(working_curves.encode, curve=working.curve)
        self._decode: Curve = partial(working_curves.decode, curve=working.curve)

    def prepare(self, x: Tensor, alpha: Tensor | None) -> Prepared:
        """Return a tile in the network's domain.

        Args:
            x: (1, 3, H, W) float32, the plate's color as it is.
            alpha: (1, 1, H, W) float32, or None.
        """
        low, high = (float(value) for value in torch.aminmax(x))
        finite = None if np.isfinite(low) and np.isfinite(high) else torch.isfinite(x)
        u = x if finite is None else _filled(x, finite)
        factor = self._alpha_factor(alpha)
        if factor is not None:
            u = u / factor
        y = _convert(self._forward, u)
        if y is not x:
            low, high = (float(value) for value in torch.aminmax(y))
        is_in_range = low >= self._low and high <= self._high
        return Prepared(x, alpha, y, self._encode(y), finite, is_in_range)

    def for_network(self, prepared: Prepared, *, dtype: torch.dtype) -> Tensor:
        """Return what the network sees: ``c`` held to the faded end of the trained range."""
        c = prepared.c
        if not prepared.is_in_range:
            ends = torch.tensor([self._faded_low, self._faded_high], dtype=torch.float32)
            low, high = (float(value) for value in self._encode(ends))
            c = c.clamp(low, high)
        return c.to(dtype)

    def apply(self, prepared: Prepared, residual: Tensor) -> Tensor:
        """Return the tile with a network's residual applied, (1, 3, H, W) float32.

        Where the residual is zero, every bit of the plate is kept.
        """
        r = residual.float()
        if not prepared.is_in_range:
            r = r * self._fade(prepared.y)
        delta = self._decode(prepared.c + r) - self._decode(prepared.c)
        if self._backward.is_identity or self._backward.matrix is not None:
            delta = _convert(self._backward, delta)
        else:
            delta = _convert(self._backward, prepared.y + delta) - _convert(
                self._backward, prepared.y
            )
        factor = self._alpha_factor(prepared.alpha)
        if factor is not None:
            delta = delta * factor
        is_kept = delta == 0
        if prepared.finite is not None:
            is_kept |= ~prepared.finite
        return torch.where(is_kept, prepared.x, prepared.x + delta)

    def beyond_trained(self, prepared: Prepared) -> int:
        """Return how many values of a tile lie beyond the trained range."""
        if prepared.is_in_range:
            return 0
        y = prepared.y
        return int(((y < self._low) | (y > self._high)).sum())

    def _fade(self, y: Tensor) -> Tensor:
        """Return the weight (1, 1, H, W) of the residual: 1 in the trained range, 0 far beyond."""
        c = self._encode(y)
        marks = self._encode(
            torch.tensor([self._faded_low, self._low, self._high, self._faded_high])
        ).tolist()
        above = (marks[3] - c) / max(marks[3] - marks[2], 1e-6)
        below = (c - marks[0]) / max(marks[1] - marks[0], 1e-6)
        return torch.minimum(above, below).amin(dim=1, keepdim=True).clamp(0.0, 1.0)

    def _alpha_factor(self, alpha: Tensor | None) -> Tensor | None:
        if alpha is None or not self._is_premultiplied:
            return None
        usable = torch.isfinite(alpha) & (alpha > _ALPHA_FLOOR)
        return torch.where(usable, alpha, torch.ones_like(alpha))


def _convert(converter: Converter, x: Tensor) -> Tensor:
    """Return (1, 3, H, W) color converted: a matrix on any device, all else through OCIO."""
    if converter.is_identity:
        return x
    if converter.matrix is not None:
        matrix = torch.tensor(converter.matrix, dtype=torch.float32, device=x.device)
        # A product of matrices took a tenth of the time of the same as a 1 x 1 convolution.
        return torch.mm(matrix.reshape(3, 3), x.reshape(3, -1)).reshape(x.shape)
    planes = x[0].detach().to("cpu", copy=True).contiguous().numpy()
    converter.apply(planes)
    return torch.from_numpy(planes)[None].to(x.device)


def _filled(x: Tensor, finite: Tensor) -> Tensor:
    """Return ``x`` with NaN and Inf replaced by the mean of their finite neighbors, or 0."""
    weight = finite.float()
    clean = torch.where(finite, x, torch.zeros_like(x))
    size = 2 * _FILL_RADIUS_PX + 1
    kernel = torch.ones(3, 1, size, size, device=x.device)
    total = F.conv2d(clean, kernel, padding=_FILL_RADIUS_PX, groups=3)
    count = F.conv2d(weight, kernel, padding=_FILL_RADIUS_PX, groups=3)
    return torch.where(finite, x, total / count.clamp(min=1.0))
