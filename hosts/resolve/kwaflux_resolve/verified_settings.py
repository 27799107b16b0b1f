"""Settings and properties of Resolve: read as text, written, and read back.

Resolve returns True for values that it does not accept, so every value is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from kwaflux_resolve.resolve_api import MediaPoolItem

__all__ = ["property_of", "refused", "rejected_settings", "text_of"]

_Value = TypeVar("_Value", str, object)


def rejected_settings(
    values: Mapping[str, _Value],
    *,
    write: Callable[[str, _Value], object],
    read: Callable[[str], object],
) -> str:
    """Write all values, then read them; return the name of one that differs, or an empty string.

    Numbers are equal however they are written.
    """
    for name, value in values.items():
        write(name, value)
    return next((name for name in values if not _is_same(read(name), values[name])), "")


def refused(
    wanted: Mapping[str, Sequence[str]],
    *,
    write: Callable[[str, str], object],
    read: Callable[[str], object],
) -> list[str]:
    """Set each property to the first of its allowed values, unless it has one of them already.

    A property that is missing or empty is left alone.

    Returns:
        The names of the properties that did not change.
    """
    found = []
    for name, values in wanted.items():
        if text_of(read(name)) not in ("", *values):
            write(name, values[0])
            if text_of(read(name)) not in values:
                found.append(name)
    return found


def property_of(clip: MediaPoolItem | None, name: str) -> str:
    """Return a clip's property as text; empty where there is no clip or no such property."""
    return "" if clip is None else text_of(clip.GetClipProperty(name))


def text_of(value: object) -> str:
    """Return a property or setting as text; None is empty."""
    return "" if value is None else str(value).strip()


def _is_same(left: object, right: object) -> bool:
    one, other = text_of(left), text_of(right)
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False
