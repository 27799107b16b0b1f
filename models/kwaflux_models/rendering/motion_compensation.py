"""Bring a tile of a neighboring frame to where its pixels are in the frame at hand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from kwaflux_core.geometry import Box
from kwaflux_core.tiling import mirrored_indices
from kwaflux_models.rendering.motion_field import FINE, MotionField

__all__ = ["MARGIN_PX", "CompensatedTile", "compensate", "compensated_tile"]

MARGIN_PX = 2
"""Pixels that the bicubic filter reads around a place."""


@dataclass(frozen=True, slots=True)
class CompensatedTile:
    """Say where the pixels of a tile are found in a neighbor.

    Args:
        source: What is read of the neighbor; up to `MARGIN_PX` outside the frame.
        places: (2, h, w) int32: right and down from the first pixel of ``source``, in 1/32 pixel.
        rows: For each row of the tile, halo included, the row of ``places``.
        columns: Likewise.
    """

    source: Box
    places: NDArray[np.int32]
    rows: list[int]
    columns: list[int]


def compensated_tile(
    motion: MotionField, read: Box, *, whole: Box, scale: int, reach_px: int
) -> CompensatedTile:
    """Return where a tile is found in a neighbor.

    Args:
        motion: From the frame to the neighbor.
        read: The tile with its halo; what lies outside the frame is mirrored.
        whole: The frame's data window as the step receives it.
        scale: How many times larger that is than the plate's.
        reach_px: Motion beyond it is cut off, along each axis.
    """
    inside = read.intersection(whole) or whole
    from_first = Box(
        inside.x0 - whole.x0, inside.y0 - whole.y0, inside.x1 - whole.x0, inside.y1 - whole.y0
    )
    places = motion.within(from_first, scale=scale)
    np.clip(places, -reach_px * FINE, reach_px * FINE, out=places)
    places[0] += np.arange(inside.x0, inside.x1, dtype=np.int32)[None, :] * FINE
    places[1] += np.arange(inside.y0, inside.y1, dtype=np.int32)[:, None] * FINE
    np.clip(places[0], whole.x0 * FINE, (whole.x1 - 1) * FINE, out=places[0])
    np.clip(places[1], whole.y0 * FINE, (whole.y1 - 1) * FINE, out=places[1])
    x0, x1 = (int(value) // FINE for value in (places[0].min(), places[0].max()))
    y0, y1 = (int(value) // FINE for value in (places[1].min(), places[1].max()))
    source = Box(x0, y0, x1 + 1, y1 + 1).expanded(MARGIN_PX)
    places[0] -= source.x0 * FINE
    places[1] -= source.y0 * FINE
    return CompensatedTile(
        source,
        places,
        mirrored_indices(read.y0 - inside.y0, read.y1 - inside.y0, inside.height),
        mirrored_indices(read.x0 - inside.x0, read.x1 - inside.x0, inside.width),
    )


def compensate(neighbor: Tensor, tile: CompensatedTile) -> Tensor:
    """Return the pixels of a tile as a neighbor shows them, by bicubic interpolation.

    Args:
        neighbor: (1, C, h, w), the pixels of ``tile.source``.
        tile: Where they are found.

    Returns:
        (1, C, H, W): the tile with its halo.
    """
    if neighbor.device.type == "cpu":
        moved = _remapped(neighbor, tile.places)
    else:
        moved = _sampled(neighbor, tile.places)
    height, width = tile.places.shape[1:]
    if len(tile.rows) != height or len(tile.columns) != width:
        moved = moved[:, :, tile.rows][..., tile.columns]
    return moved.contiguous(memory_format=torch.channels_last)


def _remapped(neighbor: Tensor, places: NDArray[np.int32]) -> Tensor:
    pixels = neighbor[0].float().permute(1, 2, 0).contiguous().numpy()
    whole = np.ascontiguousarray((places // FINE).astype(np.int16).transpose(1, 2, 0))
    parts = (places % FINE).astype(np.uint16)
    moved = cv2.remap(
        pixels,
        whole,
        parts[1] * np.uint16(FINE) + parts[0],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return torch.from_numpy(moved).permute(2, 0, 1)[None].to(neighbor.dtype)


def _sampled(neighbor: Tensor, places: NDArray[np.int32]) -> Tensor:
    height, width = neighbor.shape[-2:]
    at = torch.from_numpy(places).to(neighbor.device).float() / FINE
    size = at.new_tensor([width - 1, height - 1]).clamp_min(1.0).reshape(2, 1, 1)
    grid = (2.0 * at / size - 1.0).permute(1, 2, 0)[None]
    moved = F.grid_sample(
        neighbor.float(), grid, mode="bicubic", padding_mode="border", align_corners=True
    )
    return moved.to(neighbor.dtype)
