"""Touch no pixel. The plate still travels, is scheduled and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from kwaflux_models.rendering.effect_api import TileInput, Value, no_network

__all__ = ["EFFECT", "Identity"]


class Identity:
    """Return every pixel as it came."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return a network without parameters."""
        return no_network()

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return None: no pixel is touched."""
        return None


EFFECT = Identity()
