"""The window inside Resolve, by Fusion's UIManager: built from the server's descriptors.

Owns widgets and their values. Must not know what an effect is called: every row comes of a
``Control``, so that an effect added on the server is here with no line changed. The window's timer
steps ``enhance``, so nothing freezes, and *Cancel* closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

from kwaflux_core.errors import KwafluxError
from kwaflux_core.hosting.panel import Choice, Control, Panel
from kwaflux_resolve.back import made_in, revert
from kwaflux_resolve.check import check_road
from kwaflux_resolve.host import Host
from kwaflux_resolve.shots import ASKED, Wish, enhance

__all__ = ["Dialog"]

_TICK_MS = 100
_OURS = "Resolve"  # names the rows that are not an effect's; no effect's id has a capital
_WIDGETS = {
    "double": ("DoubleSpinBox", "Value", {"SingleStep": 0.05, "Decimals": 3}),
    "int": ("SpinBox", "Value", {}),
    "boolean": ("CheckBox", "Checked", {}),
    "choice": ("ComboBox", "", {}),
    "string": ("LineEdit", "Text", {}),
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
        self._fill()

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

    def wish(self) -> Wish:
        """Return what the widgets say.

        Raises:
            KwafluxError: They contradict each other, or hold no flow.
        """
        choice, ours = self._choice, self._values(_OURS, ASKED)
        values = self._values(choice.id, choice.controls)
        return Wish.of(self._panel.flow_text(choice.id, values), ours)

    # --- widgets ----------------------------------------------------------------------------

    def _built(self) -> Any:
        ui, effects = self._ui, self._panel.choices
        groups = [self._group(choice.id, choice.controls, is_hidden=True) for choice in effects]
        buttons: dict[str, Callable[[], object]] = {
            "Enhance": lambda: self._begin(enhance(self._host, self.wish())),
            "Cancel": lambda: self._cancel("Cancelled"),
            "Revert": self._revert,
            "Check": lambda: self._begin(check_road(self._host)),
        }
        row = [ui.Button({"ID": name, "Text": name}) for name in buttons]
        parts = [ui.ComboBox({"ID": "Effect"}), *groups, self._group(_OURS, ASKED)]
        parts += [ui.Label({"ID": "Status", "Text": "Ready", "WordWrap": True}), ui.HGroup(row)]
        window = self._loop.AddWindow({"ID": "Kwaflux", "WindowTitle": "Kwaflux"}, ui.VGroup(parts))
        self._timer = ui.Timer({"ID": "Tick", "Interval": _TICK_MS})
        self._loop.On.Timeout = lambda event: self._guard(self._step)
        window.On.Kwaflux.Close = lambda event: self._loop.ExitLoop()
        window.On.Effect.CurrentIndexChanged = lambda event: self._show_choice()
        for name, call in buttons.items():
            window.On[name].Clicked = lambda event, call=call: self._guard(call)
        return window

    def _group(self, name: str, controls: Sequence[Control], *, is_hidden: bool = False) -> object:
        ui, rows = self._ui, []
        for control in controls:
            kind, attribute, more = _WIDGETS[control.kind]
            made = {"ID": f"{name}_{control.name}", "ToolTip": control.help, **more}
            if attribute:
                made[attribute] = control.default
            if control.minimum is not None:
                made |= {"Minimum": control.minimum, "Maximum": control.maximum}
            label = ui.Label({"Text": control.label, "Weight": 0.4, "ToolTip": control.help})
            rows.append(ui.HGroup({"Weight": 0}, [label, getattr(ui, kind)(made)]))
        return ui.VGroup({"ID": name, "Hidden": is_hidden, "Weight": 0}, rows)

    def _fill(self) -> None:
        """Fill the pickers, which takes a window, and show the first effect."""
        self._items["Effect"].AddItems([choice.label for choice in self._panel.choices])
        for name, controls in [(c.id, c.controls) for c in self._panel.choices] + [(_OURS, ASKED)]:
            for control in (control for control in controls if control.kind == "choice"):
                widget = self._items[f"{name}_{control.name}"]
                widget.AddItems(list(control.choices))
                widget.CurrentIndex = control.choices.index(str(control.default))
        self._show_choice()

    def _show_choice(self) -> None:
        for choice in self._panel.choices:
            self._items[choice.id].Hidden = choice != self._choice
        self._items["Effect"].ToolTip = self._choice.help
        self._window.RecalcLayout()

    @property
    def _choice(self) -> Choice:
        return self._panel.choices[int(self._items["Effect"].CurrentIndex)]

    def _values(self, name: str, controls: Sequence[Control]) -> dict[str, object]:
        found: dict[str, object] = {}
        for control in controls:
            widget, attribute = self._items[f"{name}_{control.name}"], _WIDGETS[control.kind][1]
            chosen = getattr(widget, attribute or "CurrentIndex")
            found[control.name] = chosen if attribute else control.choices[int(chosen)]
        return found

    # --- actions ----------------------------------------------------------------------------

    def _guard(self, call: Callable[[], object]) -> None:
        """Call, and show what is wrong; an exception in a handler would be seen by nobody."""
        try:
            call()
        except KwafluxError as error:
            self._steps = None
            self._say(str(error))

    def _begin(self, steps: Generator[str, None, object]) -> None:
        self._steps = self._steps or steps

    def _step(self) -> None:
        """Let the work go on a little, and show how far it is."""
        if self._steps is not None:
            try:
                self._say(next(self._steps))
            except StopIteration:
                self._steps = None

    def _cancel(self, said: str = "") -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None
            self._say(said)

    def _revert(self) -> None:
        """Undo what was brought back last on this timeline."""
        made = made_in(self._host.timeline)
        if made and self._steps is None:
            revert(self._host, made[-1])
        self._say(f"{made[-1].job} is reverted" if made else "There is nothing to revert")

    def _say(self, text: str) -> None:
        self._items["Status"].Text = text
