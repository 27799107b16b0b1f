"""One fake Nuke: its script, its menus, its renders, and the module ``nuke`` that shows them.

``running`` puts the module into ``sys.modules`` for a block. The functions of the module are those
of ``FakeNuke`` that ``module`` lists; a test holds every public name against types-nuke.
"""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kwaflux_core.images.image import Image
from kwaflux_testing.fake_nuke import api
from kwaflux_testing.fake_nuke.files import write_frame
from kwaflux_testing.fake_nuke.kinds import KINDS
from kwaflux_testing.fake_nuke.knobs import Knob
from kwaflux_testing.fake_nuke.nodes import Group, Node, Root
from kwaflux_testing.fake_nuke.rules import Rules, rules, use_rules
from kwaflux_testing.fake_nuke.script import load, saved

__all__ = ["FakeNuke", "running"]


class FakeNuke:
    """Hold a Nuke that runs.

    Args:
        gui: Whether it has windows; without them it is ``nuke -t``.
        views: Of its script.

    Attributes:
        plates: What ``CheckerBoard2`` nodes show, under their names: a call of frame and view.
        messages: What was said to the person in dialogs and on the terminal.
        progress: Every progress window that was opened.
        cancel_at: Frames at which the person presses Cancel while Nuke renders.
        cancels_with: The class that is raised then.
        written: Files that Write nodes wrote, in order.
    """

    def __init__(self, *, gui: bool = True, views: Sequence[str] = ("main",)) -> None:
        self.rules = Rules(gui=gui)
        self.frame_now = 1
        self.view_now = views[0]
        self.view_names = list(views)
        self.plates: dict[str, Callable[[float, str], Image]] = {}
        self.messages: list[str] = []
        self.progress: list[api.ProgressTask] = []
        self.cancel_at: set[int] = set()
        self.cancels_with: type[Exception] = RuntimeError
        self.written: list[str] = []
        self.reads: list[str] = []
        self.shown_panels: list[str] = []
        self.menus: dict[str, api.Menu] = {"Nodes": api.Menu("Nodes"), "Nuke": api.Menu("Nuke")}
        self.plugin_paths: list[str] = []
        self.knob_changed: list[Callable[[], None]] = []
        self.update_ui: list[tuple[str, Callable[[], None]]] = []
        self._groups: list[Group] = []
        self._this: list[tuple[Node, Knob | None]] = []
        self.root = self._new_root()

    def _new_root(self) -> Root:
        use_rules(self.rules)
        root = Root(self, KINDS["Root"], None)
        root._knobs["views"]._value = " ".join(self.view_names)
        return root

    # --- what tests do ------------------------------------------------------------------------

    def press(self, node: Node, button: str) -> None:
        """Press a button of a node, as a person does: errors are shown, not raised."""
        try:
            node[button].execute()  # type: ignore[attr-defined]
        except Exception:  # noqa: BLE001 - Nuke shows a traceback in a dialog
            self.rules.printed.append(_traceback())

    def look(self, node: Node, *, frame: int, view: str = "main") -> Image:
        """Return what a viewer would show of a node."""
        return node._picture(frame, view)

    def idle(self) -> None:
        """Call what was registered for updates of the interface, for every node of its class."""
        for kind, call in list(self.update_ui):
            for node in list(self.root._children):
                if kind in ("*", node.Class()):
                    self._this.append((node, None))
                    try:
                        call()
                    except Exception:  # noqa: BLE001 - Nuke prints it and goes on
                        self.rules.printed.append(_traceback())
                    finally:
                        self._this.pop()

    def hash_of(self, node: Node) -> int:
        """Return the hash of a node and all above it."""
        above = [str(self.hash_of(found)) for found in node._inputs if found is not None]
        own = f"{node.Class()} {node.writeKnobs()} {' '.join(above)}"
        return int.from_bytes(hashlib.sha256(own.encode()).digest()[:8], "big")

    def text(self) -> str:
        """Return the script as it would be saved."""
        return saved(self.root)

    def open(self, text: str) -> None:
        """Replace the script."""
        self.root = self._new_root()
        load(self, text)

    def start(self, folder: Path) -> None:
        """Start as Nuke does: ``init.py``, then, with windows, ``menu.py`` of a plug-in folder."""
        for name in ("init.py", *(["menu.py"] if self.rules.gui else [])):
            path = folder / name
            if path.exists():
                code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
                exec(code, {"__file__": str(path), "__name__": path.stem})

    # --- what nodes and knobs call ------------------------------------------------------------

    def _make(self, kind: str, parent: Group) -> Node:
        if kind not in KINDS:
            raise RuntimeError(f"{kind}: Unknown command")
        cls = Group if kind == "Group" else Node
        node = cls(self, KINDS[kind], parent)
        stem = "Input" if kind == "Input" else "Output" if kind == "Output" else kind
        if kind == "Input":
            node._knobs["number"]._value = len(parent._ports())
        node._knobs["name"]._value = parent._free_name(f"{stem}1", node)
        parent._children.append(node)
        return node

    def _call_knob_changed(self, node: Node, knob: Knob) -> None:
        """Call what was registered; an exception in it is printed, as Nuke does."""
        if node is self.root or self.rules.in_callback:
            return
        for call in list(self.knob_changed):
            self._this.append((node, knob))
            self.rules.in_callback = True
            try:
                call()
            except Exception:  # noqa: BLE001 - Nuke prints it and goes on
                self.rules.printed.append(_traceback())
            finally:
                self.rules.in_callback = False
                self._this.pop()

    def _run_button(self, node: Node, knob: Knob, code: str) -> None:
        self._this.append((node, knob))
        try:
            exec(code, {"nuke": sys.modules["nuke"]})
        finally:
            self._this.pop()

    def _render(self, node: Node, frames: Sequence[int], views: Sequence[str]) -> None:
        """Render a Write; the rules of re-entrancy and of Cancel are Nuke's."""
        if self.rules.executing or self.rules.in_callback:
            raise RuntimeError("I'm already executing something else")
        if node.Class() != "Write" or node["disable"].value():
            raise RuntimeError(f"{node.name()} cannot be executed")
        self.rules.executing = True
        try:
            for frame in frames:
                for view in views:
                    if frame in self.cancel_at:
                        raise self.cancels_with("Cancelled")
                    limits = node["first"].value(), node["last"].value()
                    if node["use_limit"].value() and not limits[0] <= frame <= limits[1]:
                        continue
                    self.written.append(write_frame(node, frame, view))
        finally:
            self.rules.executing = False


def _forget_adapter() -> None:
    """Let the adapter be imported anew: it holds the module of the Nuke that it was imported in."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "kwaflux_nuke"]:
        del sys.modules[name]


def _traceback() -> str:
    import traceback

    return traceback.format_exc()


@contextmanager
def running(*, gui: bool = True, views: Sequence[str] = ("main",)) -> Iterator[FakeNuke]:
    """Run a Nuke: ``import nuke`` finds it until the block ends."""
    session = FakeNuke(gui=gui, views=views)
    _forget_adapter()
    former = sys.modules.get("nuke"), rules()
    module: types.ModuleType = api.module(session)
    sys.modules["nuke"] = module
    try:
        yield session
    finally:
        _forget_adapter()
        use_rules(former[1])
        del sys.modules["nuke"]
        if former[0] is not None:
            sys.modules["nuke"] = former[0]
