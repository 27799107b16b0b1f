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
    """Ask, follow, revert, check; one work at a time, led on by ``tick``, so nothing freezes.

    Args:
        desk: Does what is asked.
        panel: What the server offers.

    Attributes:
        groups: The controls of each group of rows: one for every effect, and what is asked beside.
        buttons: What is to be called when a button is pressed, under what stands on it.
    """

    def __init__(self, desk: TimelineHost, panel: Panel) -> None:
        self.desk: Final = desk
        self.panel: Final = panel
        choices = (*panel.choices, desk.asked)
        self.groups: Mapping[str, Sequence[Control]] = {one.id: one.controls for one in choices}
        self.buttons: Mapping[str, Callable[[], None]] = {
            "Enhance": lambda: self._guard(self._enhance),
            "Cancel": lambda: self._guard(lambda: self._stepper.cancel("Cancelled")),
            "Revert": lambda: self._guard(self._revert),
            "Check": lambda: self._guard(lambda: self._stepper.begin(desk.check())),
        }
        self._stepper: Final = TaskRunner(self.say)
        self._guard: Final = self._stepper.guard

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a sentence."""

    @abstractmethod
    def chosen(self) -> int:
        """Return which effect is chosen, counted from 0."""

    @abstractmethod
    def value(self, group: str, control: Control) -> object:
        """Return what a control's widget holds."""

    @property
    def choice(self) -> EffectEntry:
        """The effect that is chosen."""
        return self.panel.choices[self.chosen()]

    @property
    def rows(self) -> dict[str, Control]:
        """Every control, under a name that no other has."""
        return {
            f"{group}_{control.name}": control
            for group, controls in self.groups.items()
            for control in controls
        }

    def is_shown(self, group: str) -> bool:
        """Tell whether a group of rows is shown: that of the effect, and what is asked beside."""
        return group in (self.choice.id, self.desk.asked.id)

    def flow(self) -> str:
        """Return the effects that the widgets say.

        Raises:
            KwafluxError: They say none.
        """
        return self.panel.flow_text(self.choice.id, self._values(self.choice))

    def asked(self) -> dict[str, object]:
        """Return what the widgets say beside the effects."""
        return self._values(self.desk.asked)

    def tick(self) -> None:
        """Let what goes on go on a little; call it a few times a second."""
        self._guard(self._stepper.step)

    def close(self) -> None:
        """Cancel what goes on."""
        self._stepper.cancel()

    def _values(self, choice: EffectEntry) -> dict[str, object]:
        return {control.name: self.value(choice.id, control) for control in choice.controls}

    def _enhance(self) -> None:
        if not self._stepper.is_busy:
            self._stepper.begin(self.desk.enhance(self.flow(), self.asked()))

    def _revert(self) -> None:
        """Undo what was brought back last; not while something goes on."""
        if self._stepper.is_busy:
            return
        last = next(reversed(self.desk.made()), None)
        if last is not None:
            self.desk.revert(last)
        self.say("There is nothing to revert" if last is None else f"{last.job} is reverted")
