"""Fusion's UIManager and the dispatcher of ``bmd``, with a person in front of them.

Owns elements that hold values, windows whose events are handlers, a loop that ends when it is told
to, timers. Knows the elements and attributes of Fusion's UIManager and fails on any other.

Source: Fusion's UIManager pages of Blackmagic's "Workflow Integrations" documentation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Element", "FakeUser", "UIDispatcher", "UIManager", "Window"]

_LOOP_S = 60.0
_KNOWN: Mapping[str, frozenset[str]] = {
    "VGroup": frozenset({"Weight", "Spacing"}),
    "HGroup": frozenset({"Weight", "Spacing"}),
    "Label": frozenset({"Text", "Weight", "WordWrap", "MinimumSize"}),
    "Button": frozenset({"Text", "Weight", "Enabled"}),
    "CheckBox": frozenset({"Text", "Weight", "Checked"}),
    "ComboBox": frozenset({"Weight", "CurrentIndex"}),
    "LineEdit": frozenset({"Text", "Weight", "PlaceholderText"}),
    "SpinBox": frozenset({"Weight", "Minimum", "Maximum", "Value"}),
    "DoubleSpinBox": frozenset({"Weight", "Minimum", "Maximum", "Value", "SingleStep", "Decimals"}),
    "TextEdit": frozenset({"Weight", "PlainText", "ReadOnly"}),
    "Timer": frozenset({"Interval", "SingleShot"}),
}
_OF_ALL = frozenset({"ID", "ToolTip", "Hidden", "Enabled"})
_EVENTS = frozenset({"Clicked", "Close", "CurrentIndexChanged", "ValueChanged", "TextChanged"})


class Element:
    """A widget: its attributes are values; what its kind does not have is refused."""

    def __init__(
        self, kind: str, attributes: Mapping[str, object], children: Sequence[Element]
    ) -> None:
        unknown = attributes.keys() - _KNOWN[kind] - _OF_ALL
        assert not unknown, f"{kind} has no {sorted(unknown)}"
        self.__dict__.update(attributes)
        self.kind = kind
        self.children = list(children)
        self.items: list[str] = []
        self.is_active = False

    def __setattr__(self, name: str, value: object) -> None:
        if name[:1].isupper() and "kind" in self.__dict__:
            known = _KNOWN[str(self.__dict__["kind"])] | _OF_ALL
            assert name in known, f"{self.__dict__['kind']} has no {name}"
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return {"CurrentIndex": 0, "Text": "", "Checked": False}.get(name)

    def AddItem(self, text: str) -> None:
        assert self.kind == "ComboBox"
        self.items.append(text)

    def AddItems(self, texts: Sequence[str]) -> None:
        assert self.kind == "ComboBox"
        self.items.extend(texts)

    def Clear(self) -> None:
        self.items.clear()

    def AddChild(self, child: Element) -> None:
        self.children.append(child)

    def RemoveChild(self, identity: str) -> None:
        self.children = [child for child in self.children if child.__dict__.get("ID") != identity]

    def Start(self) -> None:
        assert self.kind == "Timer"
        self.is_active = True

    def Stop(self) -> None:
        self.is_active = False

    def every(self) -> list[Element]:
        """Return this element and all inside it."""
        return [self, *(inner for child in self.children for inner in child.every())]


class UIManager:
    """Fusion's maker of elements: a method for each kind, with a dict and children."""

    def __init__(self) -> None:
        self.timers: list[Element] = []

    def _made(self, kind: str, *given: object) -> Element:
        attributes: dict[str, object] = {}
        children: list[Element] = []
        for thing in given:
            if isinstance(thing, dict):
                attributes.update(thing)
            elif isinstance(thing, list):
                children += [child for child in thing if isinstance(child, Element)]
            elif isinstance(thing, Element):
                children.append(thing)
        element = Element(kind, attributes, children)
        if kind == "Timer":
            self.timers.append(element)
        return element

    def VGroup(self, *given: object) -> Element:
        return self._made("VGroup", *given)

    def HGroup(self, *given: object) -> Element:
        return self._made("HGroup", *given)

    def Label(self, *given: object) -> Element:
        return self._made("Label", *given)

    def Button(self, *given: object) -> Element:
        return self._made("Button", *given)

    def CheckBox(self, *given: object) -> Element:
        return self._made("CheckBox", *given)

    def ComboBox(self, *given: object) -> Element:
        return self._made("ComboBox", *given)

    def LineEdit(self, *given: object) -> Element:
        return self._made("LineEdit", *given)

    def SpinBox(self, *given: object) -> Element:
        return self._made("SpinBox", *given)

    def DoubleSpinBox(self, *given: object) -> Element:
        return self._made("DoubleSpinBox", *given)

    def TextEdit(self, *given: object) -> Element:
        return self._made("TextEdit", *given)

    def Timer(self, *given: object) -> Element:
        return self._made("Timer", *given)


class _Handlers:
    """What stands behind ``win.On``: handlers under element and event."""

    def __init__(self) -> None:
        self.__dict__["found"] = {}

    def __getattr__(self, name: str) -> _Events:
        found: dict[str, _Events] = self.__dict__["found"]
        return found.setdefault(name, _Events())

    def __getitem__(self, name: str) -> _Events:
        return getattr(self, name)  # type: ignore[no-any-return]


class _Events:
    def __setattr__(self, name: str, handler: object) -> None:
        assert name in _EVENTS, f"there is no event {name}"
        self.__dict__[name] = handler


class Window:
    """A window."""

    def __init__(self, attributes: Mapping[str, object], root: Element) -> None:
        self.attributes = dict(attributes)
        self.root = root
        self.On = _Handlers()
        self.is_shown = False

    def Show(self) -> None:
        self.is_shown = True

    def Hide(self) -> None:
        self.is_shown = False

    def RecalcLayout(self) -> None:
        """Lay the elements out anew."""

    def GetItems(self) -> dict[str, Element]:
        return {str(e.__dict__["ID"]): e for e in self.root.every() if "ID" in e.__dict__}

    def Find(self, identity: str) -> Element | None:
        return self.GetItems().get(identity)

    def send(self, identity: str, event: str) -> None:
        """Call the handler of an element's event, if there is one."""
        handler = self.On[identity].__dict__.get(event)
        if handler is not None:
            handler({"who": identity, "what": event})


@dataclass
class FakeUser:
    """A person: what is done, one thing each time the loop comes round; then she waits.

    Args:
        acts: Each gets the window; ``press`` and ``choose`` make such.
    """

    acts: list[Callable[[Window], None]] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)

    @staticmethod
    def press(identity: str) -> Callable[[Window], None]:
        """Click a button."""
        return lambda window: window.send(identity, "Clicked")

    @staticmethod
    def close(window: Window) -> None:
        """Close the window."""
        window.send(str(window.attributes["ID"]), "Close")

    @staticmethod
    def choose(identity: str, text: str) -> Callable[[Window], None]:
        """Choose an entry of a ComboBox."""

        def act(window: Window) -> None:
            element = window.GetItems()[identity]
            element.CurrentIndex = element.items.index(text)
            window.send(identity, "CurrentIndexChanged")

        return act

    @staticmethod
    def enter(identity: str, name: str, value: object) -> Callable[[Window], None]:
        """Set an element's value."""
        return lambda window: setattr(window.GetItems()[identity], name, value)

    @staticmethod
    def until(is_met: Callable[[Window], bool]) -> Callable[[Window], None]:
        """Wait while the timers run."""

        def act(window: Window) -> None:
            if not is_met(window):
                raise _NotYetError

        return act


class _NotYetError(Exception):
    """What the person waits for is not there yet."""


class _Dispatched:
    """What stands behind ``dispatcher.On``."""

    Timeout: Callable[[Mapping[str, object]], None] | None = None


class UIDispatcher:
    """The dispatcher of ``bmd``: windows, and the loop that a script waits in."""

    def __init__(self, ui: UIManager, *, user: FakeUser) -> None:
        self._ui = ui
        self._user = user
        self._is_running = False
        self._window: Window | None = None
        self.On = _Dispatched()

    def AddWindow(self, attributes: Mapping[str, object], children: object) -> Window:
        given = children if isinstance(children, list) else [children]
        inner = [child for child in given if isinstance(child, Element)]
        self._window = Window(attributes, Element("VGroup", {}, inner))
        self._user.windows.append(self._window)
        return self._window

    def ExitLoop(self, code: int = 0) -> None:
        self._is_running = False

    def RunLoop(self) -> None:
        """Come round until somebody ends it: the person does something, timers ring."""
        assert self._window is not None
        assert self._window.is_shown, "a window that nobody sees"
        self._is_running = True
        acts = list(self._user.acts)
        deadline_s = time.monotonic() + _LOOP_S
        while self._is_running:
            assert time.monotonic() < deadline_s, "the window was never closed"
            if acts:
                try:
                    acts[0](self._window)
                    acts.pop(0)
                except _NotYetError:
                    pass
            for timer in self._ui.timers:
                if timer.is_active and self.On.Timeout is not None and self._is_running:
                    self.On.Timeout({"who": timer.__dict__.get("ID"), "what": "Timeout"})
            time.sleep(0.005)
