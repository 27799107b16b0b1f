"""One param of an effect: its name, type and range, and the check of a value."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Literal, NoReturn, TypeAlias, cast, get_args

from kwaflux_core.errors import Field, ModelError, ParamError
from kwaflux_core.flows.json_reader import JsonObject, Value
from kwaflux_core.flows.lora_spec import parse_loras
from kwaflux_core.suggestions import shortened, suggestion

__all__ = ["NAME_PATTERN", "Param", "ParamType", "is_text_safe"]

ParamType: TypeAlias = Literal["double", "int", "boolean", "choice", "string", "loras"]

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
"""What effects and params may be called; a flow is written with these names."""

_INT_LIMIT = 2**63
"""Whole numbers are smaller than this on both sides of zero: msgpack carries 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """Describe one thing that a person can set.

    Args:
        name: As it is written in a flow.
        type: One of OpenFX's kinds of param, or ``loras``: a text that names LoRAs and their
            weights, as ``kwaflux_core.flows.lora_spec`` reads it.
        label: What a host shows; no hyphen, which Nuke reads as something else.
        hint: The tooltip: what the value means, in its unit.
        page: The tab of the host's dialog; empty for the first.
        default: The value when it is left out.
        range: The least and the greatest value that are accepted; numbers have one, others none.
        display_range: The ends of the slider; the range itself when it is left out.
        choices: What may be chosen; of a choice only.

    Raises:
        ModelError: The description contradicts itself.
    """

    name: str
    type: ParamType
    label: str
    hint: str
    default: Value
    page: str = ""
    range: tuple[float, float] | None = None
    display_range: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise self._broken("name", "must be lower case letters, digits and underscores")
        if self.type not in get_args(ParamType):
            raise self._broken("type", f"must be one of {', '.join(get_args(ParamType))}")
        if not self.label.strip() or "-" in self.label or "-" in self.page:
            raise self._broken("label", "must be there, without a hyphen (Nuke misreads it)")
        self._check_ranges()
        if (self.type == "choice") != bool(self.choices):
            raise self._broken("choices", "must be given for a choice, and for nothing else")
        if len(set(self.choices)) != len(self.choices) or not all(map(_is_choice, self.choices)):
            raise self._broken("choices", "must be different printable texts")
        try:
            object.__setattr__(self, "default", self.check(self.default))
        except ParamError as error:
            raise self._broken("default", f"must be a value of the param: {error}") from error

    @classmethod
    def from_json_object(cls, raw: object, *, at: str, what: str) -> Param:
        """Return the param that a card's JSON describes.

        Raises:
            ModelError: A key is missing, unknown or of the wrong type.
        """
        known = [entry.name for entry in fields(cls)]
        found = JsonObject(raw, at=at, what=what, known=known, error=ModelError)
        return cls(
            name=found.text("name"),
            type=cast(ParamType, found.text("type")),
            label=found.text("label"),
            hint=found.text("hint"),
            default=found.value("default"),
            page=found.text("page") if found.has("page") else "",
            range=found.pair("range") if found.has("range") else None,
            display_range=found.pair("display_range") if found.has("display_range") else None,
            choices=found.texts("choices", is_optional=True),
        )

    def to_json_object(self) -> dict[str, object]:
        """Return what ``from_json_object`` reads; keys that say nothing are left out."""
        raw: dict[str, object] = {
            "name": self.name,
            "type": self.type,
            "label": self.label,
            "hint": self.hint,
        }
        if self.page:
            raw["page"] = self.page
        raw["default"] = self.default
        if self.range is not None:
            raw["range"] = list(self.range)
        if self.display_range is not None and self.display_range != self.range:
            raw["display_range"] = list(self.display_range)
        if self.choices:
            raw["choices"] = list(self.choices)
        return raw

    def check(self, value: object) -> Value:
        """Return the value as the param holds it.

        A whole number is taken for a double (and becomes a float); a choice of digits may be
        given as a number. Nothing else is converted, a boolean is no number, and minus zero
        becomes zero, so that equal settings are spelled alike.

        Raises:
            ParamError: Another type, not finite, out of range, no such choice, or no text that
                names LoRAs; ``column`` is then the first character that is wrong.
        """
        if self.type == "boolean":
            return value if isinstance(value, bool) else self._refuse(value, "true or false")
        if self.type in ("string", "loras"):
            return self._check_text(value)
        if self.type == "choice":
            return self._check_choice(value)
        return self._check_number(value)

    def _check_text(self, value: object) -> str:
        if not isinstance(value, str) or not is_text_safe(value):
            self._refuse(value, "a printable text")
        if self.type == "loras":
            parse_loras(value)
        return value

    def _check_number(self, value: object) -> float:
        low, high = cast("tuple[float, float]", self.range)
        kinds = (int,) if self.type == "int" else (int, float)
        noun = "a whole number" if self.type == "int" else "a number"
        wanted = f"{noun} from {low:g} to {high:g}"
        # The comparison holds for whole numbers of any length, and is false for NaN.
        if not isinstance(value, kinds) or isinstance(value, bool) or not low <= value <= high:
            return self._refuse(value, wanted, range=f"{low:g}..{high:g}")
        return value if self.type == "int" else float(value) + 0.0

    def _check_choice(self, value: object) -> str:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        text = str(value) if is_whole and abs(cast(int, value)) < _INT_LIMIT else value
        if isinstance(text, str) and text in self.choices:
            return text
        wanted = f"one of {', '.join(self.choices)}"
        hint = suggestion(text, self.choices, kind="the choices") if isinstance(text, str) else ""
        return self._refuse(value, wanted, hint=hint, range=" | ".join(self.choices))

    def _check_ranges(self) -> None:
        if (self.type in ("double", "int")) != (self.range is not None):
            raise self._broken("range", "must be given for a number, and for nothing else")
        if self.range is None:
            if self.display_range is not None:
                raise self._broken("display_range", "belongs to a number")
            return
        if self.display_range is None:
            object.__setattr__(self, "display_range", self.range)
        for key, pair in (("range", self.range), ("display_range", self.display_range)):
            low, high = cast("tuple[float, float]", pair)
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise self._broken(key, "must be two finite numbers, the smaller first")
            if self.type == "int" and not (isinstance(low, int) and isinstance(high, int)):
                raise self._broken(key, "must be two whole numbers")
            if low < self.range[0] or high > self.range[1]:
                raise self._broken(key, "must lie inside the range")

    def _broken(self, key: str, must: str) -> ModelError:
        return ModelError(
            f"the {key} of param {shortened(self.name)} {must}",
            hint="correct it in card.json",
            key=key,
            param=self.name,
        )

    def _refuse(self, value: object, wanted: str, *, hint: str = "", **more: Field) -> NoReturn:
        shown = str(value).lower() if isinstance(value, bool) else shortened(value)
        raise ParamError(
            f"param {self.name!r} is {shown}, not {wanted}",
            hint=hint or f"leave it out for its default, {shortened(self.default)}",
            param=self.name,
            value=shown,
            **more,
        )


def is_text_safe(text: str) -> bool:
    """Tell whether a text can be written in a flow, shown on one line and sent as UTF-8.

    Control characters and lone surrogates (bytes of a command line that are no UTF-8) are not.
    """
    return not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in text)


def _is_choice(text: str) -> bool:
    return bool(text) and is_text_safe(text)
