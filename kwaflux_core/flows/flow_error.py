"""Errors that show the text of a flow with a caret under the character that is wrong."""

from __future__ import annotations

from typing import TypeVar

from kwaflux_core.errors import Field, FlowError

__all__ = ["flow_error"]

_PICTURE_WIDTH = 72
_ErrorT = TypeVar("_ErrorT", bound=FlowError)


def flow_error(
    cls: type[_ErrorT], message: str, *, text: str, column: int, hint: str, **fields: Field
) -> _ErrorT:
    """Return an error that shows the flow with a caret under the column.

    Args:
        cls: The class of the error.
        message: What happened, to what.
        text: The flow as it was written.
        column: Where it goes wrong, from 1; one past the end is allowed.
        hint: What to do; the picture is set behind it.
        **fields: Further details.
    """
    return cls(message, hint=f"{hint}\n{_picture(text, column)}", column=column, **fields)


def _picture(text: str, column: int) -> str:
    """Return two lines: the text about the column, and a caret under the column."""
    first = max(0, min(column - 1 - _PICTURE_WIDTH // 2, len(text) - _PICTURE_WIDTH))
    shown = text[first : first + _PICTURE_WIDTH]
    # One character stays one column, and nothing from outside reaches a terminal as a command.
    line = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in shown)
    before = "... " if first > 0 else ""
    after = " ..." if first + _PICTURE_WIDTH < len(text) else ""
    return f"  {before}{line}{after}\n  {' ' * (len(before) + column - 1 - first)}^"
