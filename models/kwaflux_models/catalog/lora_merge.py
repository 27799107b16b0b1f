"""LoRAs: small files that bend a network towards one show, stacked with weights on a base.

A LoRA is a safetensors file of half floats. For a parameter ``P`` of the base, flattened to a
matrix of ``P.shape[0]`` rows, it holds either the two thin factors ``P.up`` (rows, rank) and
``P.down`` (rank, columns), or ``P.delta`` in the shape of ``P``, where factors would not be smaller
(depthwise kernels, biases). The merged parameter is

    P + sum_i weight_i * (up_i @ down_i  or  delta_i)

computed in float32. Its notes say the format, the effect, the SHA-256 of the base's weights, the
rank, how it was trained, and the SHA-256 of its own tensors.

Source: E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022 (the factors);
here they are for convolutions, and merged instead of run beside them, so that a frame costs what it
cost before.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from kwaflux_core.errors import ParamError, WeightsInvalid
from kwaflux_core.flows.card import Card, Param
from kwaflux_models.catalog.safetensors_header import in_one_order, parse_header
from kwaflux_models.catalog.user_models import LORA_FORMAT, base_hash, check_lora_notes

__all__ = [
    "Lora",
    "changed_bytes",
    "merged",
    "parse_lora",
    "require_loras_param",
    "spelled_lora",
]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32)


@dataclass(frozen=True, slots=True)
class Lora:
    """Hold a LoRA that was read.

    Args:
        notes: What the file says of itself.
        tensors: Its factors and deltas under their names, float32.
    """

    notes: Mapping[str, str]
    tensors: Mapping[str, Tensor]

    def deltas(self) -> dict[str, Tensor]:
        """Return what is added to each parameter at weight 1; factors give matrices."""
        found: dict[str, Tensor] = {}
        for key, tensor in self.tensors.items():
            name, _, kind = key.rpartition(".")
            if kind == "delta":
                found[name] = tensor
            elif kind == "up":
                found[name] = tensor @ self.tensors[f"{name}.down"]
        return found


def require_loras_param(card: Card) -> Param:
    """Return the param by which an effect takes LoRAs.

    Raises:
        ParamError: It takes none.
    """
    param = card.loras_param
    if param is None:
        raise ParamError(
            f"effect {card.id!r} takes no LoRAs",
            hint="its card has no param of the type 'loras'",
            effect=card.id,
        )
    return param


def parse_lora(data: bytes, *, name: str, card: Card) -> Lora:
    """Return the LoRA that a file holds.

    Args:
        data: The file's bytes.
        name: What to call it in an error.
        card: Of the effect that it is put on.

    Raises:
        WeightsInvalid: It is damaged, altered, holds NaN or Inf, or was trained for another effect
            or for other weights of it.
    """
    header = parse_header(data, name=name)
    check_lora_notes(header, name=name, effect=card.id)
    if header.notes.get("base_sha256") != base_hash(card):
        raise WeightsInvalid(
            f"{name} was trained on other weights of {card.id!r} than are installed",
            hint="train it anew on these, or install the release it was trained with",
            file=name,
        )
    try:
        tensors = {key: tensor.float() for key, tensor in _loaded(data).items()}
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise WeightsInvalid(f"{name} cannot be read: {error}", file=name) from error
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsInvalid(f"{key} in {name} is not finite", file=name, tensor=key)
    _check_pairs(tensors, name=name)
    return Lora(MappingProxyType(dict(header.notes)), MappingProxyType(tensors))


def spelled_lora(tensors: Mapping[str, Tensor], *, card: Card, notes: Mapping[str, str]) -> bytes:
    """Return the bytes of a LoRA's file.

    Args:
        tensors: Factors and deltas under their names.
        card: Of the effect it was trained on.
        notes: What else the file is to say of itself.
    """
    halves = {key: tensor.detach().cpu().half().contiguous() for key, tensor in tensors.items()}
    payload = parse_header(save(halves), name="the LoRA").payload_sha256
    said = {
        **notes,
        "format": LORA_FORMAT,
        "effect": card.id,
        "base_sha256": base_hash(card),
        "payload_sha256": payload,
    }
    return in_one_order(save(halves, metadata=said))


def merged(network: nn.Module, stack: Sequence[tuple[Lora, float]], *, name: str) -> nn.Module:
    """Return a copy of a network with LoRAs added; the network itself stays as it is.

    Parameters that no LoRA touches are shared with the network. A weight of 0 adds nothing; with
    nothing to add the network itself is returned.

    Args:
        network: The base, on any device, in any precision.
        stack: LoRAs and their weights.
        name: What to call the stack in an error.

    Raises:
        WeightsInvalid: A LoRA names a parameter the base does not have, or in another shape.
    """
    parameters = dict(network.named_parameters())
    sums: dict[str, Tensor] = {}
    for lora, weight in stack:
        if weight == 0:
            continue
        for key, delta in lora.deltas().items():
            base = parameters.get(key)
            if base is None or base.numel() != delta.numel() or base.shape[0] != delta.shape[0]:
                raise WeightsInvalid(
                    f"{key[:80]!r} of {name} does not fit the network",
                    hint="the LoRA was trained on another network",
                    tensor=key[:80],
                )
            shaped = weight * delta.reshape(base.shape).to(base.device)
            sums[key] = sums[key] + shaped if key in sums else shaped
    if not sums:
        return network
    kept: dict[int, object] = {id(p): p for key, p in parameters.items() if key not in sums}
    kept |= {id(buffer): buffer for buffer in network.buffers()}
    result = copy.deepcopy(network, kept)
    fresh = dict(result.named_parameters())
    with torch.no_grad():
        for key, delta in sums.items():
            fresh[key].copy_(parameters[key].float() + delta)
    return result


def changed_bytes(network: nn.Module, base: nn.Module) -> int:
    """Return what a merged network takes beyond what it shares with its base."""
    shared = {id(parameter) for parameter in base.parameters()}
    own = (parameter for parameter in network.parameters() if id(parameter) not in shared)
    return sum(parameter.numel() * parameter.element_size() for parameter in own)


def _loaded(data: bytes) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = load(data)
    for key, tensor in tensors.items():
        if tensor.dtype not in _FLOATS:
            raise ValueError(f"{key} holds {tensor.dtype}")
    return tensors


def _check_pairs(tensors: Mapping[str, Tensor], *, name: str) -> None:
    """Check that every tensor is a delta or half of a pair, and that pairs can be multiplied."""
    for key, tensor in tensors.items():
        stem, _, kind = key.rpartition(".")
        other = tensors.get(f"{stem}.{'down' if kind == 'up' else 'up'}")
        is_good = bool(stem) and kind == "delta" and tensor.dim() > 0
        if kind in ("up", "down") and other is not None and tensor.dim() == other.dim() == 2:
            up, down = (tensor, other) if kind == "up" else (other, tensor)
            is_good = up.shape[1] == down.shape[0]
        if not is_good:
            raise WeightsInvalid(
                f"{key[:80]!r} in {name} is neither a delta nor half of a pair of factors",
                hint="the file is damaged, or made by another program",
                file=name,
                tensor=key[:80],
            )
