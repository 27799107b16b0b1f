"""Fixtures of the measurements: a server, a renderer and plates."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kwaflux_core.client.client import Client
from kwaflux_core.color.config import ColorConfig
from kwaflux_core.flows.flow import BoundFlow, Flow
from kwaflux_core.geometry import Box
from kwaflux_core.images.image import SCENE_LINEAR, Image
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer, RenderedFrame
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_models.rendering.plate import Plate
from kwaflux_server.launcher import ensure_server

__all__ = ["LocalRenderer", "noisy_planes", "plate_image", "plate_of", "private_server"]


@contextmanager
def private_server(environ: Mapping[str, str], *arguments: str) -> Iterator[Client]:
    """Start a server in its own directory; yield a client of it; stop it."""
    with tempfile.TemporaryDirectory(prefix="kw-") as folder:
        private = {**environ, "KWAFLUX_RUNTIME_DIR": str(Path(folder) / "run")}
        ensure_server(environ=private, arguments=arguments)
        with Client.connect(environ=private) as client:
            try:
                yield client
            finally:
                client.shutdown()


def noisy_planes(
    height: int, width: int, *, count: int = 4, seed: int = 1
) -> npt.NDArray[np.float32]:
    """Return (count, height, width) planes: gradients and texture with noise; alpha last, at 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = np.empty((count, height, width), np.float32)
    for index in range(min(count, 3)):
        planes[index] = 0.3 + 0.25 * np.sin(x / (37 + index)) * np.cos(y / (53 - index))
        planes[index] += rng.normal(0, 0.03, (height, width)).astype(np.float32)
    if count == 4:
        planes[3] = 1.0
    return planes


def plate_image(planes: npt.NDArray[np.float32]) -> Image:
    """Return planes as a picture in scene-linear."""
    names = ("R", "G", "B", "A")[: len(planes)]
    return Image.from_channels(dict(zip(names, planes, strict=True)))


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
        """Parse a flow and bind it to the cards."""
        return Flow.parse(flow).bind(self.registry.cards, self.registry.presets)

    def render(
        self,
        flow: str,
        planes: npt.NDArray[np.float32],
        *,
        tile_px: int = 512,
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


def plate_of(planes: npt.NDArray[np.float32]) -> Plate:
    """Return planes as a plate in scene-linear."""
    window = Box.from_size(planes.shape[2], planes.shape[1])
    alpha = planes[3] if len(planes) == 4 else None
    return Plate((planes[0], planes[1], planes[2]), alpha, window, SCENE_LINEAR)
