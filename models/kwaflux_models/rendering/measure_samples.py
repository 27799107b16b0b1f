"""The samples that an effect measures a frame by: a fixed grid of places, as tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from kwaflux_core.flows.card import Card
from kwaflux_core.geometry import Box
from kwaflux_core.tiling import mirrored_indices
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.effect_api import (
    SAMPLE_PX,
    Effect,
    MeasuringEffect,
    Samples,
    TileInput,
    Value,
)
from kwaflux_models.rendering.image_contract import Domain
from kwaflux_models.rendering.motion_compensation import compensate, compensated_tile
from kwaflux_models.rendering.motion_field import MotionField
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.step_renderer import Plane, gather

__all__ = [
    "aligned_sample_tensor",
    "lone_tile_input",
    "sample_places",
    "sample_tensor",
    "source_place",
]

_PLACES_A_SIDE = 4


def sample_places(window: Box, *, align_px: int, scale: int) -> tuple[Box, ...]:
    """Return the places of a frame that are looked at, ``SAMPLE_PX`` a side, row by row.

    They depend on the frame's size alone, never on the part of it that is rendered: at most four
    a side, evenly from the first pixel to the last that the alignment allows, fewer where the
    frame is too small for as many beside each other. A place reaches outside a frame that is
    smaller than itself; it is mirrored there.

    Args:
        window: All pixels there are: the data window of the step's input.
        align_px: The offset of a place from the window's first pixel is a multiple of this,
        scale: and of this, so that it is a whole number of the plate's own pixels.
    """
    step = math.lcm(align_px, scale)
    return tuple(
        Box.from_size(SAMPLE_PX, SAMPLE_PX, x0=window.x0 + x, y0=window.y0 + y)
        for y in _offsets(window.height, step=step)
        for x in _offsets(window.width, step=step)
    )


def source_place(place: Box, *, scale: int) -> Box:
    """Return the pixels of the plate that a place of the enlarged picture was made from."""
    side = SAMPLE_PX // scale
    return Box.from_size(side, side, x0=place.x0 // scale, y0=place.y0 // scale)


@torch.inference_mode()
def sample_tensor(plates: Iterable[tuple[Plate, Box]], *, domain: Domain, device: Device) -> Tensor:
    """Return (N, 3, side, side) float32 on the device: places in the domain's working curve.

    Values are held to the faded end of the trained range; NaN and Inf are filled in.

    Args:
        plates: A plate and a place in it, as often as there are places.
        domain: Of the effect that looks.
        device: Where it runs.
    """
    return torch.cat([_prepared(plate, place, domain, device) for plate, place in plates])


@torch.inference_mode()
def aligned_sample_tensor(
    neighbor: Plate,
    places: Iterable[Box],
    *,
    motion: MotionField,
    whole: Box,
    reach_px: int,
    domain: Domain,
    device: Device,
) -> Tensor:
    """Return (N, 3, side, side) float32 on the device: places as a neighboring frame shows them.

    Args:
        neighbor: The neighbor's plate.
        places: Places of the frame at hand.
        motion: From the frame at hand to the neighbor.
        whole: The data window of the frame at hand.
        reach_px: Motion beyond it is cut off.
        domain: Of the effect that looks.
        device: Where it runs.
    """
    samples = []
    for place in places:
        tile = compensated_tile(motion, place, whole=whole, scale=1, reach_px=reach_px)
        samples.append(compensate(_prepared(neighbor, tile.source, domain, device), tile))
    return torch.cat(samples)


def lone_tile_input(
    effect: Effect,
    network: nn.Module,
    *,
    tile: Tensor,
    card: Card,
    values: Mapping[str, Value],
) -> TileInput:
    """Return what ``residual`` is given of a tile outside of a render: to time it, to try it.

    The tile stands for every frame of the window, and an effect that measures looks at it alone.

    Args:
        effect: The effect.
        network: What its ``build`` returned, on the tile's device and in its precision.
        tile: (1, 3, H, W) in the working curve of the card.
        card: The effect's card.
        values: Every param under its name.
    """
    measured = None
    if isinstance(effect, MeasuringEffect):
        rows, columns = (mirrored_indices(0, SAMPLE_PX, side) for side in tile.shape[-2:])
        sample = tile.float()[..., rows, :][..., columns]
        measured = effect.measure(network, Samples(sample, sample), values)
    count = card.frames_before + 1 + card.frames_after
    return TileInput(
        lambda: (tile,) * count,
        center=card.frames_before,
        frames=(0,) * count,
        measured=measured,
    )


def _prepared(plate: Plate, place: Box, domain: Domain, device: Device) -> Tensor:
    color = _on_device(gather(plate.color, place, plate.window), device)
    alpha = None
    if plate.alpha is not None:
        alpha = _on_device(gather((plate.alpha,), place, plate.window), device)
    return domain.for_network(domain.prepare(color, alpha), dtype=torch.float32)


def _on_device(gathered: Plane, device: Device) -> Tensor:
    return torch.from_numpy(gathered).to(device.torch)


def _offsets(size_px: int, *, step: int) -> tuple[int, ...]:
    """Return where places begin on one side of a frame, from its first pixel."""
    last = max(size_px - SAMPLE_PX, 0) // step * step
    pieces = min(_PLACES_A_SIDE, -(-size_px // SAMPLE_PX)) - 1
    if pieces < 1:
        return (0,)
    return tuple(
        dict.fromkeys(last * piece // pieces // step * step for piece in range(pieces + 1))
    )
