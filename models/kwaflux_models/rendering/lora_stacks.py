"""The LoRAs that a flow names: their files, read once, and the key of what they make together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from kwaflux_core.errors import ModelError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.flows.lora_spec import LoraUse, parse_loras
from kwaflux_models.catalog.lora_merge import Lora, merged, parse_lora
from kwaflux_models.catalog.user_models import LoraFile, OwnModels
from kwaflux_models.rendering.effect_api import Value

__all__ = ["LoraStack", "find_stack", "lora_record", "resolve_loras"]


@dataclass(frozen=True, slots=True)
class LoraStack:
    """Hold LoRAs as a param names them, with the bytes of their files, read once.

    ``key`` is the same for the same bytes with the same weights on the same effect.

    Args:
        card: The effect's card.
        uses: Names and weights.
        files: The bytes of each file.
        digests: The SHA-256 of each file's bytes.
    """

    card: Card
    uses: tuple[LoraUse, ...]
    files: tuple[bytes, ...] = field(repr=False)
    digests: tuple[str, ...]

    @property
    def key(self) -> str:
        """What the merged network is kept under."""
        digests = zip(self.uses, self.digests, strict=True)
        return self.card.id + "".join(f"+{digest}:{use.weight!r}" for use, digest in digests)

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
        values: Its params; the one of the type ``loras`` counts.
        own: Where LoRAs lie.

    Raises:
        ParamError: No such text, or no such LoRA; points at its column.
        WeightsInvalid: A file cannot be read, or is no LoRA of this effect.
    """
    text = card.loras_of(values)
    uses = parse_loras(text)
    if not uses:
        return None
    if own is None:
        raise ModelError("LoRAs were asked for, and there is no models folder to look in")
    param = card.loras_param.name if card.loras_param else ""
    found: list[LoraFile] = [own.find_lora(card.id, use, param=param, text=text) for use in uses]
    files = tuple(file.read()[0] for file in found)
    digests = tuple(hashlib.sha256(data).hexdigest() for data in files)
    return LoraStack(card, uses, files, digests)


def resolve_loras(flow: BoundFlow, own: OwnModels | None) -> tuple[LoraStack | None, ...]:
    """Read the LoRAs of a flow's steps, identities left out, each file once.

    What a task renders with and what its provenance says are both taken from this.

    Raises:
        ParamError: One is not there.
        WeightsInvalid: One cannot be read.
    """
    steps = flow.without_identities().steps
    return tuple(find_stack(step.card, step.values, own) for step in steps)


def lora_record(stacks: Sequence[LoraStack | None]) -> tuple[str, ...]:
    """Return a line for every LoRA: effect, name, weight and its file's SHA-256."""
    return tuple(
        f"{stack.card.id}/{use.name}:{use.weight:g} sha256:{digest}"
        for stack in stacks
        if stack is not None
        for use, digest in zip(stack.uses, stack.digests, strict=True)
    )
