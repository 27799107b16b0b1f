"""One number that was asked for, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Gate", "Outcome"]

Outcome: TypeAlias = Literal["pass", "miss", "not measured"]


@dataclass(frozen=True, slots=True)
class Gate:
    """Hold one number that was asked for.

    Args:
        effect: Whose it is.
        text: What was asked.
        found: What was measured, in words; why not, where it was not.
        outcome: Whether it is reached.
    """

    effect: str
    text: str
    found: str
    outcome: Outcome
