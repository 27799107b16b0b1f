"""What a person can have done in a host that has clips, whatever she asks it with.

Owns the names that a window (``form``) and a command line (``command_line``) call an adapter by.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol

from kwaflux_hosting.panel.panel import Choice, Panel
from kwaflux_hosting.timeline_host.result_marker import Made

__all__ = ["Desk"]


class Desk(Protocol):
    """Do what a person asks; an adapter has one for a host that it found fit."""

    @property
    def asked(self) -> Choice:
        """What is asked beside the effect."""
        ...

    def panel(self) -> Panel:
        """Return what the server offers."""
        ...

    def enhance(
        self, flow: str, values: Mapping[str, object]
    ) -> Generator[str, None, Sequence[Made]]:
        """Enhance what is chosen; tell how far it is; return what was made."""
        ...

    def check(self) -> Generator[str, None, bool]:
        """Send a chart down the whole road; return whether all is well."""
        ...

    def made(self) -> list[Made]:
        """Return what was made where the person looks, in the order of time."""
        ...

    def revert(self, made: Made) -> None:
        """Undo it."""
        ...
