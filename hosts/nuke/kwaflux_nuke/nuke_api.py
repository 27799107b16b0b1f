"""Access to Nuke: its module, its main thread, its undo stack.

Every other module takes ``nuke`` from here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import nuke

from kwaflux_core.errors import HostError

__all__ = ["beside", "nuke", "on_main", "say", "undo_off"]

_T = TypeVar("_T")


def on_main(call: Callable[[], _T]) -> _T:
    """Call in Nuke's main thread and return what it returns, or raise what it raises.

    Nuke's own call prints exceptions and returns None, and refuses to be called from the main
    thread or without windows: there, the calling thread is the main one.
    """
    if threading.current_thread() is threading.main_thread() or not nuke.GUI:
        return call()
    results: list[_T] = []
    errors: list[Exception] = []

    def enveloped() -> None:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - it crosses to the other thread
            errors.append(error)

    nuke.executeInMainThreadWithResult(enveloped)  # type: ignore[no-untyped-call]
    if errors:
        raise errors[0]
    if not results:
        raise HostError("Nuke did not run a call", hint="it may be closing")
    return results[0]


def beside(call: Callable[[], None], *, name: str) -> None:
    """Call in a thread of its own; without windows, here, before this returns."""
    thread = threading.Thread(target=call, name=name, daemon=True)
    (thread.start if nuke.GUI else call)()


@contextmanager
def undo_off() -> Iterator[None]:
    """Keep what happens in the block off the undo stack. Main thread only."""
    was_off = bool(nuke.Undo.disabled())
    nuke.Undo.disable()
    try:
        yield
    finally:
        if not was_off:
            nuke.Undo.enable()


def say(text: str) -> None:
    """Tell the person: in a dialog where there are windows, else on the terminal."""
    (nuke.message if nuke.GUI else nuke.tprint)(text)
