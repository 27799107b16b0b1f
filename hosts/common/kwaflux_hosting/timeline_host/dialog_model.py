"""A dialog without its widgets: rows, values, buttons. An adapter draws it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kwaflux_hosting.panel.controls import Control, EffectEntry
from kwaflux_hosting.panel.panel import Panel
from kwaflux_hosting.timeline_host.task_runner import TaskRunner
from kwaflux_hosting.timeline_host.timeline_host import TimelineHost

__all__ = ["DialogModel"]


class DialogModel(ABC):
    """The controls and buttons of a dialog; one task at a time runs from the dialog's timer.

    Args:
        host: Carries out what the buttons ask for.
        panel: The server's effects.

    Attributes:
        groups: The controls of each group of rows: one for every effect, and one beside them.
        buttons: The calls of the buttons, by their labels.
    """

    def __init__(self, host: TimelineHost, panel: Panel) -> None:
        self.host: Final = host
        self.panel: Final = panel
        choices = (*panel.choices, host.asked)
        self.groups: Mapping[str, Sequence[Control]] = {one.id: one.controls for one in choices}
        self.buttons: Mapping[str, Callable[[], None]] = {
            "Enhance": lambda: self._guard(self._enhance),
            "Cancel": lambda: self._guard(lambda: self._tasks.cancel("Cancelled")),
            "Revert": lambda: self._guard(self._revert),
            "Check": lambda: self._guard(lambda: self._tasks.start(host.check())),
        }
        self._tasks: Final = TaskRunner(self.say)
        self._guard: Final = self._tasks.guard

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a message."""

    @abstractmethod
    def chosen(self) -> int:
        """Return the index of the chosen effect, from 0."""

    @abstractmethod
    def value(self, group: str, control: Control) -> object:
        """Return the value of a control's widget."""

    @property
    def choice(self) -> EffectEntry:
        """The chosen effect."""
        return self.panel.choices[self.chosen()]

    @property
    def rows(self) -> dict[str, Control]:
        """Every control, by a unique name."""
        return {
            f"{group}_{control.name}": control
            for group, controls in self.groups.items()
            for control in controls
        }

    def is_shown(self, group: str) -> bool:
        """Return whether a group is shown: that of the chosen effect, and the one beside."""
        return group in (self.choice.id, self.host.asked.id)

    def flow(self) -> str:
        """Return the flow of the widgets' values.

        Raises:
            KwafluxError: The values are no flow.
        """
        return self.panel.flow_text(self.choice.id, self._values(self.choice))

    def asked(self) -> dict[str, object]:
        """Return the values of the controls beside the effect's."""
        return self._values(self.host.asked)

    def tick(self) -> None:
        """Take a step of the task that runs; call it a few times a second."""
        self._guard(self._tasks.step)

    def close(self) -> None:
        """Cancel the task that runs."""
        self._tasks.cancel()

    def _values(self, choice: EffectEntry) -> dict[str, object]:
        return {control.name: self.value(choice.id, control) for control in choice.controls}

    def _enhance(self) -> None:
        if not self._tasks.is_busy:
            self._tasks.start(self.host.enhance(self.flow(), self.asked()))

    def _revert(self) -> None:
        """Revert the last result, unless a task runs."""
        if self._tasks.is_busy:
            return
        last = next(reversed(self.host.made()), None)
        if last is not None:
            self.host.revert(last)
        self.say("There is nothing to revert" if last is None else f"{last.job} is reverted")
