"""A host's own state, kept while we work in it and put back whatever happens.

Owns the order and the sentence; what the state is, and how it is put back, the adapter says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

__all__ = ["put_back"]


@contextlib.contextmanager
def put_back(
    calls: Sequence[tuple[str, Callable[[], bool]]], *, host: str, say: Callable[[str], None]
) -> Iterator[None]:
    """Make all calls at the end of the block, in order; a call that fails keeps none of the others.

    Args:
        calls: What is put back, and what does it and returns whether it is back.
        host: Who takes it back, for the sentence.
        say: Told of each that did not come back.
    """
    try:
        yield
    finally:
        for what, call in calls:
            try:
                is_back = call()
            except Exception:  # noqa: BLE001 - the others must be put back all the same
                is_back = False
            if not is_back:
                say(f"{host} did not take back its {what}: please look at it")
