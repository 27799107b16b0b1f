"""Effects that estimate how degraded a frame is, and correct it as far as the estimate is sure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from kwaflux_core.errors import RequestError
from kwaflux_core.frames.shot_profile import Record
from kwaflux_core.protocol.dataclass_codec import Mismatch, reader_of, writer_of
from kwaflux_models.effects.level_probe import LevelProbe
from kwaflux_models.effects.light_edges import limit_beside_light
from kwaflux_models.effects.restorer_network import load_weights
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value

__all__ = ["LevelEstimate", "LevelGuidedEffect", "smooth_step"]

_FLAT = 5e-4
"""A sample that varies by less, working curve, says nothing of what happened to it."""


@dataclass(frozen=True, slots=True)
class LevelEstimate:
    """The level of one frame's degradation, and how much of it is corrected.

    Attributes:
        level: The level that the network is given, in the unit it was trained with.
        share: 0..1, how much of the network's correction is applied: 0 where there is nothing to
            correct, so that a clean frame keeps its bits.
        confident_level: The level that the frame has at least.
        deviation: Standard deviation of what changes from frame to frame, working curve; 0 where
            it is not known.
    """

    level: float
    share: float
    confident_level: float = 0.0
    deviation: float = 0.0


_NONE = LevelEstimate(0.0, 0.0)


def smooth_step(x: float, low: float, high: float) -> float:
    """Return 0 up to ``low``, 1 from ``high`` on, and a smooth curve between them."""
    share = min(1.0, max(0.0, (x - low) / (high - low)))
    return share * share * (3.0 - 2.0 * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelGuidedEffect:
    """The picture plus ``strength`` times a restorer's correction, guided by a level.

    The level is a param's, or, where that is 0, what the network's probe estimates of the frame.
    An estimated correction fades in with the level that the probe is confident of.

    Attributes:
        new_network: Makes the network.
        level_param: The param by which a person sets the level.
        fade_from: Confident level up to which the frame is left alone, in the param's unit.
        fade_to: Confident level from which the whole correction is applied, likewise.
        unit: One level of the network in the param's unit.
        what: What the level is of, for the person.
        done: What the correction does with it, likewise.
    """

    new_network: Callable[[], nn.Module]
    level_param: str
    fade_from: float
    fade_to: float
    what: str
    done: str
    unit: float = 1.0

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, ready to infer."""
        return load_weights(self.new_network(), weights[0])

    def judges(self, values: Mapping[str, Value]) -> bool:
        """Return whether the level is to be estimated."""
        return float(values[self.level_param]) <= 0.0

    def measure(
        self, network: nn.Module, samples: Samples, values: Mapping[str, Value]
    ) -> Measured:
        """Estimate the level of the frame, unless a person set it.

        Shown are the level, and as ``applied`` which share of the correction is applied.
        """
        if not self.judges(values):
            return Measured()
        return self.measured(self.estimate(network, samples), values)

    def combine(self, network: nn.Module, measurements: Sequence[Measured]) -> Measured:
        """Return the median estimate."""
        estimates = [each.data for each in measurements if isinstance(each.data, LevelEstimate)]
        return Measured(data=self.median(estimates) if estimates else _NONE)

    def to_record(self, measured: Measured) -> Record:
        """Return the numbers of the estimate, with four significant digits."""
        estimate = measured.data if isinstance(measured.data, LevelEstimate) else _NONE
        return cast(Record, _rounded(writer_of(type(estimate))(estimate)))

    def from_record(self, record: Record, values: Mapping[str, Value]) -> Measured:
        """Return the estimate of a record.

        Raises:
            RequestError: A number is missing, or is none.
        """
        if not self.judges(values):
            return Measured()
        try:
            estimate = reader_of(self.estimate_type())(dict(record))
        except Mismatch as error:
            raise RequestError(
                f"the shot profile has {error.found} where {error.where} of {self.what} should be "
                f"{error.wanted}"
            ) from error
        return self.measured(estimate, values)

    def measured(self, estimate: LevelEstimate, values: Mapping[str, Value]) -> Measured:
        """Return an estimate with what is shown of it."""
        level = round(estimate.level * self.unit, 4)
        shown = {self.level_param: level, "applied": round(estimate.share, 3)}
        return Measured(shown, data=estimate, decision=self.decision(estimate))

    def decision(self, estimate: LevelEstimate) -> str:
        """Return what was found, what is done about it and, if that is not all, what forces it."""
        level = estimate.level * self.unit
        if level <= 0.0:
            return f"no {self.what} found: left as it came"
        found = f"{self.what} {self.in_words(level)}"
        forced = f"{self.level_param}={level:.2g} forces it"
        if estimate.share <= 0.0:
            return f"{found}: left as it came, because it is not sure; {forced}"
        if estimate.share < 1.0:
            return f"{found}: {100.0 * estimate.share:.0f} % {self.done}; {forced} in full"
        return f"{found}: {self.done}"

    def in_words(self, level: float) -> str:
        """Return a level in the param's unit as a person knows it."""
        return f"{level:.2g}"

    def estimate_type(self) -> type[LevelEstimate]:
        """Return the class of the effect's estimates, whose fields are the record's."""
        return LevelEstimate

    def median(self, estimates: Sequence[LevelEstimate]) -> LevelEstimate:
        """Return the estimate of a shot: the median of each number."""
        return LevelEstimate(
            statistics.median(each.level for each in estimates),
            statistics.median(each.share for each in estimates),
            statistics.median(each.confident_level for each in estimates),
            statistics.median(each.deviation for each in estimates),
        )

    def estimate(self, network: nn.Module, samples: Samples) -> LevelEstimate:
        """Estimate the level from the samples that are not flat; a flat frame has none."""
        probe = cast(LevelProbe, network.probe)
        pictures = samples.pictures[samples.pictures.flatten(1).std(dim=1) > _FLAT]
        if not len(pictures):
            return _NONE
        found = probe(pictures.to(next(probe.parameters()).dtype))
        confident = found.confident_level()
        low, high = self.fade_from / self.unit, self.fade_to / self.unit
        return LevelEstimate(found.mean_level(), smooth_step(confident, low, high), confident)

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the correction in the working curve, (1, 3, H, W); None if there is none."""
        estimate = self._estimate_in_force(pictures.measured, values)
        if estimate.share == 0.0:
            return None
        change = self.correction(network, pictures, estimate, values)
        if change is None:
            return None
        change = limit_beside_light(pictures.picture, change)
        return change * (float(values["strength"]) * estimate.share)

    def correction(
        self,
        network: nn.Module,
        pictures: TileInput,
        estimate: LevelEstimate,
        values: Mapping[str, Value],
    ) -> Tensor | None:
        """Return the whole correction, before strength and share; None to touch no pixel.

        Args:
            network: The network.
            pictures: The tile.
            estimate: The level that is in force.
            values: Every param of the card under its name.
        """
        picture = pictures.picture
        numbers = torch.tensor([estimate.level, float(values["detail"])], device=picture.device)
        return cast(Tensor, network(picture, numbers.to(picture.dtype).reshape(1, 2, 1, 1)))

    def _estimate_in_force(
        self, measured: Measured | None, values: Mapping[str, Value]
    ) -> LevelEstimate:
        """Return the level that a person set, else what was measured."""
        wanted = float(values[self.level_param]) / self.unit
        if wanted > 0.0:
            return LevelEstimate(wanted, 1.0)
        data = measured.data if measured is not None else None
        return data if isinstance(data, LevelEstimate) else _NONE


def _rounded(value: object) -> object:
    """Return plain values with every number rounded to four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return value
