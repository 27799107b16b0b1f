"""Run the codec-damage network on a tile, told how strongly the frame was compressed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from kwaflux_models.effects.decompress.network import DecompressNetwork
from kwaflux_models.effects.degradation_level import judged, judgment_of, levels
from kwaflux_models.effects.restorer_network import load_weights
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value

__all__ = ["EFFECT", "Decompress"]

_NOTHING, _PLENTY = 0.40, 0.48
"""Levels that are beyond doubt. On validation pictures of JPEG at quality 90 and H.264 at CRF 20,
no more than 0.40 is where the correction would harm; of H.264 at CRF 35 and JPEG at quality 25,
0.5 and more is. H.264 at CRF 28 lies between, and is mended in part."""


class Decompress:
    """Undo codec damage: the picture plus ``strength`` times the network's residual."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, ready to infer."""
        return load_weights(DecompressNetwork(), weights[0])

    def measure(
        self, network: nn.Module, samples: Samples, values: Mapping[str, Value]
    ) -> Measured:
        """Judge the level of the frame, unless the person said it."""
        if float(values["level"]) > 0.0:
            return Measured()
        found = judged(cast(DecompressNetwork, network), samples, nothing=_NOTHING, plenty=_PLENTY)
        return Measured({"level": round(found.level, 4)}, data=found)

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the correction in the working curve, (1, 3, H, W); None if nothing is wrong."""
        found = judgment_of(pictures.measured, float(values["level"]))
        if found.share == 0.0:
            return None
        picture = pictures.picture
        told = levels(found, values, like=picture)
        change = cast(DecompressNetwork, network)(picture, told)
        return cast(Tensor, change * (float(values["strength"]) * found.share))


EFFECT = Decompress()
