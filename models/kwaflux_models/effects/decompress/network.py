"""The codec-damage network: the shared restorer, told the codec's level and the detail wanted."""

from __future__ import annotations

from kwaflux_models.effects.restorer_network import Restorer

__all__ = ["DecompressNetwork"]


class DecompressNetwork(Restorer):
    """A `Restorer` whose levels are the codec's level (0..1) and the detail (0..1)."""

    def __init__(self) -> None:
        super().__init__(levels=2)
