"""The window inside Resolve, by Fusion's UIManager: built from the server's descriptors.

Owns widgets and their values. Must not know what an effect is called: every row comes of a
``Control``, so that an effect added on the server is here with no line changed. The window's timer
steps ``enhance``, so nothing freezes, and *Cancel* closes it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

from kwaflux_core.errors import KwafluxError
from kwaflux_core.hosting.panel import Choice, Control, Panel
from kwaflux_resolve.back import MODES, Mode, made_in, revert
from kwaflux_resolve.check import check_road
from kwaflux_resolve.host import Host
from kwaflux_resolve.shots import Wish, enhance

__all__ = ["Dialog"]

_TICK_MS = 100
_ASKED = "what Resolve says; else as OCIO names it"
_BUTTONS = ("Enhance", "Cancel", "Revert", "Check")
_SOURCES = ("The clip's own frames, ungraded", "The graded composite")
_MODES: tuple[Mode, ...] = tuple(MODES)
_WIDGETS = {
    "double": "DoubleSpinBox",
    "int": "SpinBox",
    "boolean": "CheckBox",
    "choice": "ComboBox",
    "string": "LineEdit",
}


class Dialog:
    """Ask, follow, revert. ``run`` returns when the window is closed.

    Args:
        host: Resolve, with a user interface.
        panel: What the server offers.
        makers: Fusion's UIManager and its dispatcher.
    """

    def __init__(self, host: Host, panel: Panel, *, makers: tuple[object, object]) -> None:
        self._host = host
        self._panel = panel
        # Fusion's objects have no types: whatever they are asked for, they seem to have.
        self._ui, self._loop = cast("tuple[Any, Any]", makers)
        self._steps: Generator[str, None, object] | None = None
        self._window = self._built()
        self._items = self._window.GetItems()
        self._filled()

    def run(self) -> None:
        """Show the window and wait until it is closed; what runs then is cancelled."""
        self._timer.Start()
        self._window.Show()
        try:
            self._loop.RunLoop()
        finally:
            self._timer.Stop()
            self._cancel()
            self._window.Hide()

    # --- widgets ----------------------------------------------------------------------------

    def _built(self) -> Any:
        ui = self._ui
        groups = [self._group(choice) for choice in self._panel.choices]
        fixed = [
            self._row("What is enhanced", ui.ComboBox({"ID": "Source"})),
            self._row("Comes back as", ui.ComboBox({"ID": "Mode"})),
            self._row("Handles", ui.SpinBox({"ID": "Handles", "Minimum": 0, "Maximum": 1000})),
            self._row("Colorspace", ui.LineEdit({"ID": "Colorspace", "PlaceholderText": _ASKED})),
        ]
        buttons = [
            ui.Button({"ID": name, "Text": name})
            for name in ("Enhance", "Cancel", "Revert", "Check")
        ]
        status = ui.Label({"ID": "Status", "Text": "Ready", "WordWrap": True})
        picker = self._row("Effect", ui.ComboBox({"ID": "Effect"}))
        body = ui.VGroup([picker, *groups, *fixed, status, ui.HGroup({"Weight": 0}, buttons)])
        window = self._loop.AddWindow({"ID": "Kwaflux", "WindowTitle": "Kwaflux"}, [body])
        self._timer = ui.Timer({"ID": "Tick", "Interval": _TICK_MS})
        window.On.Kwaflux.Close = lambda event: self._loop.ExitLoop()
        window.On.Effect.CurrentIndexChanged = lambda event: self._show_choice()
        window.On.Enhance.Clicked = lambda event: self._start()
        window.On.Cancel.Clicked = lambda event: self._cancel("Cancelled")
        window.On.Revert.Clicked = lambda event: self._revert()
        window.On.Check.Clicked = lambda event: self._begin(check_road(self._host))
        self._loop.On.Timeout = lambda event: self._step()
        return window

    def _row(self, label: str, widget: object, help: str = "") -> object:  # noqa: A002
        name = self._ui.Label({"Text": label, "Weight": 0.4, "ToolTip": help})
        return self._ui.HGroup({"Weight": 0}, [name, widget])

    def _group(self, choice: Choice) -> object:
        rows = [
            self._row(control.label, self._widget(choice, control), control.help)
            for control in choice.controls
        ]
        group = {"ID": f"Group_{choice.id}", "Hidden": True, "Weight": 0, "ToolTip": choice.help}
        return self._ui.VGroup(group, rows)

    def _widget(self, choice: Choice, control: Control) -> object:
        made: dict[str, object] = {"ID": _id(choice, control), "ToolTip": control.help}
        if control.kind in ("double", "int"):
            made |= {"Minimum": control.minimum, "Maximum": control.maximum}
            made |= {"Value": control.default}
        if control.kind == "double":
            made |= {"SingleStep": 0.05, "Decimals": 3}
        if control.kind == "boolean":
            made["Checked"] = control.default
        if control.kind == "string":
            made["Text"] = control.default
        return getattr(self._ui, _WIDGETS[control.kind])(made)

    def _filled(self) -> None:
        """Fill the pickers, which takes a window, and show the first effect."""
        self._items["Effect"].AddItems([choice.label for choice in self._panel.choices])
        self._items["Source"].AddItems(list(_SOURCES))
        self._items["Mode"].AddItems([MODES[mode] for mode in _MODES])
        for choice in self._panel.choices:
            for control in choice.controls:
                if control.kind == "choice":
                    widget = self._items[_id(choice, control)]
                    widget.AddItems(list(control.choices))
                    widget.CurrentIndex = control.choices.index(str(control.default))
        self._show_choice()

    def _show_choice(self) -> None:
        for choice in self._panel.choices:
            self._items[f"Group_{choice.id}"].Hidden = choice != self._choice
        self._window.RecalcLayout()

    @property
    def _choice(self) -> Choice:
        return self._panel.choices[int(self._items["Effect"].CurrentIndex)]

    def _value(self, control: Control) -> object:
        widget = self._items[_id(self._choice, control)]
        if control.kind in ("double", "int"):
            return widget.Value
        if control.kind == "choice":
            return control.choices[int(widget.CurrentIndex)]
        return widget.Checked if control.kind == "boolean" else widget.Text

    # --- actions ----------------------------------------------------------------------------

    def wish(self) -> Wish:
        """Return what the widgets say.

        Raises:
            KwafluxError: They contradict each other, or hold no flow.
        """
        values = {control.name: self._value(control) for control in self._choice.controls}
        return Wish(
            flow=self._panel.flow_text(self._choice.id, values),
            mode=_MODES[int(self._items["Mode"].CurrentIndex)],
            is_graded=int(self._items["Source"].CurrentIndex) == 1,
            handles=int(self._items["Handles"].Value or 0),
            colorspace=str(self._items["Colorspace"].Text).strip(),
        )

    def _start(self) -> None:
        try:
            self._begin(enhance(self._host, self.wish()))
        except KwafluxError as error:
            self._say(str(error))

    def _begin(self, steps: Generator[str, None, object]) -> None:
        self._steps = self._steps or steps

    def _step(self) -> None:
        """Let the work go on a little, and show how far it is."""
        if self._steps is None:
            return
        try:
            self._say(next(self._steps))
        except StopIteration:
            self._steps = None
        except KwafluxError as error:
            self._steps = None
            self._say(str(error))

    def _cancel(self, said: str = "") -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None
            self._say(said)

    def _revert(self) -> None:
        """Undo what was brought back last on this timeline."""
        made = made_in(self._host.timeline)
        try:
            if made and self._steps is None:
                revert(self._host, made[-1])
            self._say(f"{made[-1].job} is reverted" if made else "There is nothing to revert")
        except KwafluxError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self._items["Status"].Text = text


def _id(choice: Choice, control: Control) -> str:
    return f"Value_{choice.id}_{control.name}"
