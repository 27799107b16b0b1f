"""The module ``nuke`` as scripts see it: functions, menus, frame ranges, undo, progress.

Every public name here is one of Nuke's; a test holds them against types-nuke. What a function does
to the script is in ``session``.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kwaflux_testing.fake_nuke.knobs import FLAGS, KNOBS, Knob
from kwaflux_testing.fake_nuke.nodes import Group, Node, Root
from kwaflux_testing.fake_nuke.rules import rules

if TYPE_CHECKING:
    from kwaflux_testing.fake_nuke.session import FakeNuke

__all__ = ["CancelledError", "Menu", "ProgressTask", "module"]


class CancelledError(Exception):
    """What newer versions raise when a render is cancelled."""


class Undo:
    """The undo stack; disabled, changes leave no trace on it."""

    @classmethod
    def begin(cls, name: str = "") -> None:
        rules().check_thread("Undo.begin")
        if rules().undo_depth == 0 and not rules().undo_is_disabled:
            rules().undo.append(name)
        rules().undo_depth += 1

    @classmethod
    def end(cls) -> None:
        rules().check_thread("Undo.end")
        rules().undo_depth -= 1

    @classmethod
    def disable(cls) -> None:
        rules().check_thread("Undo.disable")
        rules().undo_is_disabled = True

    @classmethod
    def enable(cls) -> None:
        rules().check_thread("Undo.enable")
        rules().undo_is_disabled = False

    @classmethod
    def disabled(cls) -> bool:
        return rules().undo_is_disabled


class FrameRange:
    def __init__(self, *args: Any) -> None:
        if len(args) == 1:
            span, _, step = str(args[0]).partition("x")
            sign = span.startswith("-")
            first, _, last = span.lstrip("-").partition("-")
            low = -int(first) if sign else int(first)
            self._parts = (low, int(last) if last else low, int(step or 1))
        else:
            self._parts = (int(args[0]), int(args[1]), int(args[2]) if len(args) > 2 else 1)

    def first(self) -> int:
        return self._parts[0]

    def last(self) -> int:
        return self._parts[1]

    def increment(self) -> int:
        return self._parts[2]

    def __iter__(self) -> Iterator[int]:
        first, last, step = self._parts
        return iter(range(first, last + 1, step))


class FrameRanges:
    def __init__(self, *args: Any) -> None:
        words = str(args[0]).replace(",", " ").split() if args else []
        self._ranges = [FrameRange(word) for word in words]

    def toFrameList(self) -> list[int]:
        return sorted({frame for found in self._ranges for frame in found})

    def size(self) -> int:
        return len(self._ranges)

    def __iter__(self) -> Iterator[FrameRange]:
        return iter(self._ranges)


class ProgressTask:
    """A progress window; a test sets ``_is_cancelled``, as a person presses Cancel."""

    def __init__(self, name: str, *rest: Any) -> None:
        rules().check_thread("ProgressTask")
        self._name = name
        self._progress: list[int] = []
        self._texts: list[str] = []
        self._is_cancelled = False
        _opened.append(self)

    def setProgress(self, progress: int) -> None:
        rules().check_thread("setProgress")
        if not isinstance(progress, int):
            raise TypeError("an int is needed")
        self._progress.append(progress)

    def setMessage(self, message: str) -> None:
        rules().check_thread("setMessage")
        self._texts.append(message)

    def isCancelled(self) -> bool:
        rules().check_thread("isCancelled")
        return self._is_cancelled


_opened: list[ProgressTask] = []


class Menu:
    """A menu; commands are texts of Python or calls."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._items: dict[str, Any] = {}

    def name(self) -> str:
        return self._name

    def addMenu(self, name: str, **options: Any) -> Menu:
        found: Menu = self._items.setdefault(name, Menu(name))
        return found

    def addCommand(self, name: str, command: Any = "", *args: Any, **options: Any) -> None:
        head, _, rest = name.partition("/")
        if rest:
            self.addMenu(head).addCommand(rest, command, *args, **options)
        else:
            self._items[head] = command

    def addSeparator(self) -> None:
        self._items[f"-{len(self._items)}"] = None

    def findItem(self, name: str) -> Any:
        head, _, rest = name.partition("/")
        found = self._items.get(head)
        return found.findItem(rest) if rest and isinstance(found, Menu) else found

    def removeItem(self, name: str) -> None:
        self._items.pop(name, None)


class _Nodes:
    def __init__(self, session: FakeNuke) -> None:
        self._session = session

    def __getattr__(self, kind: str) -> Callable[..., Node]:
        if kind.startswith("_"):
            raise AttributeError(kind)

        def make(**knobs: Any) -> Node:
            rules().check_thread(f"nuke.nodes.{kind}")
            node = self._session._make(kind, _group(self._session))
            rules().note(f"create {kind}")
            inputs = knobs.pop("inputs", None)
            for name, value in knobs.items():
                if name == "name":
                    node.setName(value)
                else:
                    node[name].setValue(value)
            for index, found in enumerate(inputs or ()):
                node.setInput(index, found)
            return node

        return make


def _group(session: FakeNuke) -> Group:
    return session._groups[-1] if session._groups else session.root


class _Calls:
    """The functions of the module, bound to a session; each is for the main thread."""

    def __init__(self, session: FakeNuke) -> None:
        self._session = session

    def root(self) -> Root:
        return self._session.root

    def thisGroup(self) -> Group:
        return _group(self._session)

    def thisNode(self) -> Node:
        if not self._session._this:
            raise ValueError("there is no node here")
        return self._session._this[-1][0]

    def thisKnob(self) -> Knob | None:
        return self._session._this[-1][1]

    def toNode(self, s: str) -> Node | None:
        return _group(self._session).node(s) or self._session.root.node(s)

    def allNodes(self, filter: str = "", group: Group | None = None) -> list[Node]:
        found = (group or _group(self._session)).nodes()
        return [node for node in found if not filter or node.Class() == filter]

    def selectedNodes(self, *args: str) -> list[Node]:
        return [node for node in self.allNodes() if node.isSelected()]

    def selectedNode(self) -> Node:
        found = self.selectedNodes()
        if not found:
            raise ValueError("no node selected")
        return found[0]

    def createNode(self, typ: str, knobs: str = "", inpanel: bool = True) -> Node:
        selected = self.selectedNodes()
        node: Node = getattr(_Nodes(self._session), typ)()
        for found in selected:
            found.setSelected(False)
        if selected and node.maxInputs():
            node.setInput(0, selected[0])
        node.setSelected(True)
        if inpanel and rules().gui:
            node.showControlPanel()
        return node

    def delete(self, n: Node | None) -> None:
        if n is None:
            return
        assert n._parent is not None
        n._parent._children.remove(n)
        for other in n._parent._children:
            other._inputs = [None if found is n else found for found in other._inputs]
        n._is_deleted = True
        rules().note(f"delete {n.Class()}")

    def execute(self, nameOrNode: Node | str, *args: Any, **options: Any) -> None:
        found = self.toNode(nameOrNode) if isinstance(nameOrNode, str) else nameOrNode
        if found is None:
            raise ValueError("no such node")
        if isinstance(args[0], FrameRanges):
            frames, rest = args[0].toFrameList(), list(args[1:])
        else:
            step = args[2] if len(args) > 2 else 1
            frames, rest = list(range(args[0], args[1] + 1, step)), list(args[3:])
        views = options.get("views") or (rest[0] if rest else self._session.view_names)
        shown = str(found["views"].value()).split()
        self._session._render(found, frames, [view for view in views if view in shown])

    def executing(self, *args: Any) -> bool:
        return rules().executing

    def frame(self, *args: int) -> int:
        if args:
            self._session.frame_now = args[0]
        return self._session.frame_now

    def views(self) -> list[str]:
        return list(self._session.view_names)

    def message(self, prompt: str) -> None:
        self._session.messages.append(prompt)

    def tprint(self, *args: Any, sep: str = " ", end: str = "\n", file: Any = None) -> None:
        self._session.messages.append(sep.join(map(str, args)))

    def menu(self, name: str) -> Menu | None:
        return self._session.menus.get(name) if rules().gui else None

    def pluginAddPath(self, args: Any, addToSysPath: bool = True) -> None:
        self._session.plugin_paths.insert(0, args)

    def pluginAppendPath(self, args: Any, addToSysPath: bool = True) -> None:
        self._session.plugin_paths.append(args)

    def addKnobChanged(
        self, call: Any, args: Any = (), kwargs: Any = None, nodeClass: str = "*", node: Any = None
    ) -> None:
        session = self._session

        def filtered() -> None:
            if nodeClass in ("*", session._this[-1][0].Class()):
                call(*args, **(kwargs or {}))

        session.knob_changed.append(filtered)

    def addUpdateUI(
        self, call: Any, args: Any = (), kwargs: Any = None, nodeClass: str = "*"
    ) -> None:
        self._session.update_ui.append((nodeClass, lambda: call(*args, **(kwargs or {}))))

    def scriptOpen(self, filename: str) -> None:
        with open(filename, encoding="utf-8") as file:
            self._session.open(file.read())
        self._session.root._knobs["name"]._value = filename

    def scriptSave(self, filename: str = "") -> bool:
        path = filename or str(self._session.root._knobs["name"]._value)
        if not path:
            raise RuntimeError("the script has no name")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._session.text())
        rules().modified = False
        return True

    def scriptClear(self, *args: Any) -> None:
        self._session.open("")


_MAIN_ONLY = [name for name in vars(_Calls) if not name.startswith("_")]


def module(session: FakeNuke) -> types.ModuleType:
    """Return the module ``nuke`` of a session."""
    made = types.ModuleType("nuke")
    calls = _Calls(session)

    def guarded(name: str) -> Callable[..., Any]:
        call = getattr(calls, name)

        @functools.wraps(call)
        def checked(*args: Any, **options: Any) -> Any:
            rules().check_thread(f"nuke.{name}")
            return call(*args, **options)

        return checked

    def now(call: Any, args: Any, kwargs: Any) -> Callable[[], Any]:
        given = args if isinstance(args, tuple) else (args,)
        return lambda: call(*given, **(kwargs or {}))

    _opened.clear()
    session.progress = _opened
    vars(made).update({name: guarded(name) for name in _MAIN_ONLY})
    vars(made).update(KNOBS)
    vars(made).update(FLAGS)
    vars(made).update(
        GUI=session.rules.gui,
        NUKE_VERSION_MAJOR=15,
        NUKE_VERSION_STRING="15.1v3",
        INPUTS=1,
        EXPRESSIONS=4,
        WRITE_NON_DEFAULT_ONLY=1,
        TO_SCRIPT=2,
        rawArgs=["nuke"],
        env={"gui": session.rules.gui, "NukeVersionString": "15.1v3"},
        nodes=_Nodes(session),
        CancelledError=CancelledError,
        FrameRange=FrameRange,
        FrameRanges=FrameRanges,
        Group=Group,
        Knob=Knob,
        Menu=Menu,
        Node=Node,
        ProgressTask=ProgressTask,
        Undo=Undo,
        executeInMainThread=lambda call, args=(), kwargs=None: rules().post(
            now(call, args, kwargs)
        ),
        executeInMainThreadWithResult=lambda call, args=(), kwargs=None: rules().post_and_wait(
            now(call, args, kwargs)
        ),
    )
    return made
