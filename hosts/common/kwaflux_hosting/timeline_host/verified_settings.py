"""Write a host's settings, read them back, and report those it did not take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

__all__ = ["refused", "rejected_settings", "text_of"]

_Value = TypeVar("_Value", str, object)


def rejected_settings(
    values: Mapping[str, _Value],
    *,
    write: Callable[[str, _Value], object],
    read: Callable[[str], object],
) -> str:
    """Write values, all of them first, and return the name of one that does not read so; or empty.

    Numbers are equal however they are spelled.
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
    """Set each property to the first of what it may be, unless it is one of these already.

    What is not there, or empty, is left alone.

    Returns:
        The names of those that did not change.
    """
    found = []
    for name, values in wanted.items():
        if text_of(read(name)) not in ("", *values):
            write(name, values[0])
            if text_of(read(name)) not in values:
                found.append(name)
    return found


def text_of(value: object) -> str:
    """Return a property or setting as text; what is not there is empty."""
    return "" if value is None else str(value).strip()


def _is_same(left: object, right: object) -> bool:
    one, other = text_of(left), text_of(right)
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False
