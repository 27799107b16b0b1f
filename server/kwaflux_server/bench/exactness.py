"""Measure tiled against untiled, a region against a crop, and identity at strength 0."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from kwaflux_core.geometry import Box
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.local_renderer import LocalRenderer
from kwaflux_server.bench.fixtures import noisy_planes
from kwaflux_server.bench.rows import Row

__all__ = ["exactness"]

_TOLERANCE = 1e-5


def exactness(local: LocalRenderer, *, flow: str) -> list[Row]:
    """Return the largest difference between ways of rendering the same pixels."""
    planes = noisy_planes(229, 301, count=3)
    planes[:, 100:140, 160:220] = 900.0
    whole = np.stack(local.render(flow, planes, tile_px=4096).color)
    tiled = np.stack(local.render(flow, planes, tile_px=128).color)
    region = Box(83, 45, 278, 191)
    part = np.stack(local.render(flow, planes, tile_px=128, region=region).color)
    crop = whole[:, region.y0 : region.y1, region.x0 : region.x1]
    hostile = planes.copy()
    hostile[0, 3, 5], hostile[1, 9, 9], hostile[2, 20, 4] = np.nan, np.inf, -0.0
    off = flow.partition("(")[0] + "(strength=0)"
    unchanged = np.stack(local.render(off, hostile).color)
    changed = int((unchanged.view(np.uint32) != hostile.view(np.uint32)).sum())
    size = "301 x 229 with a patch of 900.0"
    return [
        Row("tiled against untiled", _apart(tiled, whole), "", _TOLERANCE, size),
        Row("region against the crop of the whole", _apart(part, crop), "", _TOLERANCE, size),
        Row("bits changed at strength 0", changed, "", 0, "NaN, Inf and -0 among the pixels"),
    ]


def _apart(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    curves = [
        working_curves.encode(torch.from_numpy(np.ascontiguousarray(p))) for p in (one, other)
    ]
    return float((curves[0] - curves[1]).abs().max())
