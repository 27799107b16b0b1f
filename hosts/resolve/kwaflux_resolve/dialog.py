"""The dialog in Resolve: a ``DialogModel`` drawn by Fusion's UIManager, and its timer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from kwaflux_hosting.panel.controls import Control
from kwaflux_hosting.panel.panel import Panel
from kwaflux_hosting.timeline_host.dialog_model import DialogModel
from kwaflux_hosting.timeline_host.timeline_host import TimelineHost

__all__ = ["Dialog"]

_TICK_MS = 100
_WIDGETS = {
    "double": ("DoubleSpinBox", "Value", {"SingleStep": 0.05, "Decimals": 3}),
    "int": ("SpinBox", "Value", {}),
    "boolean": ("CheckBox", "Checked", {}),
    "choice": ("ComboBox", "CurrentIndex", {}),
    "string": ("LineEdit", "Text", {}),
    "loras": ("LineEdit", "Text", {}),
}


class Dialog(DialogModel):
    """A window; ``run`` returns when it is closed. ``makers`` are UIManager and dispatcher."""

    def __init__(self, host: TimelineHost, panel: Panel, *, makers: tuple[object, object]) -> None:
        super().__init__(host, panel)
        # Fusion's objects have no types, and seem to have every attribute.
        self._ui, self._loop = cast("tuple[Any, Any]", makers)
        self._window = self._built()
        self._items = self._window.GetItems()
        self._fill()

    def run(self) -> None:
        """Show the window until it is closed; a task that runs then is cancelled."""
        self._timer.Start()
        self._window.Show()
        try:
            self._loop.RunLoop()
        finally:
            self._timer.Stop()
            self.close()
            self._window.Hide()

    def say(self, text: str) -> None:
        """Show a message."""
        self._items["Status"].Text = text

    def chosen(self) -> int:
        """Return the index of the chosen effect."""
        return int(self._items["Effect"].CurrentIndex)

    def value(self, group: str, control: Control) -> object:
        """Return the value of a control's widget."""
        held = getattr(self._items[f"{group}_{control.name}"], _WIDGETS[control.kind][1])
        return control.choices[int(held)] if control.kind == "choice" else held

    def _built(self) -> Any:
        ui = self._ui
        groups = [self._group(name, controls) for name, controls in self.groups.items()]
        buttons = [ui.Button({"ID": name, "Text": name}) for name in self.buttons]
        status = ui.Label({"ID": "Status", "Text": "Ready", "WordWrap": True})
        parts = [ui.ComboBox({"ID": "Effect"}), *groups, status, ui.HGroup(buttons)]
        window = self._loop.AddWindow({"ID": "Kwaflux", "WindowTitle": "Kwaflux"}, ui.VGroup(parts))
        self._timer = ui.Timer({"ID": "Tick", "Interval": _TICK_MS})
        self._loop.On.Timeout = lambda event: self.tick()
        window.On.Kwaflux.Close = lambda event: self._loop.ExitLoop()
        window.On.Effect.CurrentIndexChanged = lambda event: self._show_choice()
        for name, call in self.buttons.items():
            window.On[name].Clicked = lambda event, call=call: call()
        return window

    def _group(self, name: str, controls: Sequence[Control]) -> object:
        ui, rows = self._ui, []
        for control in controls:
            kind, attribute, more = _WIDGETS[control.kind]
            made = {"ID": f"{name}_{control.name}", "ToolTip": control.help, **more}
            if control.kind != "choice":
                made[attribute] = control.default
            if control.minimum is not None:
                made |= {"Minimum": control.minimum, "Maximum": control.maximum}
            label = ui.Label({"Text": control.label, "Weight": 0.4, "ToolTip": control.help})
            rows.append(ui.HGroup({"Weight": 0}, [label, getattr(ui, kind)(made)]))
        return ui.VGroup({"ID": name, "Weight": 0}, rows)

    def _fill(self) -> None:
        """Fill the combo boxes, which need a window, and show the first effect."""
        self._items["Effect"].AddItems([choice.label for choice in self.panel.choices])
        for name, control in self.rows.items():
            if control.kind == "choice":
                self._items[name].AddItems(list(control.choices))
                self._items[name].CurrentIndex = control.choices.index(str(control.default))
        self._show_choice()

    def _show_choice(self) -> None:
        for name in self.groups:
            self._items[name].Hidden = not self.is_shown(name)
        self._items["Effect"].ToolTip = self.choice.help
        self._window.RecalcLayout()
