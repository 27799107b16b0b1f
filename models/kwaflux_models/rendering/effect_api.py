"""The interface of an effect's code, and the records that it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from kwaflux_core.frames.shot_profile import Record
from kwaflux_core.images.coding import Coding

__all__ = [
    "NO_VALUES",
    "SAMPLE_PX",
    "Effect",
    "Measured",
    "MeasuringEffect",
    "Samples",
    "ShotMeasuringEffect",
    "TileInput",
    "Value",
    "as_scalar",
    "no_network",
]

Value: TypeAlias = "str | int | float | bool"

NO_VALUES: Mapping[str, Value] = MappingProxyType({})
"""Every param at its default."""

SAMPLE_PX = 128
"""Side of a sample in pixels of the step's input."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Hold what an effect found out about a frame before its tiles are rendered.

    Args:
        shown: Numbers for the person: they go into the receipt, the log and the file's header
            under ``<effect>.<name>``. A param that was left to be judged has its name here.
        refusal: Why the effect leaves the frame alone, in words; empty when it does its work. It
            is reported as something that needs attention.
        data: Whatever the effect needs of it in ``residual``.
        decision: What was found, what is done about it and why, for the person: "noise 0.023 (6 of
            255): removed". Empty where there was nothing to decide.
    """

    shown: Mapping[str, float] = field(default_factory=dict)
    refusal: str = ""
    data: object = None
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """Hold the same places of a frame as a step receives it and as the plate came.

    The places are a fixed grid over the whole data window, whatever region is rendered, so that
    a part of a frame is measured like the whole.

    Args:
        pictures: (N, 3, SAMPLE_PX, SAMPLE_PX), what the step receives, float32, working curve of
            the card's colorspace, mirrored where the frame is smaller.
        sources: (N, 3, SAMPLE_PX / scale, SAMPLE_PX / scale), the same places of the plate before
            the flow's first effect; ``pictures`` itself where the step is the first.
        scale: How many times larger the step's input is than the plate.
        neighbors: (K, N, 3, SAMPLE_PX / scale, SAMPLE_PX / scale), ``sources`` as each of K
            neighboring frames shows it, aligned; None for an effect that aligns no neighbors, and
            for a frame without any.
        coding: What the plate's file says of its lossy coding; None where it says nothing.
    """

    pictures: Tensor
    sources: Tensor
    scale: int = 1
    neighbors: Tensor | None = None
    coding: Coding | None = None


class TileInput:
    """Give the same tile of every frame in the temporal window, prepared when first asked for.

    Each is a (1, 3, H, W) tensor in the working curve of the card's colorspace, on the device and
    in the precision that the network runs in. Values are held to the faded end of the trained
    range; H and W are multiples of ``align_px``.

    Args:
        prepare: Makes the tensors, oldest frame first.
        center: Index of the frame that is being rendered.
        frames: The absolute number of each; a number that occurs twice is a frame that stands in
            for one that is not there. None: all of them are frame 0.
        origin: (x, y) of the tile's first pixel, from the first pixel of the frame's data window;
            negative in the mirrored border.
        measured: What the effect's ``measure`` returned for this frame.
    """

    __slots__ = ("_prepare", "_tiles", "center", "frames", "measured", "origin")

    def __init__(
        self,
        prepare: Callable[[], tuple[Tensor, ...]],
        *,
        center: int,
        frames: tuple[int, ...] | None = None,
        origin: tuple[int, int] = (0, 0),
        measured: Measured | None = None,
    ) -> None:
        self._prepare = prepare
        self._tiles: tuple[Tensor, ...] | None = None
        self.center = center
        self.frames = frames if frames is not None else (0,) * (2 * center + 1)
        self.origin = origin
        self.measured = measured

    @property
    def tiles(self) -> tuple[Tensor, ...]:
        """The tiles, oldest frame first."""
        if self._tiles is None:
            self._tiles = self._prepare()
        return self._tiles

    @property
    def picture(self) -> Tensor:
        """The tile of the frame itself, (1, 3, H, W)."""
        return self.tiles[self.center]

    @property
    def frame(self) -> int:
        """The absolute number of the frame that is being rendered."""
        return self.frames[self.center]


class Effect(Protocol):
    """The code of one effect; ``effect.py`` of its folder names an instance ``EFFECT``."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, on the CPU in float32, ready to infer.

        Args:
            weights: The verified files that the card names.

        Raises:
            WeightsInvalid: The file holds other tensors than the network has.
        """
        ...

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return what is added to the picture in the working curve, or None to touch no pixel.

        Args:
            network: What ``build`` returned, moved to the device and precision of ``pictures``.
            pictures: The tile.
            values: Every param of the card under its name.

        Returns:
            (1, 3, H * scale, W * scale); for a scale above 1 it is added to the tile's Lanczos
            enlargement.
        """
        ...


@runtime_checkable
class MeasuringEffect(Protocol):
    """An effect that looks at a whole frame before its tiles are rendered."""

    def measure(
        self, network: nn.Module, samples: Samples, values: Mapping[str, Value]
    ) -> Measured:
        """Return what was found out about a frame; called once for a frame and step.

        Args:
            network: As for ``residual``, on the device; in the precision the effect runs in.
            samples: Places of the frame, and of the plate.
            values: Every param of the card under its name.
        """
        ...


@runtime_checkable
class ShotMeasuringEffect(MeasuringEffect, Protocol):
    """A measuring effect whose estimates of several frames make one that holds for their shot.

    What is rendered with is always read from a record, also in the run that made it.
    """

    def judges(self, values: Mapping[str, Value]) -> bool:
        """Return whether ``measure`` estimates anything, or the params say all of it."""
        ...

    def combine(self, network: nn.Module, measurements: Sequence[Measured]) -> Measured:
        """Return the estimate of a shot from those of some of its frames, at least one."""
        ...

    def to_record(self, measured: Measured) -> Record:
        """Return an estimate as plain values: numbers, texts, lists and maps of them."""
        ...

    def from_record(self, record: Record, values: Mapping[str, Value]) -> Measured:
        """Return the estimate of a record.

        Raises:
            RequestError: The record is not one of this effect.
        """
        ...


def no_network() -> nn.Module:
    """Return a module without parameters, for an effect that needs none."""
    return nn.Identity()


def as_scalar(value: float, *, like: Tensor) -> Tensor:
    """Return a (1, 1, 1, 1) tensor on the device and in the precision of ``like``."""
    return torch.full((1, 1, 1, 1), value, dtype=like.dtype, device=like.device)
