"""The codec-damage network on a tile, guided by how strongly the frame was compressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from kwaflux_core.images.coding import Coding
from kwaflux_models.effects.decompress.network import DecompressNetwork, level_of_step
from kwaflux_models.effects.level_guided_effect import (
    LevelEstimate,
    LevelGuidedEffect,
    smooth_step,
)
from kwaflux_models.rendering.effect_api import Samples

__all__ = ["EFFECT", "CodingEstimate", "Decompress"]

_JPEG = (0.33, 0.40)
_VIDEO = (0.45, 0.60)
"""Levels by the file's quantizer up to which a picture is left alone, and from which it is
corrected in full. On fourteen validation clips, told the level, JPEG at quality 85 gained 0.1 dB at
worst and 0.6 on average, at quality 90 it lost 0.2 at worst; H.264 at CRF 20 lost 0.2 at worst, at
CRF 24 it gained 0.1 at worst and 0.5 on average."""


@dataclass(frozen=True, slots=True)
class CodingEstimate(LevelEstimate):
    """The level, and what in the file it was taken from.

    Attributes:
        evidence: "JPEG quality 75"; empty where the pixels were judged.
    """

    evidence: str = ""


class Decompress(LevelGuidedEffect):
    """Repair what a codec did: by what the file says of its quantizer, else by the pixels."""

    def estimate(self, network: nn.Module, samples: Samples) -> LevelEstimate:
        """Take the level from the file; where that says nothing, estimate it by the probe."""
        if samples.coding is not None:
            return _of_file(samples.coding)
        found = super().estimate(network, samples)
        return CodingEstimate(found.level, found.share, found.confident_level)

    def decision(self, estimate: LevelEstimate) -> str:
        """Return what was found, where, what is done about it, and what forces more."""
        evidence = estimate.evidence if isinstance(estimate, CodingEstimate) else ""
        if not evidence:
            return super().decision(estimate)
        if estimate.share <= 0.0:
            return f"{evidence}: too light to repair, left as it came"
        return f"{evidence}, {super().decision(estimate)}"

    def estimate_type(self) -> type[LevelEstimate]:
        """Return the class of the effect's estimates."""
        return CodingEstimate

    def median(self, estimates: Sequence[LevelEstimate]) -> LevelEstimate:
        """Return the estimate in the middle, by level."""
        return sorted(estimates, key=lambda each: each.level)[len(estimates) // 2]


def _of_file(coding: Coding) -> CodingEstimate:
    level = level_of_step(coding.step)
    share = smooth_step(level, *(_JPEG if coding.is_jpeg else _VIDEO))
    beyond = ", coarser than what the network was trained on" if coding.step > _COARSEST else ""
    return CodingEstimate(level, share, level, evidence=coding.words + beyond)


_COARSEST = 64.0
"""The quantizer step of level 1."""

# Without a file's word: on validation pictures of JPEG at quality 90 and H.264 at CRF 20, no more
# than 0.40 is where the correction would harm; of H.264 at CRF 35 and JPEG at quality 25, 0.5 and
# more is. H.264 at CRF 28 lies between, and is corrected in part.
EFFECT = Decompress(
    new_network=DecompressNetwork,
    level_param="level",
    fade_from=0.40,
    fade_to=0.48,
    what="codec damage",
    done="repaired",
)
