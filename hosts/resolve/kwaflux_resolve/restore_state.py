"""Resolve's state, saved before a block and restored after it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

__all__ = ["State", "restored"]

State: TypeAlias = tuple[str, Callable[[], Any], Callable[[Any], bool]]
"""A part of the state: its name for the user, what reads it, and what writes it."""


@contextlib.contextmanager
def restored(states: Sequence[State], *, say: Callable[[str], None]) -> Iterator[None]:
    """Read all states, and write them again at the end of the block, in order.

    A state that is None is not written. Where one fails, the others are written all the same.

    Args:
        states: The parts of the state.
        say: Gets a message for each part that was not restored.
    """
    saved = [(name, read(), write) for name, read, write in states]
    try:
        yield
    finally:
        for name, value, write in saved:
            try:
                is_restored = value is None or write(value)
            except Exception:  # noqa: BLE001 - the others must be restored all the same
                is_restored = False
            if not is_restored:
                say(f"Resolve did not restore its {name}: check it")
