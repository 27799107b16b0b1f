"""The deblurring network: the shared restorer, with softness and wanted detail as inputs."""

from __future__ import annotations

from kwaflux_models.effects.restorer_network import Restorer

__all__ = ["SIGMA_UNIT_PX", "DeblurNetwork"]

SIGMA_UNIT_PX = 4.0
"""The level 1 is a point spread with this standard deviation along one axis."""


class DeblurNetwork(Restorer):
    """A `Restorer` whose levels are the softness (see `SIGMA_UNIT_PX`) and the detail (0..1)."""

    def __init__(self) -> None:
        super().__init__(levels=2, is_residual=True)
