"""Which networks are warm on a device, inside a memory budget.

Owns loading, verifying, precision and unloading of networks. Must not know frames or sockets.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from kwaflux_core.card import Card
from kwaflux_models.device import Device, choose_precision, timed
from kwaflux_models.effect import Effect, Pictures
from kwaflux_models.painting import LoadedEffect
from kwaflux_models.registry import Registry
from kwaflux_server.scheduler.budget import Residency

__all__ = ["WarmModels"]

_LOG = logging.getLogger("kwaflux.server.worker")

_PROBE_PX = 256
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
        self._sizes: dict[str, int] = {}

    @contextmanager
    def lend(self, card: Card) -> Iterator[LoadedEffect]:
        """Lend the warm effect of a card; load it first if it is cold.

        Raises:
            WeightsInvalid: Its weights are missing or altered.
            OutOfMemory: It can never fit into the budget.
        """
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
        for evicted in self._residency.touch(card.id, size_bytes):
            _LOG.info("unloading %s from %s", evicted, self._device.name)
            del self._loaded[evicted]
            self._device.release_memory()
        try:
            loaded = self._on_device(effect, network, card)
        except BaseException:
            self._residency.forget(card.id)
            raise
        self._loaded[card.id] = loaded
        _LOG.info("%s is warm on %s in %s", card.id, self._device.name, loaded.precision)
        self._on_change(tuple(self._loaded))
        return loaded

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
    """Return a call that gives the seconds of one probe tile in a precision."""
    values = {param.name: param.default for param in card.params}

    def seconds(dtype: torch.dtype) -> float:
        tile = torch.full((1, 3, _PROBE_PX, _PROBE_PX), 0.5, dtype=dtype, device=device.torch)
        tile = tile.contiguous(memory_format=torch.channels_last)
        count = card.frames_before + card.frames_after + 1
        pictures = Pictures(lambda: (tile,) * count, center=card.frames_before)
        probe = copy.deepcopy(network).to(dtype)

        def once() -> None:
            with torch.inference_mode():
                effect.residual(probe, pictures, values)
            device.synchronize()

        once()
        return timed(once)

    return seconds


def _size_bytes(network: nn.Module) -> int:
    tensors = (*network.parameters(), *network.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
