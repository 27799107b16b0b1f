"""Run a user's own network on a tile, inside the image contract.

Such networks were trained on display codes from 0 to 1. The tile's light is encoded so, held to
what the network knows, and what the network changed there is given back as a residual: what lay
beyond keeps its excess, and the card's range lets the effect fade out above and below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import torch
from torch import Tensor, nn

from kwaflux_core.errors import WeightsInvalid
from kwaflux_core.images.lanczos import lanczos_upscale
from kwaflux_models.catalog.safetensors_header import parse_header, read_bytes
from kwaflux_models.effects.external.architectures import Descriptor, describe, read_tensors
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.display_curves_tensor import Encoding, decode_display, encode_display
from kwaflux_models.rendering.effect_api import TileInput, Value

__all__ = ["EFFECT", "FORMAT", "External", "ExternalNetwork", "Habits"]

FORMAT = "kwaflux-external/1"
_BYTES_MAX = 8 << 30


@dataclass(frozen=True, slots=True)
class Habits:
    """Say how a network reads numbers.

    Args:
        encoding: The display curve it was trained on.
        peak: The scene-linear value that the code 1 stands for.
    """

    encoding: Encoding = "srgb"
    peak: float = 1.0

    def notes(self) -> dict[str, str]:
        """Return what ``from_notes`` reads."""
        return {"format": FORMAT, "encoding": self.encoding, "peak": repr(self.peak)}

    @classmethod
    def from_notes(cls, notes: Mapping[str, str], *, name: str) -> Habits:
        """Return the habits that are noted in a file.

        Raises:
            WeightsInvalid: It was not written by ``kwaflux models add``.
        """
        try:
            if notes["format"] != FORMAT or notes["encoding"] not in get_args(Encoding):
                raise ValueError(notes["format"])
            return cls(cast(Encoding, notes["encoding"]), float(notes["peak"]))
        except (KeyError, ValueError) as error:
            raise WeightsInvalid(
                f"{name} was not installed by this release",
                hint="add the checkpoint again: kwaflux models add",
                file=name,
            ) from error


class ExternalNetwork(nn.Module):
    """Hold a network that spandrel recognized, and how it reads numbers."""

    def __init__(self, descriptor: Descriptor, habits: Habits) -> None:
        super().__init__()
        self.model = descriptor.model
        self.descriptor = descriptor
        self.habits = habits

    @property
    def scale(self) -> int:
        """Output size / input size."""
        return self.descriptor.scale

    def forward(self, code: Tensor) -> Tensor:
        """Return the restored codes, (1, 3, H * scale, W * scale), of (1, 3, H, W) in 0..1."""
        if self.descriptor.input_channels == 3:
            return self.descriptor(code)
        planes = [self.descriptor(code[:, index : index + 1]) for index in range(3)]
        return torch.cat(planes, dim=1)


class External:
    """Put a user's network between two display curves."""

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return the network with its weights, ready to infer."""
        path = weights[0]
        header = parse_header(read_bytes(path, bytes_max=_BYTES_MAX), name=path.name)
        habits = Habits.from_notes(header.notes, name=path.name)
        return ExternalNetwork(describe(read_tensors(path), name=path.name), habits)

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor | None:
        """Return what the network changed, in the working curve, (1, 3, H * scale, W * scale)."""
        strength = float(values["strength"])
        if strength == 0.0:
            return None
        external, picture = cast(ExternalNetwork, network), pictures.picture
        encoding, peak = external.habits.encoding, external.habits.peak
        light = working_curves.decode(picture.float()).clamp(0.0, peak)
        code = encode_display(light / peak, encoding)
        restored = decode_display(external(code.to(picture.dtype)).float(), encoding) * peak
        before = light if external.scale == 1 else _enlarged(light, external.scale)
        changed = working_curves.encode(restored) - working_curves.encode(before)
        return (changed * strength).to(picture.dtype)


def _enlarged(light: Tensor, scale: int) -> Tensor:
    """Return the enlargement that the residual is added to."""
    grown = lanczos_upscale(light[0].cpu().numpy(), scale)
    return torch.from_numpy(grown)[None].to(light.device)


EFFECT = External()
