"""Nodes, groups and the root, as Nuke's Python shows them.

What a node computes is in ``kinds``; here is how nodes are named, connected, found and changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kwaflux_testing.fake_nuke.knobs import KNOBS, Knob
from kwaflux_testing.fake_nuke.rules import rules

if TYPE_CHECKING:
    from kwaflux_core.images.image import Image
    from kwaflux_testing.fake_nuke.kinds import Kind
    from kwaflux_testing.fake_nuke.session import FakeNuke

__all__ = ["COMMON", "Format", "Group", "Node", "Root"]

INPUTS, HIDDEN_INPUTS, EXPRESSIONS = 1, 2, 4

COMMON: Mapping[str, tuple[str, Any]] = {
    "name": ("String_Knob", ""),
    "label": ("Multiline_Eval_String_Knob", ""),
    "help": ("EvalString_Knob", ""),
    "icon": ("File_Knob", ""),
    "knobChanged": ("PythonKnob", ""),
    "onCreate": ("PythonKnob", ""),
    "tile_color": ("Int_Knob", 0),
    "note_font": ("String_Knob", ""),
    "hide_input": ("Boolean_Knob", False),
    "postage_stamp": ("Boolean_Knob", False),
    "selected": ("Boolean_Knob", False),
    "disable": ("Disable_Knob", False),
    "xpos": ("Int_Knob", 0),
    "ypos": ("Int_Knob", 0),
}


class Format:
    def __init__(self, width: int, height: int, pixel_aspect: float = 1.0) -> None:
        self._size, self._pixel_aspect = (width, height), pixel_aspect

    def width(self) -> int:
        return self._size[0]

    def height(self) -> int:
        return self._size[1]

    def pixelAspect(self) -> float:
        return self._pixel_aspect


class Node:
    """One node; made by ``nuke.nodes`` and ``nuke.createNode`` alone."""

    def __init__(self, session: FakeNuke, kind: Kind, parent: Group | None) -> None:
        self._session, self._kind, self._parent = session, kind, parent
        self._knobs: dict[str, Knob] = {}
        self._inputs: list[Node | None] = []
        self._is_deleted = False
        for name, (knob_kind, value) in {**COMMON, **kind.knobs}.items():
            self._grow(name, knob_kind, value)

    def _grow(self, name: str, kind: str, value: Any) -> Knob:
        rest = (value,) if kind == "Enumeration_Knob" else ()
        knob = KNOBS[kind](name, "", *rest)
        if kind != "Enumeration_Knob":
            knob._value = knob._default = value
        knob._node = self
        self._knobs[name] = knob
        return knob

    def _check(self, what: str) -> None:
        rules().check_thread(f"Node.{what}")
        if self._is_deleted:
            raise ValueError("A PythonObject is not attached to a node")

    def _knob_changed(self, knob: Knob) -> None:
        self._kind.changed(self, knob)
        self._session._call_knob_changed(self, knob)

    def _run_python(self, code: str, knob: Knob) -> None:
        self._session._run_button(self, knob, code)

    def _inner(self, name: str) -> Node | None:
        return None

    def _picture(self, frame: float, view: str) -> Image:
        """Render: the pixels and the header of one frame of one view."""
        if self._knobs["disable"]._value:
            return self._upstream(0)._picture(frame, view)
        return self._kind.picture(self, frame, view)

    def _upstream(self, index: int) -> Node:
        found = self._inputs[index] if index < len(self._inputs) else None
        if found is None:
            raise RuntimeError(f"{self.fullName()}: input {index} is not connected")
        return found

    # --- Nuke's own ---------------------------------------------------------------------------

    def Class(self) -> str:
        return self._kind.name

    def name(self) -> str:
        return str(self._knobs["name"]._value)

    def fullName(self) -> str:
        parents = [] if self._parent is None or self._parent._parent is None else [self._parent]
        return ".".join([*(p.fullName() for p in parents), self.name()])

    def parent(self) -> Group | None:
        return self._parent

    def setName(self, name: str, uncollide: bool = True, updateExpressions: bool = False) -> None:
        self._check("setName")
        assert self._parent is not None
        self._knobs["name"]._value = self._parent._free_name(name, self)
        rules().note(f"{name}.name")

    def knob(self, p: str, follow_link: bool = True) -> Knob | None:
        self._check("knob")
        return self._knobs.get(p)

    def knobs(self) -> dict[str, Knob]:
        self._check("knobs")
        return dict(self._knobs)

    def allKnobs(self) -> list[Knob]:
        return list(self._knobs.values())

    def addKnob(self, knob: Knob) -> None:
        self._check("addKnob")
        if knob._name in self._knobs:
            raise ValueError(f"the knob {knob._name} is there already")
        knob._node, knob._is_user = self, True
        self._knobs[knob._name] = knob
        rules().note(f"{self.name()}.addKnob")

    def removeKnob(self, knob: Knob) -> None:
        self._check("removeKnob")
        if not knob._is_user:
            raise ValueError("only user knobs can be removed")
        del self._knobs[knob._name]
        rules().note(f"{self.name()}.removeKnob")

    def __getitem__(self, name: str) -> Knob:
        self._check(name)
        if name not in self._knobs:
            raise NameError(f"knob {name} does not exist")
        return self._knobs[name]

    def input(self, index: int) -> Node | None:
        self._check("input")
        return self._inputs[index] if index < len(self._inputs) else None

    def inputs(self) -> int:
        self._check("inputs")
        return len(self._inputs)

    def maxInputs(self) -> int:
        return self._max_inputs()

    def _max_inputs(self) -> int:
        return self._kind.inputs_max

    def setInput(self, i: int, node: Node | None) -> bool:
        self._check("setInput")
        if i >= self._max_inputs():
            return False
        self._inputs += [None] * (i + 1 - len(self._inputs))
        self._inputs[i] = node
        rules().note(f"{self.name()}.setInput")
        pseudo = Knob("inputChange")
        pseudo._node = self
        self._session._call_knob_changed(self, pseudo)
        return True

    def connectInput(self, i: int, node: Node | None) -> bool:
        return self.setInput(i, node)

    def dependencies(self, mask: int = INPUTS | HIDDEN_INPUTS | EXPRESSIONS) -> list[Node]:
        self._check("dependencies")
        return [node for node in self._inputs if node is not None] if mask & INPUTS else []

    def dependent(self, mask: int = INPUTS, forceEvaluate: bool = True) -> list[Node]:
        self._check("dependent")
        assert self._parent is not None
        return [node for node in self._parent._children if self in node._inputs]

    def writeKnobs(self, flags: int = 0) -> str:
        """Return the knobs that differ from their defaults, with their names."""
        self._check("writeKnobs")
        return "\n".join(
            f"{name} {knob.toScript()}"
            for name, knob in self._knobs.items()
            if knob._value != knob._default or knob.isAnimated()
        )

    def channels(self) -> list[str]:
        self._check("channels")
        names = {"R": "rgba.red", "G": "rgba.green", "B": "rgba.blue", "A": "rgba.alpha"}
        try:
            picture = self._picture(self._session.frame_now, self._session.view_now)
        except RuntimeError:
            return []
        return [names.get(name, name) for name in picture.part.channels]

    def metadata(self, *args: Any) -> Any:
        self._check("metadata")
        picture = self._picture(self._session.frame_now, self._session.view_now)
        found = {f"exr/{name}": value for name, value in picture.part.attributes.items()}
        return found.get(args[0]) if args and isinstance(args[0], str) else found

    def format(self) -> Format:
        self._check("format")
        try:
            part = self._picture(self._session.frame_now, self._session.view_now).part
        except RuntimeError:
            return Format(2048, 1556)  # the script's own, where nothing can be read
        return Format(part.display_window.width, part.display_window.height, part.pixel_aspect)

    def width(self) -> int:
        return self.format().width()

    def height(self) -> int:
        return self.format().height()

    def firstFrame(self) -> int:
        return self._span()[0]

    def lastFrame(self) -> int:
        return self._span()[1]

    def _span(self) -> tuple[int, int]:
        self._check("firstFrame")
        return self._kind.span(self)

    def error(self) -> bool:
        return self.hasError()

    def hasError(self) -> bool:
        self._check("hasError")
        try:
            self._picture(self._session.frame_now, self._session.view_now)
        except RuntimeError:
            return True
        return False

    def isSelected(self) -> bool:
        return bool(self._knobs["selected"]._value)

    def setSelected(self, selected: bool) -> None:
        self._check("setSelected")
        self._knobs["selected"]._value = selected

    def xpos(self) -> int:
        return int(self._knobs["xpos"]._value)

    def ypos(self) -> int:
        return int(self._knobs["ypos"]._value)

    def setXYpos(self, x: int, y: int) -> None:
        self._check("setXYpos")
        self._knobs["xpos"]._value, self._knobs["ypos"]._value = x, y

    def showControlPanel(self, forceFloat: bool = False) -> None:
        self._check("showControlPanel")
        self._session.shown_panels.append(self.fullName())

    def redraw(self) -> None:
        self._check("redraw")


class Group(Node):
    """A node that holds nodes."""

    def __init__(self, session: FakeNuke, kind: Kind, parent: Group | None) -> None:
        self._children: list[Node] = []
        super().__init__(session, kind, parent)

    def _free_name(self, wanted: str, node: Node) -> str:
        taken = {child.name() for child in self._children if child is not node}
        stem = wanted.rstrip("0123456789") if wanted in taken else wanted
        name, number = wanted, 1
        while name in taken:
            name, number = f"{stem}{number}", number + 1
        return name

    def _inner(self, name: str) -> Node | None:
        return next((child for child in self._children if child.name() == name), None)

    def _ports(self) -> list[Node]:
        ports = [child for child in self._children if child.Class() == "Input"]
        return sorted(ports, key=lambda port: port._knobs["number"]._value)

    def _max_inputs(self) -> int:
        return len(self._ports())

    def _picture(self, frame: float, view: str) -> Image:
        if self._knobs["disable"]._value:
            return self._upstream(0)._picture(frame, view)
        output = next((child for child in self._children if child.Class() == "Output"), None)
        if output is None:
            raise RuntimeError(f"{self.fullName()}: no Output")
        return output._picture(frame, view)

    def _span(self) -> tuple[int, int]:
        self._check("firstFrame")
        return self._upstream(0)._span() if self._inputs else (1, 1)

    def node(self, s: str) -> Node | None:
        self._check("node")
        head, _, rest = s.partition(".")
        found = self._inner(head)
        if rest and isinstance(found, Group):
            return found.node(rest)
        return found

    def nodes(self) -> list[Node]:
        self._check("nodes")
        return list(self._children)

    def begin(self) -> Group:
        self._check("begin")
        self._session._groups.append(self)
        return self

    def end(self) -> None:
        self._check("end")
        self._session._groups.pop()

    def __enter__(self) -> Group:
        return self.begin()

    def __exit__(self, *args: object) -> None:
        self.end()

    def __iter__(self) -> Iterator[Node]:
        raise TypeError("a group is no list")


class Root(Group):
    """The script."""

    def _max_inputs(self) -> int:
        return 0

    def fullName(self) -> str:
        return self.name()

    def name(self) -> str:
        return str(self._knobs["name"]._value) or "Root"

    def firstFrame(self) -> int:
        return int(self._knobs["first_frame"]._value)

    def lastFrame(self) -> int:
        return int(self._knobs["last_frame"]._value)

    def proxy(self) -> bool:
        return bool(self._knobs["proxy"]._value)

    def setProxy(self, value: bool) -> None:
        self["proxy"].setValue(value)

    def modified(self) -> bool:
        return rules().modified

    def setModified(self, modified: bool) -> None:
        rules().modified = modified
