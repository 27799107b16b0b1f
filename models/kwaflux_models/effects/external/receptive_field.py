"""The receptive field of a network, and the grid of its tiles, measured by rendering crops.

A crop is rendered alone and as part of a larger picture that looks quite different around it. The
least context for which the two agree is the halo that tiles need. A network that pools over the
whole picture agrees at no context: it has no halo, and is refused by whoever asked. What counts is
that difference, not where a gradient is exactly 0: the outermost pixels that a deep network looks
at weigh less than float32 can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from kwaflux_core.errors import ModelError

__all__ = ["TOLERANCE", "Network", "Reach", "measure_reach"]

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Take (1, C, H, W) codes in 0..1 and return them restored, ``scale`` times as large."""

TOLERANCE = 1e-5
"""Greatest difference between a tile and the whole, in display codes."""

_STAGES_PX = (32, 64, 128, 256)
_HALOS_PX = (0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)
_CORE_PX = 16
_RIM_PX = 16
"""How much farther the larger picture reaches than the crop."""
_SEEDS = (1, 2)
_FLAT = 1e-4
"""A standard deviation of an output below which its values were held to 0 or 1."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Hold what was found.

    Args:
        halo_px: Context that a tile needs around it; the largest tried where none was enough.
        align_px: Tiles start at, and are as large as, multiples of this.
        difference: Between tile and whole with that halo, in display codes.
    """

    halo_px: int
    align_px: int
    difference: float

    @property
    def is_bounded(self) -> bool:
        """Whether tiles agree with the whole."""
        return self.difference <= TOLERANCE


def measure_reach(
    network: Network, *, channels: int, scale: int, multiple_px: int = 1, halo_max_px: int = 256
) -> Reach:
    """Return how far a network looks.

    Args:
        network: The network.
        channels: Of its input.
        scale: Output size / input size.
        multiple_px: What it says its input must be a multiple of.
        halo_max_px: The largest halo that is tried.

    Raises:
        ModelError: It gives the same value everywhere.
    """
    stages = [stage for stage in _STAGES_PX if stage <= halo_max_px] or [halo_max_px]
    found = Reach(0, multiple_px, float("inf"))
    for stage in stages:
        aligns = [multiple_px] + [
            multiple_px << power for power in range(1, 7) if multiple_px << power <= min(stage, 64)
        ]
        # Most networks ask for no grid; the coarsest suits every network that any of them suits.
        for align in dict.fromkeys((aligns[0], aligns[-1])):
            trial = _Trial(network, channels, scale, align, halo_px=stage)
            found = Reach(_up(stage, align), align, trial.difference(stage))
            if found.is_bounded:
                break
        else:
            continue
        finer = (
            _Trial(network, channels, scale, align, halo_px=stage)
            for align in aligns[1:-1]
            if trial.align == aligns[-1]
        )
        good = (other for other in finer if other.difference(stage) <= TOLERANCE)
        return _least(next(good, trial), stage)
    return found


class _Trial:
    """Larger pictures that were rendered once, to hold crops against."""

    def __init__(
        self, network: Network, channels: int, scale: int, align: int, *, halo_px: int
    ) -> None:
        self._network, self._scale, self.align = network, scale, align
        self._core = _up(_CORE_PX, align)
        # An odd multiple: a grid coarser than the alignment would show.
        rim = _up(_RIM_PX, align)
        self._rim = rim if rim // align % 2 else rim + align
        self._halo = _up(halo_px, align)
        side = self._core + 2 * (self._halo + self._rim)
        self._pictures = [_picture(channels, side, self._rim, seed) for seed in _SEEDS]
        self._wholes = [self._core_of(picture, side) for picture in self._pictures]
        if max(float(whole.std()) for whole in self._wholes) < _FLAT:
            raise ModelError(
                "the network makes a flat picture of noise: nothing can be measured by it",
                hint="the checkpoint is damaged, or was made for other numbers than 0 to 1",
            )

    def difference(self, halo_px: int) -> float:
        """Return the greatest difference for a crop with a halo."""
        halo = _up(halo_px, self.align)
        first = self._rim + self._halo - halo
        last = first + self._core + 2 * halo
        return max(
            float(
                (self._core_of(picture[..., first:last, first:last], 0, halo) - whole).abs().max()
            )
            for picture, whole in zip(self._pictures, self._wholes, strict=True)
        )

    def _core_of(self, picture: Tensor, side: int, halo: int = -1) -> Tensor:
        border = halo if halo >= 0 else (side - self._core) // 2
        with torch.inference_mode():
            found = self._network(picture.contiguous())
        rows = slice(border * self._scale, (border + self._core) * self._scale)
        return found[..., rows, rows].float()


def _least(trial: _Trial, stage: int) -> Reach:
    """Return the least halo, below one that is enough, that is enough too."""
    align = trial.align
    found = Reach(_up(stage, align), align, trial.difference(stage))
    for halo in reversed([halo for halo in _HALOS_PX if halo < stage]):
        if _up(halo, align) == found.halo_px:
            continue
        difference = trial.difference(halo)
        if difference > TOLERANCE:
            break
        found = Reach(_up(halo, align), align, difference)
    return found


def _picture(channels: int, side: int, rim: int, seed: int) -> Tensor:
    """Return noise on a gradient, and around it a rim that is darker, brighter and coarser."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.rand(1, channels, side, side, generator=generator)
    ramp = torch.linspace(0.25, 0.75, side).reshape(1, 1, 1, side)
    picture = ramp + 0.3 * (fine - 0.5)
    blocks = torch.rand(1, channels, -(-side // 4), -(-side // 4), generator=generator)
    coarse = blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)[..., :side, :side]
    around = torch.ones(1, 1, side, side, dtype=torch.bool)
    around[..., rim:-rim, rim:-rim] = False
    return torch.where(around, (coarse > 0.7).float(), picture)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
