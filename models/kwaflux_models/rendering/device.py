"""One compute device: its name, what precision it takes, how tiles get there and back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kwaflux_core.errors import SettingsError
from kwaflux_core.flows.card import Card

__all__ = ["Device", "Gather", "Precision", "Upload", "choose_precision", "timed"]

Precision: TypeAlias = Literal["float32", "float16", "bfloat16"]
Tile: TypeAlias = npt.NDArray[np.float32]
Gather: TypeAlias = Callable[[], tuple[Tile, ...]]
Upload: TypeAlias = Callable[[], tuple[Tensor, ...]]
_Sent: TypeAlias = tuple[tuple[Tensor, ...], torch.cuda.Event]

_WORTH_IT = 1.2
"""A reduced precision must be this much faster: a smaller gain is noise, and exactness is not."""


class Device:
    """Hold one torch device.

    Args:
        name: ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        SettingsError: The machine has no such device.

    Thread: one renderer's thread uses it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_cuda = name.startswith("cuda")
        if self.is_cuda and not torch.cuda.is_available():
            raise SettingsError(
                f"the device {name!r} was asked for, and torch finds no CUDA device",
                hint="set devices to 'cpu', or install the CUDA build of torch and a driver",
            )
        try:
            self.torch = torch.device(name)
        except RuntimeError as error:
            raise SettingsError(
                f"{name!r} is no device", hint="name cpu, cuda:0, cuda:1, ..."
            ) from error
        self._upload_stream = _stream(self.torch) if self.is_cuda else None

    @classmethod
    def available(cls) -> tuple[str, ...]:
        """Return the names of every CUDA device, or of the CPU where there is none."""
        if torch.cuda.is_available():
            return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        return ("cpu",)

    @property
    def label(self) -> str:
        """What the device is, for people."""
        if self.is_cuda:
            return torch.cuda.get_device_name(self.torch)
        return f"CPU, {torch.get_num_threads()} threads"

    @property
    def free_bytes(self) -> int:
        """Memory that a model may take now."""
        if self.is_cuda:
            return int(torch.cuda.mem_get_info(self.torch)[0])
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")

    def uploaded(self, tiles: Iterable[Gather]) -> Iterator[Upload]:
        """Yield, for each tile, the call that gives its tensors on the device.

        On CUDA the next tile is gathered, pinned and sent on a stream of its own while one is
        computed. On the CPU a tile is gathered when it is asked for, and a tensor is the array
        itself: an effect that looks at no pixel costs no copy.
        """
        if self._upload_stream is None:
            for gather in tiles:
                yield partial(_on_cpu, gather)
            return
        ahead: _Sent | None = None
        for gather in tiles:
            following = self._send(gather(), self._upload_stream)
            if ahead is not None:
                yield partial(self._arrived, ahead)
            ahead = following
        if ahead is not None:
            yield partial(self._arrived, ahead)

    def download(self, tensor: Tensor, into: Tile) -> Callable[[], None]:
        """Copy a tensor into an array; the array is filled once the returned call came back.

        On CUDA the copy runs beside the next tile's computation; on the CPU it is done at once.
        """
        if not self.is_cuda:
            np.copyto(into, tensor.numpy())
            return _nothing
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        pinned.copy_(tensor, non_blocking=True)
        event = _event()
        event.record()

        def finish() -> None:
            event.synchronize()
            np.copyto(into, pinned.numpy())

        return finish

    def synchronize(self) -> None:
        """Wait until everything sent to the device is done."""
        if self.is_cuda:
            torch.cuda.synchronize(self.torch)

    def release_memory(self) -> None:
        """Give memory that torch keeps for reuse back to the system."""
        if self.is_cuda:
            torch.cuda.empty_cache()

    def _send(self, arrays: tuple[Tile, ...], stream: torch.cuda.Stream) -> _Sent:
        with torch.cuda.stream(stream):
            tensors = tuple(
                torch.from_numpy(array).pin_memory().to(self.torch, non_blocking=True)
                for array in arrays
            )
            event = _event()
            event.record(stream)
        return tensors, event

    def _arrived(self, sent: _Sent) -> tuple[Tensor, ...]:
        tensors, event = sent
        current = torch.cuda.current_stream(self.torch)
        current.wait_event(event)
        for tensor in tensors:
            tensor.record_stream(current)
        return tensors


def choose_precision(
    card: Card, device: Device, *, setting: str, seconds: Callable[[torch.dtype], float] | None
) -> Precision:
    """Return the precision a network runs in on a device.

    A reduced one is taken only where the error that the card states lies within the effect's
    tolerance: float16 on CUDA; bfloat16 on a CPU, if it is measured to be clearly faster there.

    Args:
        card: States the errors and the tolerance.
        device: Where the network runs.
        setting: ``auto`` or ``float32``.
        seconds: Measures the network in a precision on this device; None skips a measurement.
    """
    if setting == "float32":
        return "float32"
    reduced: Precision = "float16" if device.is_cuda else "bfloat16"
    if not card.allows(reduced):
        return "float32"
    if device.is_cuda:
        return reduced
    if seconds is None or seconds(torch.float32) < _WORTH_IT * seconds(torch.bfloat16):
        return "float32"
    return reduced


def timed(run: Callable[[], object], *, rounds: int = 3) -> float:
    """Return the seconds of the fastest of a few rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def _on_cpu(gather: Gather) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in gather())


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


def _nothing() -> None:
    return None
