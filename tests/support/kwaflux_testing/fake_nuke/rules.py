"""What a running Nuke allows, and when: threads, re-entrancy, undo, and the waiting main thread.

Owns the state that every knob and node of a fake Nuke shares. Must not know nodes or pictures.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Rules", "rules", "use_rules"]


@dataclass(slots=True)
class Rules:
    """Hold the state of one Nuke.

    Args:
        gui: Whether it has windows; without, nothing may be posted to the main thread.
        main: The thread that may call Nuke.
    """

    gui: bool = True
    main: threading.Thread = field(default_factory=threading.current_thread)
    executing: bool = False
    undo: list[str] = field(default_factory=list)
    undo_depth: int = 0
    undo_is_disabled: bool = False
    printed: list[str] = field(default_factory=list)
    posted: queue.Queue[Callable[[], None]] = field(default_factory=queue.Queue)
    modified: bool = False
    in_callback: bool = False

    def check_thread(self, what: str) -> None:
        """Refuse a call from another thread than the main one; the real Nuke crashes later."""
        if threading.current_thread() is not self.main:
            raise RuntimeError(f"{what} was called from {threading.current_thread().name}")

    def note(self, what: str) -> None:
        """Put a change on the undo stack, unless undo is disabled."""
        self.modified = True
        if not self.undo_is_disabled and self.undo_depth == 0:
            self.undo.append(what)

    def post(self, call: Callable[[], None]) -> None:
        """Queue a call for the main thread, as ``executeInMainThread`` does."""
        if not self.gui:
            raise RuntimeError("Invalid function call in non-gui mode")
        if threading.current_thread() is self.main:
            raise RuntimeError("executeInMainThread was called from the main thread")
        self.posted.put(call)

    def post_and_wait(self, call: Callable[[], Any]) -> Any:
        """Queue a call and wait; an exception is printed, and None comes back."""
        done = threading.Event()
        found: list[Any] = []

        def run() -> None:
            try:
                found.append(call())
            except BaseException:  # noqa: BLE001 - as Nuke's own code does
                self.printed.append(traceback.format_exc())
            done.set()

        self.post(run)
        done.wait()
        return found[0] if found else None

    def pump(self, *, until: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Be the event loop of the main thread until a condition is met."""
        deadline_s = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s; {self.printed}"
            try:
                call = self.posted.get(timeout=0.01)
            except queue.Empty:
                continue
            call()


_current: list[Rules] = [Rules()]


def rules() -> Rules:
    """Return the rules of the Nuke that is running."""
    return _current[0]


def use_rules(new: Rules) -> None:
    """Start another Nuke's rules."""
    _current[0] = new
