"""Turn the steps of a tile's code into gradients, as far as the params allow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from kwaflux_models.effects.deband.coding import Coding
from kwaflux_models.effects.deband.gradients import contour_correction
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import TileInput, Value, no_network

__all__ = ["EFFECT", "Deband"]


class Deband:
    """Smooth what was rounded to codes, within the codes' rounding intervals."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return a network without parameters."""
        return no_network()

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return the correction in the working curve, (1, 3, H, W); None without steps."""
        coding = Coding(
            str(values["curve"]), int(values["bits"]), is_ycbcr=values["sampling"] == "ycbcr"
        )
        linear = working_curves.decode(pictures.picture.contiguous())
        steps = coding.to_steps(linear)
        correction = _correction(
            steps,
            coding,
            radius_px=int(values["radius"]),
            threshold=float(values["threshold"]),
        )
        if correction is None:
            return None
        moved = steps + float(values["strength"]) * correction
        light = linear + (coding.from_steps(moved) - coding.from_steps(steps))
        return working_curves.encode(light) - working_curves.encode(linear)


def _correction(
    steps: Tensor, coding: Coding, *, radius_px: int, threshold: float
) -> Tensor | None:
    """Return the correction in code steps, None where no plane has steps."""
    found = [
        contour_correction(
            steps[:, planes], radius_px=radius_px, threshold=threshold, spacing_px=spacing_px
        )
        for planes, spacing_px in coding.planes
    ]
    if all(each is None for each in found):
        return None
    return torch.cat(
        [
            torch.zeros_like(steps[:, planes]) if each is None else each
            for each, (planes, _) in zip(found, coding.planes, strict=True)
        ],
        dim=1,
    )


EFFECT = Deband()
