"""What the code of an effect must offer, and what it is given for one tile.

Owns the seam between the renderer and the effects. Must not know files, tiles' plans or sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

__all__ = ["Effect", "Pictures", "Value", "as_scalar", "no_network"]

Value: TypeAlias = "str | int | float | bool"


class Pictures:
    """Give the same tile of every frame in the temporal window, prepared when first asked for.

    Each is a (1, 3, H, W) tensor in the working curve of the card's colorspace, on the device and
    in the precision that the network runs in. Values are held to the faded end of the trained
    range; H and W are multiples of ``align_px``.

    Args:
        prepare: Makes the tensors, oldest frame first.
        center: Index of the frame that is being rendered.
    """

    __slots__ = ("_prepare", "_tiles", "center")

    def __init__(self, prepare: Callable[[], tuple[Tensor, ...]], *, center: int) -> None:
        self._prepare = prepare
        self._tiles: tuple[Tensor, ...] | None = None
        self.center = center

    @property
    def tiles(self) -> tuple[Tensor, ...]:
        """The tiles, oldest frame first."""
        if self._tiles is None:
            self._tiles = self._prepare()
        return self._tiles

    @property
    def picture(self) -> Tensor:
        """The tile of the frame itself, (1, 3, H, W)."""
        return self.tiles[self.center]


class Effect(Protocol):
    """The code of one effect; ``effect.py`` of its folder names an instance ``EFFECT``."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, on the CPU in float32, ready to infer.

        Args:
            weights: The verified files that the card names.

        Raises:
            WeightsInvalid: The file holds other tensors than the network has.
        """
        ...

    def residual(
        self, network: nn.Module, pictures: Pictures, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return what is added to the picture in the working curve, or None to touch no pixel.

        Args:
            network: What ``build`` returned, moved to the device and precision of ``pictures``.
            pictures: The tile.
            values: Every param of the card under its name.

        Returns:
            (1, 3, H * scale, W * scale); for a scale above 1 it is added to the tile's Lanczos
            enlargement.
        """
        ...


def no_network() -> nn.Module:
    """Return a module without parameters, for an effect that needs none."""
    return nn.Identity()


def as_scalar(value: float, *, like: Tensor) -> Tensor:
    """Return a (1, 1, 1, 1) tensor on the device and in the precision of ``like``."""
    return torch.full((1, 1, 1, 1), value, dtype=like.dtype, device=like.device)
