"""Operations a timeline host offers, independent of dialog or command line."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol

from kwaflux_hosting.panel.controls import EffectEntry
from kwaflux_hosting.panel.panel import Panel
from kwaflux_hosting.timeline_host.result_marker import ResultMarker

__all__ = ["TimelineHost"]


class TimelineHost(Protocol):
    """Do what a person asks; an adapter has one for a host that it found fit."""

    @property
    def asked(self) -> EffectEntry:
        """What is asked beside the effect."""
        ...

    def panel(self) -> Panel:
        """Return what the server offers."""
        ...

    def enhance(
        self, flow: str, values: Mapping[str, object]
    ) -> Generator[str, None, Sequence[ResultMarker]]:
        """Enhance what is chosen; tell how far it is; return what was made."""
        ...

    def check(self) -> Generator[str, None, bool]:
        """Send a chart down the whole road; return whether all is well."""
        ...

    def made(self) -> list[ResultMarker]:
        """Return what was made where the person looks, in the order of time."""
        ...

    def revert(self, made: ResultMarker) -> None:
        """Undo it."""
        ...
