"""Hints for an unknown name: the most similar known one, or the list of them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["nearest", "shortened", "suggestion"]

_COMPARED_CHARACTERS = 64
_LISTED_NAMES = 12


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name most similar to ``name``; empty if none is similar."""
    from difflib import get_close_matches  # imported here, since only errors need it

    # Comparing is quadratic in the length, and a name from the wire may be very long.
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = get_close_matches(name[:_COMPARED_CHARACTERS].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else ""


def suggestion(name: str, known: Iterable[str], *, kind: str) -> str:
    """Return a hint: the nearest known name, or the list of them.

    Args:
        name: The unknown name.
        known: The known names.
        kind: The plural noun for the list (``"the params"``).
    """
    names = list(known)
    close = nearest(name, names)
    if close:
        return f"did you mean {close!r}?"
    if not names:
        return f"there are no {kind.removeprefix('the ')}"
    listed = ", ".join(names[:_LISTED_NAMES])
    return f"{kind} are: {listed}{', ...' if len(names) > _LISTED_NAMES else ''}"


def shortened(value: object, *, limit: int = 60) -> str:
    """Return ``repr(value)`` for a message, cut to ``limit`` characters."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print an int of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= limit else text[: limit - 3] + "..."
