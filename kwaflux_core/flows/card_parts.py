"""The records a card is made of: clips, the working numbers, weights.

A whole card, which is made of them, is ``kwaflux_core.flows.card``'s.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, cast, get_args

from kwaflux_core.errors import ModelError
from kwaflux_core.flows.json_reader import JsonObject

__all__ = ["Clip", "Curve", "ParamRef", "Precision", "Weights", "Working", "broken_card"]

Curve: TypeAlias = Literal["signed_log1p", "extended_srgb", "none"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def broken_card(key: str, must: str) -> ModelError:
    """Return the error of a card whose key does not hold what it must."""
    return ModelError(f"{key} of the card {must}", hint="correct it in card.json", key=key)


@dataclass(frozen=True, slots=True)
class Clip:
    """Name one picture that the effect reads, as OpenFX does: ``Source``, ``Mask``."""

    name: str
    is_optional: bool = False

    @classmethod
    def from_json_object(cls, raw: object, *, at: str, what: str) -> Clip:
        """Return the clip that a card's JSON describes."""
        known = ("name", "optional")
        found = JsonObject(raw, at=at, what=what, known=known, error=ModelError)
        return cls(found.text("name"), is_optional=found.flag("optional", default=False))

    def to_json_object(self) -> dict[str, object]:
        """Return what ``from_json_object`` reads."""
        return {"name": self.name, **({"optional": True} if self.is_optional else {})}


@dataclass(frozen=True, slots=True)
class ParamRef:
    """Point at the param whose value is meant."""

    param: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """Say which numbers the network works on.

    Args:
        colorspace: The OCIO name of the linear space that the plate is converted to.
        curve: What is applied there: ``sign(x) * log1p(64 * |x|)``, scaled, or nothing.
        range: The least and the greatest value the network was trained on, in linear values of
            ``colorspace``.
        fade: Multiplier (at least 1) of the range beyond which the effect has fully faded out.

    Raises:
        ModelError: A value that is no such thing.
    """

    colorspace: str
    curve: Curve
    range: tuple[float, float]
    fade: float

    def __post_init__(self) -> None:
        if not self.colorspace.strip():
            raise broken_card("working.colorspace", "must be an OCIO name")
        if self.curve not in get_args(Curve):
            raise broken_card("working.curve", f"must be one of {', '.join(get_args(Curve))}")
        low, high = self.range
        if not -math.inf < low < high < math.inf:
            raise broken_card("working.range", "must be two finite numbers, the smaller first")
        if not 1 <= self.fade < math.inf:
            raise broken_card("working.fade", "must be a number of 1 or more")

    @classmethod
    def from_json_object(cls, raw: object, *, at: str, what: str) -> Working:
        """Return the working numbers that a card's JSON describes."""
        known = [entry.name for entry in fields(cls)]
        found = JsonObject(raw, at=at, what=what, known=known, error=ModelError)
        return cls(
            colorspace=found.text("colorspace"),
            curve=cast(Curve, found.text("curve")),
            range=found.pair("range"),
            fade=found.number("fade"),
        )

    def to_json_object(self) -> dict[str, object]:
        """Return what ``from_json_object`` reads."""
        return {
            "colorspace": self.colorspace,
            "curve": self.curve,
            "range": list(self.range),
            "fade": self.fade,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Name one file of weights and how to tell that it is the right one.

    Args:
        file: Its name, without a folder.
        sha256: 64 hexadecimal digits, lower case.
        licence: Under which the weights may be used.
        source: Who made them, from what.

    Raises:
        ModelError: A name with a folder in it, or no SHA-256.
    """

    file: str
    sha256: str
    licence: str
    source: str

    def __post_init__(self) -> None:
        if not _FILE.fullmatch(self.file):
            raise broken_card("weights.file", "must be a file's name without a folder")
        if not _SHA256.fullmatch(self.sha256):
            raise broken_card("weights.sha256", "must be 64 hexadecimal digits in lower case")

    @classmethod
    def from_json_object(cls, raw: object, *, at: str, what: str) -> Weights:
        """Return the weights that a card's JSON describes."""
        known = [entry.name for entry in fields(cls)]
        found = JsonObject(raw, at=at, what=what, known=known, error=ModelError)
        return cls(**{key: found.text(key) for key in known})

    def to_json_object(self) -> dict[str, object]:
        """Return what ``from_json_object`` reads."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}
