"""The codec-damage network: the shared restorer, told the codec's level and the detail wanted."""

from __future__ import annotations

import math

from kwaflux_models.effects.restorer_network import Restorer

__all__ = ["DecompressNetwork", "level_of_step"]


def level_of_step(step: float) -> float:
    """Return the level 0..1 of a quantizer step in 8-bit code values: 1 gives 0, 64 gives 1."""
    return min(1.0, max(0.0, math.log2(max(step, 1.0)) / 6.0))


class DecompressNetwork(Restorer):
    """A `Restorer` whose levels are the codec's level (0..1) and the detail (0..1)."""

    def __init__(self) -> None:
        super().__init__(levels=2)
