"""The seam between the factory and an effect's task: samples in, what is right out."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kwaflux_models.effects.denoise.network import DenoiseNetwork
from kwaflux_models.effects.restorer_network import Restorer
from kwaflux_models.effects.upscale.network import UpscaleNetwork
from kwaflux_models.training.pictures.sources import Picture

__all__ = ["Answer", "Batch", "Half", "Network", "Sample", "Task"]

Array = NDArray[np.float32]
Half = NDArray[np.float16]
Network: TypeAlias = Restorer | UpscaleNetwork | DenoiseNetwork
"""What is trained: its ``body`` by the loop, its ``probe``, where it has one, by a fit."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One degraded patch and what it should have been.

    Attributes:
        degraded: (P, P, 3) scene-linear Rec.709; may hold negatives and values above 1.
        clean: (P * scale, P * scale, 3) of the same domain: clipped where the degradation clipped.
        level: How strong the degradation is, in the task's unit; 0 where there is none.
        case: What it was made by; the recipe weights cases by name.
        extra: Further planes that the network is given, (E, P / n, P / n); empty if none.
    """

    degraded: Array
    clean: Array
    level: float
    case: str
    extra: Array = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input: pictures in the working curve, (N, C, H, W); numbers (N, 1, 1, 1).

    Attributes:
        degraded: The network's input.
        clean: What it should have been.
        level: The degradation's level.
        detail: 0..1, how much the texture's energy counts in the loss; the network is told.
        extra: Further planes; (N, 0, 1, 1) if none.
        weight: What each sample counts.
    """

    degraded: Tensor
    clean: Tensor
    level: Tensor
    detail: Tensor
    extra: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device, pictures channels last."""
        columns = [getattr(self, entry.name).to(device) for entry in fields(self)]
        for index in (0, 1):
            columns[index] = columns[index].contiguous(memory_format=torch.channels_last)
        return Batch(*columns)

    def split(self, size: int) -> list[Batch]:
        """Return the batch in parts of ``size`` samples."""
        columns = [getattr(self, entry.name) for entry in fields(self)]
        starts = range(0, self.clean.shape[0], size)
        return [Batch(*(column[at : at + size] for column in columns)) for at in starts]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network made of a batch, (N, 3, H, W) float32, working curve.

    Attributes:
        change: What it adds.
        restored: What comes out.
        wanted: What should have come out.
    """

    change: Tensor
    restored: Tensor
    wanted: Tensor


class Task(Protocol):
    """What one effect is trained to do.

    Attributes:
        scale: Output size / input size.
        patch_px: Side of a stored degraded patch; crops of the recipe's ``patch_px`` are cut out
            of it at multiples of ``grid_px``.
        grid_px: See above.
    """

    scale: int
    patch_px: int
    grid_px: int

    def make(self, pictures: list[Picture], rng: np.random.Generator, count: int) -> list[Sample]:
        """Make samples; the same generator state gives the same samples."""
        ...

    def varied(self, extra: Half, order: NDArray[np.intp], rng: np.random.Generator) -> Half:
        """Return a crop's further planes, (P, P, E), as they may also come.

        Args:
            extra: The planes.
            order: The order that red, green and blue were put in.
            rng: The random generator.
        """
        ...

    def network(self) -> Network:
        """Return a new network."""
        ...

    def answer(self, network: Network, batch: Batch) -> Answer:
        """Run the network on a batch, told its levels."""
        ...
