"""The warm networks of a device, inside a memory budget."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from kwaflux_core.flows.card import Card
from kwaflux_models.catalog.lora_merge import changed_bytes
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.rendering.device import Device, choose_precision, timed
from kwaflux_models.rendering.effect_api import Effect
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.lru_budget import Residency
from kwaflux_models.rendering.measure_samples import lone_tile_input
from kwaflux_models.rendering.step_renderer import LoadedEffect

__all__ = ["WarmModels"]

_LOG = logging.getLogger("kwaflux.server.worker")

_PROBE_PX = 256
_UNKNOWN_S = 1.0
"""For every precision where the probe was refused: none is then taken for the faster one."""
_HOST_SHARE = 0.25
"""Share of a device's free memory that is left to the host application."""
_MODEL_SHARE = 0.5
"""Share of the rest that networks may take; tiles need the remainder."""


class WarmModels:
    """Lend warm networks and unload the one that was used longest ago when memory is short.

    Args:
        registry: The installed effects.
        device: Where networks are kept.
        budget_bytes: What they may take together; 0 chooses from the device's free memory.
        precision: ``auto`` or ``float32``.
        on_change: Called with the resident effects' ids whenever they change.

    Thread: the runner's.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        device: Device,
        budget_bytes: int,
        precision: str,
        on_change: Callable[[tuple[str, ...]], None],
    ) -> None:
        chosen = budget_bytes or int(device.free_bytes * (1 - _HOST_SHARE) * _MODEL_SHARE)
        self._registry = registry
        self._device = device
        self._precision = precision
        self._on_change = on_change
        self._residency = Residency(chosen)
        self._loaded: dict[str, LoadedEffect] = {}
        self._merged: dict[str, LoadedEffect] = {}
        self._sizes: dict[str, int] = {}

    @contextmanager
    def lend(self, card: Card, loras: LoraStack | None = None) -> Iterator[LoadedEffect]:
        """Lend the warm effect of a card, with LoRAs merged into its network.

        What is cold is loaded or merged first. A merged network is kept beside its base and is
        the first to go when memory is short; the base is never changed.

        Raises:
            WeightsInvalid: Weights are missing or altered, or a LoRA does not fit them.
            OutOfMemory: It can never fit into the budget.
        """
        with self._lend_base(card) as base:
            if loras is None:
                yield base
                return
            merged = self._merge(loras, base)
            self._residency.pin(loras.key)
            try:
                yield merged
            finally:
                self._residency.unpin(loras.key)

    @contextmanager
    def _lend_base(self, card: Card) -> Iterator[LoadedEffect]:
        loaded = self._loaded.get(card.id)
        if loaded is None:
            loaded = self._load(card)
        else:
            self._residency.touch(card.id, self._sizes[card.id])
        self._residency.pin(card.id)
        try:
            yield loaded
        finally:
            self._residency.unpin(card.id)

    def _load(self, card: Card) -> LoadedEffect:
        installed = self._registry[card.id]
        effect = installed.load()
        network = effect.build(installed.verified_weight_files()).eval()
        size_bytes = self._sizes[card.id] = _size_bytes(network)
        self._unload(self._residency.touch(card.id, size_bytes))
        try:
            loaded = self._on_device(effect, network, card)
        except BaseException:
            self._residency.forget(card.id)
            raise
        self._loaded[card.id] = loaded
        _LOG.info("%s is warm on %s in %s", card.id, self._device.name, loaded.precision)
        self._on_change(tuple(self._loaded))
        return loaded

    def _merge(self, stack: LoraStack, base: LoadedEffect) -> LoadedEffect:
        key = stack.key
        found = self._merged.get(key)
        if found is not None:
            self._residency.touch(key, self._sizes[key], is_spare=True)
            return found
        with torch.inference_mode():
            merged = replace(base, network=stack.merge(base.network))
        size_bytes = self._sizes[key] = changed_bytes(merged.network, base.network)
        self._unload(self._residency.touch(key, size_bytes, is_spare=True))
        self._merged[key] = merged
        for use, digest in zip(stack.uses, stack.digests, strict=True):
            name = f"{stack.card.id}/{use.name}"
            _LOG.info("LoRA %s (sha256 %s) is merged with weight %g", name, digest, use.weight)
        return merged

    def _unload(self, evicted: list[str]) -> None:
        for key in evicted:
            _LOG.info("unloading %s from %s", key[:100], self._device.name)
            self._loaded.pop(key, None)
            self._merged.pop(key, None)
        if evicted:
            self._device.release_memory()

    def _on_device(self, effect: Effect, network: nn.Module, card: Card) -> LoadedEffect:
        network = _channels_last(network.to(self._device.torch))
        precision = choose_precision(
            card,
            self._device,
            setting=self._precision,
            seconds=_measure(effect, network, card, self._device),
        )
        return LoadedEffect(effect, network.to(getattr(torch, precision)), precision)


def _channels_last(network: nn.Module) -> nn.Module:
    # torch's own annotations leave this overload of Module.to out.
    moved: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _measure(
    effect: Effect, network: nn.Module, card: Card, device: Device
) -> Callable[[torch.dtype], float]:
    """Return a call that gives the seconds of one probe tile in a precision.

    The tile holds texture: an effect that looks first would find nothing to do in a flat one.
    """
    values = {param.name: param.default for param in card.params}
    rng = torch.Generator().manual_seed(0)
    texture = torch.rand((1, 3, _PROBE_PX, _PROBE_PX), generator=rng)

    @torch.inference_mode()
    def seconds(dtype: torch.dtype) -> float:
        tile = texture.to(device.torch, dtype).contiguous(memory_format=torch.channels_last)
        probe = copy.deepcopy(network).to(dtype)
        pictures = lone_tile_input(effect, probe, tile=tile, card=card, values=values)
        if pictures.measured is not None and pictures.measured.refusal:
            return _UNKNOWN_S

        def once() -> None:
            effect.residual(probe, pictures, values)
            device.synchronize()

        once()
        return timed(once)

    return seconds


def _size_bytes(network: nn.Module) -> int:
    tensors = (*network.parameters(), *network.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
