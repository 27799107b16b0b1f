"""Capture of a library's output to stdout on this thread; other threads print normally."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["printed_text"]

_lock = threading.Lock()
_caught: dict[int, list[str]] = {}
_tap: _Tap | None = None


class _Tap:
    """Stand in for standard output: keep what listening threads write, pass on the rest."""

    def __init__(self, behind: TextIO) -> None:
        self._behind = behind

    def write(self, text: str) -> int:
        lines = _caught.get(threading.get_ident())
        if lines is None:
            return self._behind.write(text)
        lines.append(text)
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._behind, name)


@contextmanager
def printed_text() -> Iterator[list[str]]:
    """Collect what this thread prints while the block runs, instead of printing it.

    Thread: any; blocks of several threads may overlap, but not nest in one thread.
    """
    global _tap
    lines: list[str] = []
    with _lock:
        _caught[threading.get_ident()] = lines
        if _tap is None:
            _tap = _Tap(sys.stdout)
            sys.stdout = _tap
    try:
        yield lines
    finally:
        with _lock:
            del _caught[threading.get_ident()]
            if not _caught and _tap is not None:
                # Somebody may have put yet another stream over ours: leave theirs alone.
                if sys.stdout is _tap:
                    sys.stdout = _tap._behind
                _tap = None
