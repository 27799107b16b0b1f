"""One setting: what it may be, and its value read from a text, a file or a flag."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from typing import Literal, TypeAlias, TypeVar, cast

from kwaflux_core.errors import SettingsError
from kwaflux_core.suggestions import shortened, suggestion

__all__ = ["Kind", "Rule", "Setting", "rule_of", "setting", "spelled"]

Kind: TypeAlias = Literal["text", "whole", "seconds", "bytes", "choice", "names", "paths"]
Setting: TypeAlias = "str | int | float | tuple[str, ...]"

_T = TypeVar("_T")
_UNITS = {
    "": 1,
    "b": 1,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}
_NUMBER_MAX = 2**62
"""No number is greater: libzmq and the file system count in signed 64 bits."""

_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)\s*([a-z]*)")
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Say what a setting may be.

    Args:
        kind: How it is written.
        help: What it does; a sentence without a final stop.
        low: The least number.
        high: The greatest number.
        choices: What may be chosen.
    """

    kind: Kind
    help: str
    low: float = 0
    high: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def accepted(self) -> str:
        """What may be written, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind in ("text", "names", "paths"):
            return {
                "text": "a text",
                "names": "names with commas between them",
                "paths": f"absolute paths with {os.pathsep!r} between them",
            }[self.kind]
        nouns = {"whole": "a whole number", "seconds": "seconds", "bytes": "bytes, as in 512MiB,"}
        low = spelled(self.low, kind=self.kind)
        high = f" to {spelled(self.high, kind=self.kind)}" if self.high < math.inf else " up"
        return f"{nouns[self.kind]} from {low}{high}"

    def read(self, raw: object, *, name: str, where: str) -> Setting:
        """Return the value that was meant.

        Args:
            raw: A text (of the environment), or what a TOML file or the command line holds.
            name: The setting's name.
            where: Where it was set, for messages.

        Raises:
            SettingsError: It is no such value.
        """
        value = _READERS[self.kind](raw)
        if isinstance(value, (int, float)) and not self.low <= value <= min(self.high, _NUMBER_MAX):
            value = None
        if self.kind == "choice" and value not in self.choices:
            value = None
        if value is None:
            shown = str(raw).lower() if isinstance(raw, bool) else shortened(raw)
            is_misspelt = self.kind == "choice" and isinstance(raw, str)
            raise SettingsError(
                f"{where} is {shown}, not {self.accepted}",
                hint=suggestion(cast(str, raw), self.choices, kind="the choices")
                if is_misspelt
                else f"give {self.accepted}",
                setting=name,
            )
        return value


def setting(default: _T, rule: Rule) -> _T:
    """Return the dataclass field of a setting."""
    return field(default=default, metadata={"rule": rule})


def rule_of(entry: Field[object]) -> Rule:
    """Return the rule of a setting's dataclass field."""
    return cast(Rule, cast("Mapping[str, object]", entry.metadata)["rule"])


def spelled(value: object, *, kind: Kind) -> str:
    """Return a value as a page of documentation shows it."""
    if kind == "bytes" and isinstance(value, (int, float)) and value:
        for unit in ("TiB", "GiB", "MiB", "KiB"):
            if value % _UNITS[unit.lower()] == 0:
                return f"{int(value) // _UNITS[unit.lower()]}{unit}"
    if isinstance(value, tuple):
        return (os.pathsep if kind == "paths" else ",").join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read_text(raw: object) -> str | None:
    return raw if isinstance(raw, str) and raw.isprintable() else None


def _read_whole(raw: object) -> int | None:
    if isinstance(raw, str) and _WHOLE.fullmatch(raw.strip()):
        return int(raw)
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else None


def _read_seconds(raw: object) -> float | None:
    if isinstance(raw, str):
        try:
            raw = float(raw)
        except ValueError:
            return None
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    return float(raw) if abs(raw) < 1e15 else None  # false for NaN and infinity too


def _read_bytes(raw: object) -> int | None:
    if not isinstance(raw, str):
        return _read_whole(raw)
    match = _SIZE.fullmatch(raw.strip().lower())
    if match is None or match[2] not in _UNITS:
        return None
    number, unit = match[1], _UNITS[match[2]]
    return int(float(number) * unit) if "." in number else int(number) * unit


def _read_list(raw: object, *, separator: str) -> tuple[str, ...] | None:
    items = raw.split(separator) if isinstance(raw, str) else raw
    if not isinstance(items, (list, tuple)):
        return None
    texts = tuple(item.strip() for item in items if isinstance(item, str) and item.strip())
    is_clean = len(texts) == len(items) and all(text.isprintable() for text in texts)
    return texts if is_clean else None


def _read_names(raw: object) -> tuple[str, ...] | None:
    return _read_list(raw, separator=",")


def _read_paths(raw: object) -> tuple[str, ...] | None:
    found = _read_list(raw, separator=os.pathsep)
    return found if found is None or all(map(os.path.isabs, found)) else None


_READERS: Mapping[Kind, Callable[[object], Setting | None]] = {
    "text": _read_text,
    "whole": _read_whole,
    "seconds": _read_seconds,
    "bytes": _read_bytes,
    "choice": _read_text,
    "names": _read_names,
    "paths": _read_paths,
}
