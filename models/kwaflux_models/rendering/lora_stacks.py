"""The networks that LoRAs were merged into, kept beside their warm bases.

Owns the lookup of the LoRAs that a param names, and what a stack of them is called. Must not know
memory, frames or sockets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from kwaflux_core.errors import ModelError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.flows.lora_spec import LORA_PARAM, LoraUse, parse_loras
from kwaflux_models.catalog.lora_merge import Lora, merged, parse_lora
from kwaflux_models.catalog.user_models import LoraFile, OwnModels
from kwaflux_models.rendering.effect_api import Value

__all__ = ["LoraStack", "find_stack", "lora_record"]


@dataclass(frozen=True, slots=True)
class LoraStack:
    """Hold LoRAs as a param names them, each with its file's bytes.

    ``key`` is the same for the same bytes with the same weights on the same effect.
    """

    card: Card
    uses: tuple[LoraUse, ...]
    files: tuple[bytes, ...]

    @property
    def key(self) -> str:
        """What the merged network is kept under."""
        digests = zip(self.uses, self.digests, strict=True)
        return self.card.id + "".join(f"+{digest}:{use.weight!r}" for use, digest in digests)

    @property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of each file's bytes."""
        return tuple(hashlib.sha256(data).hexdigest() for data in self.files)

    def merge(self, base: nn.Module) -> nn.Module:
        """Return the base with the LoRAs added; the base stays as it is.

        Raises:
            WeightsInvalid: One is damaged, altered or for another base.
        """
        stack: list[tuple[Lora, float]] = [
            (parse_lora(data, name=use.name, card=self.card), use.weight)
            for use, data in zip(self.uses, self.files, strict=True)
        ]
        return merged(base, stack, name="+".join(use.name for use in self.uses))


def find_stack(card: Card, values: Mapping[str, Value], own: OwnModels | None) -> LoraStack | None:
    """Return the LoRAs that an effect's params name; None where they name none.

    Args:
        card: The effect's card.
        values: Its params; the one that counts is ``lora``.
        own: Where LoRAs lie.

    Raises:
        ParamError: No such text, or no such LoRA; points at its column.
        WeightsInvalid: A file cannot be read, or is no LoRA of this effect.
    """
    text = values.get(LORA_PARAM, "")
    if not isinstance(text, str) or not text:
        return None
    uses = parse_loras(text)
    if not uses:
        return None
    if own is None:
        raise ModelError("LoRAs were asked for, and there is no models folder to look in")
    found: list[LoraFile] = [own.find_lora(card.id, use, text=text) for use in uses]
    return LoraStack(card, uses, tuple(file.read()[0] for file in found))


def lora_record(flow: BoundFlow, own: OwnModels | None) -> tuple[str, ...]:
    """Return a line for every LoRA of a flow: effect, name, weight and its file's SHA-256.

    Raises:
        ParamError: One is not there.
        WeightsInvalid: One cannot be read.
    """
    lines = []
    for step in flow.without_identities().steps:
        stack = find_stack(step.card, step.values, own)
        if stack is not None:
            lines += [
                f"{step.card.id}/{use.name}:{use.weight:g} sha256:{digest}"
                for use, digest in zip(stack.uses, stack.digests, strict=True)
            ]
    return tuple(lines)
