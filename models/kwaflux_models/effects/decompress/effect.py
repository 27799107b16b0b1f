"""The codec-damage network on a tile, guided by how strongly the frame was compressed."""

from __future__ import annotations

from kwaflux_models.effects.decompress.network import DecompressNetwork
from kwaflux_models.effects.level_guided_effect import LevelGuidedEffect

__all__ = ["EFFECT"]

# On validation pictures of JPEG at quality 90 and H.264 at CRF 20, no more than 0.40 is where the
# correction would harm; of H.264 at CRF 35 and JPEG at quality 25, 0.5 and more is. H.264 at CRF 28
# lies between, and is corrected in part.
EFFECT = LevelGuidedEffect(
    new_network=DecompressNetwork,
    level_param="level",
    fade_from=0.40,
    fade_to=0.48,
    what="codec damage",
    done="repaired",
)
