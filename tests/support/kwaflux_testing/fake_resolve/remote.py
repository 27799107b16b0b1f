"""What every object of the scripting API has in common: it is a proxy, and lies about its names.

Source: the public "api-limitations" ledger of davinci-resolve-mcp (measured on Studio 19.1.3):
``hasattr`` is true for every name on every object, ``getattr`` of a name that is not there gives
None, and ``dir`` alone is right. Two proxies of one thing are not equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from kwaflux_testing.fake_resolve.model import World

__all__ = ["Remote"]


class Remote:
    """Stand for an object that lives in Resolve's process."""

    LATER: ClassVar[Mapping[str, tuple[int, ...]]] = MappingProxyType({})
    """Methods that came with a version; before it they are not there."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattribute__(self, name: str) -> object:
        if name in type(self).LATER and self._world.version < type(self).LATER[name]:
            return None
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return None

    def __dir__(self) -> list[str]:
        gone = {name for name, since in type(self).LATER.items() if self._world.version < since}
        names = {name for cls in type(self).__mro__ for name in vars(cls)} - {"LATER"}
        return sorted(name for name in names - gone if not name.startswith("_"))
