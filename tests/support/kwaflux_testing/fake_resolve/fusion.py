"""Fusion in Resolve: an item's comp, its tools, and the door to the UIManager.

Sources: Blackmagic's Fusion scripting guide; the public ledger of davinci-resolve-mcp for what is
not rendered: a MediaOut without a path from MediaIn, and values written between ``Lock`` and
``Unlock``; a tool without a source fails the job.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kwaflux_testing.fake_resolve.model import World
from kwaflux_testing.fake_resolve.remote import Remote
from kwaflux_testing.fake_resolve.windows import UIManager

__all__ = ["Comp", "CompModel", "Fusion", "Tool", "ToolModel"]

_INPUTS = {
    "MediaIn": frozenset[str](),
    "MediaOut": frozenset({"Input"}),
    "Loader": frozenset({"Clip", "GlobalIn", "GlobalOut"}),
    "Dissolve": frozenset({"Background", "Foreground", "Mix"}),
}


@dataclass(eq=False, slots=True)
class ToolModel:
    """Hold a tool: its values, and those that a render sees."""

    kind: str
    name: str
    values: dict[str, object] = field(default_factory=dict)
    rendered: dict[str, object] = field(default_factory=dict)
    sources: dict[str, ToolModel] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class CompModel:
    """Hold a comp of an item that lasts ``count`` frames; its first frame is at time 0."""

    name: str
    count: int
    tools: list[ToolModel] = field(default_factory=list)
    is_locked: bool = False

    def __post_init__(self) -> None:
        media_in, media_out = ToolModel("MediaIn", "MediaIn1"), ToolModel("MediaOut", "MediaOut1")
        media_out.sources["Input"] = media_in
        self.tools = [media_in, media_out]

    @property
    def out(self) -> ToolModel:
        """The tool that is the comp's result."""
        return next(tool for tool in self.tools if tool.kind == "MediaOut")


def descends_from_media_in(tool: ToolModel) -> bool:
    """Tell whether a path leads from MediaIn to here."""
    return tool.kind == "MediaIn" or any(map(descends_from_media_in, tool.sources.values()))


class Fusion(Remote):
    """The Fusion of this Resolve."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # 19.1 took the UIManager out of the free edition.
        is_studio = world.product.endswith("Studio")
        has_ui = world.quirks.has_ui and (is_studio or world.version < (19, 1))
        self.UIManager: UIManager | None = UIManager() if has_ui else None


class _Link:
    def __init__(self, world: World, tool: ToolModel) -> None:
        self._tool = Tool(world, tool)

    def GetTool(self) -> Tool:
        return self._tool


class _Input:
    def __init__(self, world: World, tool: ToolModel, name: str) -> None:
        self._world, self._tool, self._name = world, tool, name

    def GetConnectedOutput(self) -> _Link | None:
        source = self._tool.sources.get(self._name)
        return None if source is None else _Link(self._world, source)


class Tool(Remote):
    """A tool of a comp; its inputs are attributes."""

    def __init__(self, world: World, model: ToolModel, comp: CompModel | None = None) -> None:
        super().__init__(world)
        self.model = model
        self._comp = comp

    def __getattr__(self, name: str) -> object:
        if name in _INPUTS[self.model.kind]:
            return _Input(self._world, self.model, name)
        return super().__getattr__(name)

    @property
    def Name(self) -> str:
        return self.model.name

    def SetInput(self, input: str, value: object, time: float = 0) -> None:  # noqa: A002
        """Set a value; under a lock it can be read back, and is not rendered (measured)."""
        if input not in _INPUTS[self.model.kind]:
            return
        self.model.values[input] = value
        if self._comp is None or not self._comp.is_locked:
            self.model.rendered[input] = value

    def GetInput(self, input: str, time: float = 0) -> object:  # noqa: A002
        return self.model.values.get(input)

    def ConnectInput(self, input: str, target: Tool) -> bool:  # noqa: A002
        if input not in _INPUTS[self.model.kind]:
            return False
        self.model.sources[input] = target.model
        return True


class Comp(Remote):
    """A Fusion comp of a timeline's item."""

    def __init__(self, world: World, model: CompModel) -> None:
        super().__init__(world)
        self.model = model

    def FindTool(self, name: str) -> Tool | None:
        found = next((tool for tool in self.model.tools if tool.name == name), None)
        return None if found is None else Tool(self._world, found, self.model)

    def AddTool(self, id: str, x: int = -32768, y: int = -32768) -> Tool | None:  # noqa: A002
        if id not in _INPUTS:
            return None
        number = 1 + sum(tool.kind == id for tool in self.model.tools)
        self.model.tools.append(ToolModel(id, f"{id}{number}"))
        return Tool(self._world, self.model.tools[-1], self.model)

    def GetAttrs(self) -> dict[str, object]:
        return {"COMPN_GlobalStart": 0.0, "COMPN_RenderStart": 0.0, "COMPS_Name": self.model.name}

    def Lock(self) -> None:
        self.model.is_locked = True

    def Unlock(self) -> None:
        self.model.is_locked = False
