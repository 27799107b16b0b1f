"""Raise what was clipped at display white to light, as far as its neighbors suggest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.effects.expand.curve import expanded
from kwaflux_models.effects.expand.highlights import share_of_peak
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import TileInput, Value, no_network

__all__ = ["EFFECT", "Expand"]

"""Luminance of scene-linear Rec.709. Source: ITU-R BT.709-6 section 3.2."""
_TINY = 1e-6


class Expand:
    """Expand values above the knee; display white becomes up to the peak."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return a network without parameters."""
        return no_network()

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the light that is added, in the working curve, (1, 3, H, W).

        None where no value of the tile lies above the knee, or where the peak is white itself.
        """
        knee, clip, peak = (float(values[name]) for name in ("knee", "clip", "peak"))
        linear = working_curves.decode(pictures.picture.contiguous())
        if peak <= 1.0 or float(linear.max()) <= knee * clip:
            return None
        light = _light(linear, values)
        return working_curves.encode(light) - working_curves.encode(linear)


def _light(linear: Tensor, values: Mapping[str, Value]) -> Tensor:
    """Return the expanded picture, (1, 3, H, W) scene-linear."""
    knee, clip = float(values["knee"]), float(values["clip"])
    most_stops = math.log2(float(values["peak"]))
    recover = float(values["recover"])
    share = 1.0 - recover * (1.0 - share_of_peak(linear / clip))
    stops = share * (float(values["strength"]) * most_stops)

    def raised(x: Tensor, by: Tensor) -> Tensor:
        return expanded(x, by, knee=knee, clip=clip, most_stops=most_stops)

    light = raised(linear, stops)
    brightest = linear.amax(dim=1, keepdim=True)
    gain = raised(brightest, stops.amax(dim=1, keepdim=True)) / brightest.clamp(min=_TINY)
    gain = gain.where(brightest > knee * clip, 1.0)
    light = light + float(values["hue"]) * (linear * gain - light)
    luminance = (light * light.new_tensor(REC709_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    more = (float(values["saturation"]) - 1.0) * (1.0 - 1.0 / gain.clamp(min=1.0))
    return light + more * (light - luminance)


EFFECT = Expand()
