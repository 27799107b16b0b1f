"""Save a host's state, and restore it at the end of a block, whatever happens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

__all__ = ["State", "put_back"]

State: TypeAlias = tuple[str, Callable[[], Any], Callable[[Any], bool]]
"""A part of a host's state: what it is called, what reads it, and what puts it back."""


@contextlib.contextmanager
def put_back(states: Sequence[State], *, host: str, say: Callable[[str], None]) -> Iterator[None]:
    """Read all states, and put them back at the end of the block, in order.

    A state that is None is not put back; one that fails keeps none of the others.

    Args:
        states: The parts of the state.
        host: Who takes them back, for the sentence.
        say: Told of each that did not come back.
    """
    held = [(what, read(), write) for what, read, write in states]
    try:
        yield
    finally:
        for what, value, write in held:
            try:
                is_back = value is None or write(value)
            except Exception:  # noqa: BLE001 - the others must be put back all the same
                is_back = False
            if not is_back:
                say(f"{host} did not take back its {what}: please look at it")
