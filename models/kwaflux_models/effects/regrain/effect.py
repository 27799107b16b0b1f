"""Measure the grain of a frame once, and make each tile's share of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from kwaflux_core.errors import RequestError
from kwaflux_core.frames.shot_profile import Record
from kwaflux_models.effects.regrain.measure import grain_of_flat_areas, removed_grain
from kwaflux_models.effects.regrain.packed_tables import packed, unpacked
from kwaflux_models.effects.regrain.spectrum import HALF, Spectrum, median_spectrum
from kwaflux_models.effects.regrain.strength import KNOTS, Strength, median_strength
from kwaflux_models.effects.regrain.synthesize import Grain, Place, grain_of
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value, no_network

__all__ = ["EFFECT", "Regrain"]

_MID_GRAY = 0.18
_NOT_CLEANED = (
    "no step before it removed grain, so the plate still has its own; put a cleaning step before "
    "it, or set measure to flat_areas to add grain to what is there"
)
_NOTHING = Measured({"strength": 0.0}, decision="no grain was removed: none put back")


class Regrain:
    """Put grain back: as strong and as coarse as what was removed, and new in every frame."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return a network without parameters."""
        return no_network()

    def measure(
        self, network: nn.Module, samples: Samples, values: Mapping[str, Value]
    ) -> Measured:
        """Return the grain of a frame: its table and its kernel, and two numbers to show.

        ``strength`` is the standard deviation at mid gray in the working curve, mean over the
        channels; ``size_px`` is the diameter of a grain in pixels of the plate, 1 for white noise.
        Both describe what is put back at an amount and a size of 1.
        """
        if values["measure"] == "flat_areas":
            found = grain_of_flat_areas(samples.sources)
        elif samples.sources is samples.pictures:
            return Measured(refusal=_NOT_CLEANED)
        else:
            found = removed_grain(samples)
        if found is None:
            return _NOTHING
        size = _size(values, samples.scale)
        return _measured_as(
            Grain.prepare(found.strength, found.spectrum, size=size, scale=samples.scale)
        )

    def combine(self, network: nn.Module, measurements: Sequence[Measured]) -> Measured:
        """Return the grain of a shot from what was measured of some of its frames.

        Every knot of the table and every frequency of the spectrum is the median over the frames.
        Frames in which nothing was missing, or that were refused, do not count unless they are
        the most; then that is the answer.

        Args:
            network: As for ``measure``.
            measurements: What ``measure`` returned of the frames, with one set of params.
        """
        grains = [each.data for each in measurements if isinstance(each.data, Grain)]
        others = [each for each in measurements if not isinstance(each.data, Grain)]
        if len(grains) < len(others) or not grains:
            refused = [each for each in others if each.refusal]
            return refused[0] if 2 * len(refused) > len(others) else _NOTHING
        return _measured_as(
            Grain.prepare(
                median_strength([grain.strength for grain in grains]),
                median_spectrum([grain.spectrum for grain in grains]),
                size=grains[0].size,
                scale=grains[0].scale,
            )
        )

    def judges(self, values: Mapping[str, Value]) -> bool:
        """Return True: no param says what the grain is."""
        return True

    def to_record(self, measured: Measured) -> Record:
        """Return the grain as plain values; ``strength`` may be changed by a person."""
        grain = measured.data
        if not isinstance(grain, Grain):
            return {"refusal": measured.refusal} if measured.refusal else {"strength": 0.0}
        return {
            "strength": float(f"{_at_mid_gray(grain.strength):.4g}"),
            "size_px": float(f"{grain.spectrum.size_px:.3g}"),
            "scale": grain.scale,
            "own": packed(grain.strength.own),
            "shared": packed(grain.strength.shared),
            "spectrum": packed(grain.spectrum.half()),
        }

    def from_record(self, record: Record, values: Mapping[str, Value]) -> Measured:
        """Return the grain of a record.

        Raises:
            RequestError: The record is not one of grain.
        """
        if refusal := record.get("refusal"):
            return Measured(refusal=str(refusal))
        strength, scale = record.get("strength"), record.get("scale", 1)
        if not isinstance(strength, (int, float)) or not isinstance(scale, int) or strength < 0:
            raise RequestError("the shot profile has no strength of grain, 0 or more")
        if not strength:
            return _NOTHING
        table = Strength(
            unpacked(record.get("own"), (3, KNOTS)), unpacked(record.get("shared"), (3, KNOTS))
        )
        there = max(_at_mid_gray(table), 1e-9)
        table = table.scaled(torch.full((3,), (strength / there) ** 2))
        spectrum = Spectrum.of_half(unpacked(record.get("spectrum"), HALF))
        size = _size(values, scale)
        return _measured_as(Grain.prepare(table, spectrum, size=size, scale=scale))

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the tile's grain in the working curve, (1, 3, H, W); None where there is none."""
        grain = None if pictures.measured is None else pictures.measured.data
        if not isinstance(grain, Grain):
            return None
        picture = pictures.picture
        grain = grain.on(picture.device)
        x, y = pictures.origin
        height, width = picture.shape[-2:]
        place = Place(x, y, width, height, pictures.frame, int(values["seed"]))
        added = grain_of(
            grain,
            picture.float().contiguous(),
            place,
            amount=float(values["amount"]),
            color=float(values["color"]),
        )
        return added.to(picture.dtype)


def _size(values: Mapping[str, Value], scale: int) -> float:
    return float(values["size"]) * (scale if values["grows_with_picture"] else 1)


def _at_mid_gray(strength: Strength) -> float:
    """Return the standard deviation at mid gray in the working curve, mean over the channels."""
    gray = working_curves.encode(torch.full((1, 3, 1, 1), _MID_GRAY, device=strength.own.device))
    return float(strength.variance(gray).sqrt().mean())


def _measured_as(grain: Grain) -> Measured:
    strength, size_px = _at_mid_gray(grain.strength), grain.spectrum.size_px
    return Measured(
        {"strength": strength, "size_px": size_px},
        data=grain,
        decision=f"grain {strength:.2g} at mid gray, {size_px:.2g} px: put back",
    )


EFFECT = Regrain()
