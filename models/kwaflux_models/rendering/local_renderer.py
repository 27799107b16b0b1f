"""A renderer in this process: installed effects, warm networks and planes behind one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.flows.flow import BoundFlow, Flow
from kwaflux_core.geometry import Box
from kwaflux_core.images.image import SCENE_LINEAR
from kwaflux_core.tiling import TILE_PX
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer, RenderedFrame
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_models.rendering.plate import Plate

__all__ = ["LocalRenderer", "plate_of"]


@dataclass(slots=True)
class LocalRenderer:
    """Render in this process, as a worker would."""

    registry: Registry
    device: Device
    warm: WarmModels
    config: ColorConfig
    pool: PlanePool

    @classmethod
    def on_cpu(cls, *, precision: str = "float32") -> LocalRenderer:
        """Return a renderer on the CPU."""
        registry, device = Registry.discover(), Device("cpu")
        warm = WarmModels(
            registry,
            device=device,
            budget_bytes=0,
            precision=precision,
            on_change=lambda resident: None,
        )
        return cls(registry, device, warm, ColorConfig.default(), PlanePool())

    def bind(self, flow: str) -> BoundFlow:
        """Return a flow's text, bound."""
        return Flow.parse(flow).bind(self.registry.cards, named=self.registry.named_flows)

    def render(
        self,
        flow: str,
        planes: NDArray[np.float32],
        *,
        tile_px: int = TILE_PX,
        region: Box | None = None,
    ) -> RenderedFrame:
        """Render (3 or 4, H, W) scene-linear planes through a flow."""
        renderer = FrameRenderer(
            self.warm.lend, device=self.device, config=self.config, tile_px=tile_px
        )
        plate = plate_of(planes)
        return renderer.render(
            self.bind(flow),
            {1: plate},
            frame=1,
            scratch=self.pool.take,
            final=self.pool.take,
            region=region,
        )


def plate_of(planes: NDArray[np.float32]) -> Plate:
    """Return planes as a plate in scene-linear."""
    window = Box.from_size(planes.shape[2], planes.shape[1])
    alpha = planes[3] if len(planes) == 4 else None
    return Plate((planes[0], planes[1], planes[2]), alpha, window, SCENE_LINEAR)
