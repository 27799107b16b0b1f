"""Planes that are used again: the first touch of fresh memory costs dozens of warm copies."""

from __future__ import annotations

import threading
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["PlanePool"]

Plane: TypeAlias = npt.NDArray[np.float32]
Planes: TypeAlias = tuple[Plane, Plane, Plane]


class PlanePool:
    """Lend three float32 planes of a size, and keep a few idle ones of the last size asked for.

    Args:
        idle_max: How many sets are kept idle.

    Thread: any.
    """

    def __init__(self, *, idle_max: int = 4) -> None:
        self._idle_max = idle_max
        self._idle: list[npt.NDArray[np.float32]] = []
        self._lock = threading.Lock()

    def take(self, height: int, width: int) -> Planes:
        """Return red, green and blue planes (height, width); what they hold is not cleared."""
        shape = (3, height, width)
        with self._lock:
            self._idle = [stack for stack in self._idle if stack.shape == shape]
            stack = self._idle.pop() if self._idle else np.empty(shape, np.float32)
        return stack[0], stack[1], stack[2]

    def give_back(self, planes: Planes) -> None:
        """Take planes back that came from ``take``; others are let go."""
        stack = planes[0].base
        if not isinstance(stack, np.ndarray) or stack.shape != (3, *planes[0].shape):
            return
        with self._lock:
            if len(self._idle) < self._idle_max:
                self._idle.append(stack)
