"""Operations a timeline host offers, independent of dialog or command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kwaflux_hosting.panel.controls import EffectEntry
from kwaflux_hosting.panel.panel import Panel
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_hosting.timeline_host.task_runner import Task

__all__ = ["TimelineHost"]


class TimelineHost(Protocol):
    """A host with clips, as dialog and command line use it."""

    @property
    def asked(self) -> EffectEntry:
        """The controls beside the effect's."""
        ...

    def panel(self) -> Panel:
        """Return the panel of the server's effects."""
        ...

    def enhance(self, flow: str, values: Mapping[str, object]) -> Task[Sequence[ResultMarker]]:
        """Enhance the chosen clips; return the imported results."""
        ...

    def check(self) -> Task[bool]:
        """Send the test chart through the host and the server; return whether all is well."""
        ...

    def made(self) -> list[ResultMarker]:
        """Return the results on the open timeline, oldest first."""
        ...

    def revert(self, made: ResultMarker) -> None:
        """Remove a result from the project."""
        ...
