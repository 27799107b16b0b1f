"""The one door to Nuke: its module, its main thread, its undo stack.

Owns the rule that Nuke is called from the main thread alone. Every other module takes ``nuke`` from
here. Must not know servers, knobs or files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import nuke

from kwaflux_core.errors import HostError

__all__ = ["is_cancelled_by_person", "nuke", "on_main", "say", "undo_off"]

_T = TypeVar("_T")


def on_main(call: Callable[[], _T]) -> _T:
    """Call in Nuke's main thread and return what it returns, or raise what it raises.

    Nuke's own call prints exceptions and returns None instead, refuses to be called from the main
    thread, and refuses to be called without windows: there, the calling thread is the main one.

    Raises:
        HostError: Nuke dropped the call, as it does when it quits.
    """
    if threading.current_thread() is threading.main_thread() or not nuke.GUI:
        return call()
    outcome: list[tuple[bool, object]] = []

    def enveloped() -> None:
        try:
            outcome.append((True, call()))
        except Exception as error:  # noqa: BLE001 - it crosses to the other thread
            outcome.append((False, error))

    nuke.executeInMainThreadWithResult(enveloped)
    if not outcome:
        raise HostError("Nuke did not carry out a call", hint="it may be closing")
    is_good, found = outcome[0]
    if not is_good:
        raise found  # type: ignore[misc]
    return found  # type: ignore[return-value]


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
    if nuke.GUI:
        nuke.message(text)
    else:
        nuke.tprint(text)


def is_cancelled_by_person(error: BaseException) -> bool:
    """Tell whether Nuke's error means that Cancel was pressed: versions differ in its class."""
    return type(error).__name__ == "CancelledError" or str(error)[:9].lower() == "cancelled"
