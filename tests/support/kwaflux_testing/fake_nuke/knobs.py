"""Knobs with the ways of Nuke's: what they hold, how they are written in a script.

An enumeration silently keeps its value when it is given one it does not have. A value of a script
is TCL text. Names that are no part of Nuke's API begin with an underscore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kwaflux_testing.fake_nuke.rules import rules

if TYPE_CHECKING:
    from kwaflux_testing.fake_nuke.nodes import Node

__all__ = ["FLAGS", "KNOBS", "Knob", "quoted"]

FLAGS = {
    "INVISIBLE": 0x400,
    "NO_ANIMATION": 0x100,
    "READ_ONLY": 0x10000000,
    "STARTLINE": 0x1000,
    "ENDLINE": 0x2000,
    "DO_NOT_WRITE": 0x200,
    "CONSTANT": 258,
    "NO_UNDO": 0x80000,
}


def quoted(text: str) -> str:
    """Return a value as a script spells it."""
    plain = text and all(c.isalnum() or c in "_-./:%#" for c in text)
    if plain:
        return text
    escaped = text
    for mark in ("\\", '"', "[", "]", "$", "{", "}"):
        escaped = escaped.replace(mark, "\\" + mark)
    return '"' + escaped.replace("\n", "\\n") + '"'


class Knob:
    """The base of all knobs."""

    _code = 0

    def __init__(self, name: str = "", label: str = "", *rest: Any) -> None:
        self._name, self._label = name, label
        self._node: Node | None = None
        self._flags = 0
        self._tooltip = ""
        self._is_visible = self._is_enabled = True
        self._value: Any = self._first()
        self._default: Any = self._value
        self._is_user = False

    def _first(self) -> Any:
        return ""

    def _set(self, value: Any) -> None:
        rules().check_thread(f"{self._name}.setValue")
        if value != self._value:
            self._value = value
            self._changed()

    def _changed(self) -> None:
        if self._node is not None:
            rules().note(f"{self._node.name()}.{self._name}")
            self._node._knob_changed(self)

    def Class(self) -> str:
        return type(self).__name__

    def name(self) -> str:
        return self._name

    def setName(self, name: str) -> None:
        self._name = name

    def label(self) -> str:
        return self._label

    def setLabel(self, label: str) -> None:
        self._label = label

    def node(self) -> Node | None:
        return self._node

    def value(self, *args: Any) -> Any:
        rules().check_thread(f"{self._name}.value")
        return self._value

    def getValue(self, *args: Any) -> Any:
        return self.value()

    def setValue(self, val: Any, *args: Any) -> bool:
        self._set(val)
        return True

    def setFlag(self, flag: int) -> None:
        self._flags |= flag

    def clearFlag(self, flag: int) -> None:
        self._flags &= ~flag

    def getFlag(self, flag: int) -> bool:
        return bool(self._flags & flag)

    def setTooltip(self, tooltip: str) -> None:
        self._tooltip = tooltip

    def tooltip(self) -> str:
        return self._tooltip

    def visible(self) -> bool:
        return self._is_visible and not self.getFlag(FLAGS["INVISIBLE"])

    def setVisible(self, visible: bool) -> None:
        rules().check_thread(f"{self._name}.setVisible")
        self._is_visible = visible

    def enabled(self) -> bool:
        return self._is_enabled

    def setEnabled(self, enabled: bool) -> None:
        rules().check_thread(f"{self._name}.setEnabled")
        self._is_enabled = enabled

    def toScript(self, *args: Any) -> str:
        return quoted(str(self._value))

    def fromScript(self, script: str) -> None:
        self._set(script)

    def isAnimated(self, *args: Any) -> bool:
        return False


class String_Knob(Knob):
    _code = 1

    def __init__(self, name: str = "", label: str = "", value: str = "") -> None:
        super().__init__(name, label)
        self._value = value

    def setText(self, text: str) -> None:
        self._set(text)

    def getText(self, *args: Any) -> str:
        return str(self.value())

    def setValue(self, val: Any, *args: Any) -> bool:
        if not isinstance(val, str):
            raise TypeError("a string is needed")
        return super().setValue(val)


class EvalString_Knob(String_Knob):
    _code = 2

    def evaluate(self, *args: Any) -> str:
        """Return the value with TCL's brackets evaluated, which plain text must not have."""
        if "[" in str(self._value):
            raise RuntimeError(f"TCL: invalid command in {self._name}")
        return str(self._value)


class Multiline_Eval_String_Knob(EvalString_Knob):
    _code = 43


class File_Knob(EvalString_Knob):
    _code = 2

    def getEvaluatedValue(self, *args: Any) -> str:
        return self.evaluate()


class Script_Knob(String_Knob):
    _code = 32

    def command(self) -> str:
        return str(self._value)

    def setCommand(self, cmd: str) -> None:
        self._set(cmd)

    def execute(self) -> None:
        rules().check_thread("a button")


class PyScript_Knob(Script_Knob):
    _code = 22

    def execute(self) -> None:
        super().execute()
        assert self._node is not None
        self._node._run_python(str(self._value), self)


class PythonKnob(String_Knob):
    _code = 41


class Text_Knob(Knob):
    _code = 26

    def __init__(self, name: str = "", label: str = "", value: str = "") -> None:
        super().__init__(name, label)
        self._value = value


class Tab_Knob(Knob):
    _code = 20


class Link_Knob(Knob):
    """Shows another knob's value; as ``node.knob`` inside the group that has it."""

    _code = 41

    def _first(self) -> Any:
        return ""

    def _linked(self) -> Knob:
        assert self._node is not None
        owner, _, name = str(self._value).partition(".")
        found = self._node._inner(owner)
        if found is None:
            raise RuntimeError(f"the link {self._value!r} leads nowhere")
        return found[name]

    def setLink(self, s: str) -> None:
        self._set(s)

    def makeLink(self, s: str, t: str) -> None:
        self._set(f"{s}.{t}")

    def getLink(self) -> str:
        return str(self._value)

    def getLinkedKnob(self) -> Knob:
        return self._linked()

    def value(self, *args: Any) -> Any:
        return self._linked().value()

    def setValue(self, *args: Any) -> bool:
        return self._linked().setValue(args[0])


class AnimationCurve:
    """Keys over frames; between them a smooth curve, unless a key is constant."""

    def __init__(self, knob: Array_Knob, view: str) -> None:
        self._knob, self._view = knob, view
        self._keys: dict[float, AnimationKey] = {}

    def keys(self) -> list[AnimationKey]:
        return [self._keys[x] for x in sorted(self._keys)]

    def changeInterpolation(self, keys: Iterable[AnimationKey], kind: int) -> None:
        rules().check_thread("changeInterpolation")
        for key in keys:
            key.interpolation = kind

    def clear(self) -> None:
        rules().check_thread("clear")
        self._keys.clear()

    def setKey(self, x: float, y: float) -> AnimationKey:
        rules().check_thread("setKey")
        self._keys[x] = AnimationKey(x, y)
        return self._keys[x]

    def evaluate(self, t: float) -> float:
        keys = self.keys()
        if not keys:
            return 0.0
        before = [key for key in keys if key.x <= t]
        after = [key for key in keys if key.x > t]
        if not before:
            return keys[0].y
        if not after or before[-1].interpolation == FLAGS["CONSTANT"]:
            return before[-1].y
        # A smooth curve overshoots: what was not made constant is not to be relied on.
        share = (t - before[-1].x) / (after[0].x - before[-1].x)
        wave = 4 * share * (1 - share)
        return before[-1].y + (after[0].y - before[-1].y) * share + wave

    def _script(self) -> str:
        words, last = [], None
        for key in self.keys():
            kind = "K" if key.interpolation == FLAGS["CONSTANT"] else "S"
            words += [kind] if kind != last else []
            words.append(f"x{key.x:g} {key.y:g}")
            last = kind
        return "{curve " + " ".join(words) + "}"


class AnimationKey:
    def __init__(self, x: float, y: float) -> None:
        self.x, self.y = x, y
        self.interpolation = 0


class Array_Knob(Knob):
    _code = 3

    def __init__(self, name: str = "", label: str = "", *rest: Any) -> None:
        super().__init__(name, label)
        self._range = (0.0, 1.0)
        self._curves: dict[str, AnimationCurve] = {}
        self._views: set[str] = set()

    def _first(self) -> Any:
        return 0.0

    def setRange(self, low: float, high: float) -> None:
        self._range = (low, high)

    def min(self) -> float:
        return self._range[0]

    def max(self) -> float:
        return self._range[1]

    def setDefaultValue(self, values: Sequence[float]) -> None:
        self._default = values[0]

    def setValue(self, val: Any, *args: Any) -> bool:
        if isinstance(val, str):
            raise TypeError("must be real number, not str")
        return super().setValue(val)

    def isAnimated(self, *args: Any) -> bool:
        return bool(self._curves)

    def setAnimated(self, *args: Any) -> bool:
        self._curves.setdefault("", AnimationCurve(self, ""))
        return True

    def clearAnimated(self, *args: Any) -> bool:
        rules().check_thread(f"{self._name}.clearAnimated")
        self._curves.clear()
        return True

    def splitView(self, view: str) -> None:
        rules().check_thread(f"{self._name}.splitView")
        self._views.add(view)

    def unsplitView(self, view: str) -> None:
        self._views.discard(view)
        self._curves.pop(view, None)

    def animation(self, chan: int, view: str = "") -> AnimationCurve | None:
        return self._curves.get(view if view in self._views else "")

    def setValueAt(self, val: float, time: float, *args: Any) -> bool:
        view = args[1] if len(args) > 1 and args[1] in self._views else ""
        curve = self._curves.setdefault(view, AnimationCurve(self, view))
        curve.setKey(time, val)
        self._changed()
        return True

    def getValueAt(self, frame: float, *args: Any) -> float:
        view = args[1] if len(args) > 1 and args[1] in self._views else ""
        curve = self._curves.get(view) or self._curves.get("")
        return float(self._value) if curve is None else curve.evaluate(frame)

    def toScript(self, *args: Any) -> str:
        if "" in self._curves:
            return "{" + self._curves[""]._script() + "}"
        return f"{self._value:g}"

    def fromScript(self, script: str) -> None:
        words = script.replace("{", " ").replace("}", " ").split()
        if words[:1] != ["curve"]:
            self._set(self._number(words[0]))
            return
        curve = AnimationCurve(self, "")
        kind, x = 0, 0.0
        for word in words[1:]:
            if word in ("K", "S"):
                kind = FLAGS["CONSTANT"] if word == "K" else 0
            elif word.startswith("x"):
                x = float(word[1:])
            else:
                curve.setKey(x, float(word)).interpolation = kind
        self._curves[""] = curve

    def _number(self, word: str) -> Any:
        return float(word)


class Double_Knob(Array_Knob):
    _code = 7


class Int_Knob(Array_Knob):
    _code = 3

    def _first(self) -> Any:
        return 0

    def _number(self, word: str) -> Any:
        return int(word)


class Boolean_Knob(Array_Knob):
    _code = 6

    def __init__(self, name: str = "", label: str = "", value: bool = False) -> None:
        super().__init__(name, label)
        self._value = bool(value)

    def _first(self) -> Any:
        return False

    def setValue(self, val: Any, *args: Any) -> bool:
        return super().setValue(bool(val))

    def toScript(self, *args: Any) -> str:
        return "true" if self._value else "false"

    def _number(self, word: str) -> Any:
        return word in ("true", "1")


class Disable_Knob(Boolean_Knob):
    pass


class Enumeration_Knob(Knob):
    _code = 4

    def __init__(self, name: str = "", label: str = "", values: Sequence[str] = ()) -> None:
        super().__init__(name, label)
        self._set_values(values)

    def _set_values(self, values: Sequence[str]) -> None:
        kept = self._value
        self._values = list(values)
        ids = self._ids()
        self._value = kept if kept in ids else (ids[0] if ids else "")
        self._default = ids[0] if ids else ""

    def _ids(self) -> list[str]:
        return [value.partition("\t")[0] for value in self._values]

    def values(self) -> list[str]:
        return list(self._values)

    def setValues(self, values: Sequence[str]) -> None:
        rules().check_thread(f"{self._name}.setValues")
        self._set_values(values)

    def numValues(self) -> int:
        return len(self._values)

    def getValue(self, *args: Any) -> float:
        return float(self._ids().index(self._value))

    def setValue(self, val: Any, *args: Any) -> bool:
        ids = self._ids()
        if isinstance(val, str):
            if val in ids:
                self._set(val)  # Nuke says nothing when it is not.
            return val in ids
        self._set(ids[int(val)])
        return True

    def fromScript(self, script: str) -> None:
        self.setValue(script)


class Channel_Knob(Knob):
    _code = 68


class ChannelMask_Knob(Channel_Knob):
    _code = 68


class MultiView_Knob(Knob):
    """Which views; a text with spaces between them."""

    _code = 51


KNOBS: dict[str, Callable[..., Knob]] = {
    cls.__name__: cls
    for cls in (
        Array_Knob, Boolean_Knob, ChannelMask_Knob, Channel_Knob, Disable_Knob, Double_Knob,
        Enumeration_Knob, EvalString_Knob, File_Knob, Int_Knob, Link_Knob, MultiView_Knob,
        Multiline_Eval_String_Knob, PyScript_Knob, PythonKnob, Script_Knob, String_Knob, Tab_Knob,
        Text_Knob,
    )
}  # fmt: skip
"""The kinds of knob a person can make, under their names."""
