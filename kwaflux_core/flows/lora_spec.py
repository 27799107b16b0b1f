"""The text form of a list of LoRAs with weights: ``show:0.8+night:0.3``.

The grammar, in EBNF; spaces may stand between any two symbols::

    loras  = [ lora , { "+" , lora } ] ;
    lora   = name , [ ":" , weight ] ;
    name   = ( letter | digit | "_" ) , { letter | digit | "_" | "-" } ;
    weight = digits , [ "." , [ digits ] ] | "." , digits ;

A weight that is left out is 1; one of 0 stands for no LoRA at all. Above 1 a LoRA goes beyond what
it was trained for; above 2 it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kwaflux_core.errors import Field, ParamError
from kwaflux_core.flows.flow_error import flow_error
from kwaflux_core.suggestions import shortened

__all__ = [
    "LORAS_MAX",
    "LORA_NAME",
    "WEIGHT_MAX",
    "LoraUse",
    "lora_error",
    "parse_loras",
]

LORAS_MAX = 8
"""LoRAs that one step of a flow may stack."""
WEIGHT_MAX = 2.0

LORA_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_WEIGHT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")
_EXAMPLE = 'a stack reads like "show:0.8+night:0.3"'


@dataclass(frozen=True, slots=True, order=True)
class LoraUse:
    """Name one LoRA, how much of it is added (above 0), and its column in the text."""

    name: str
    weight: float
    column: int = 1


def parse_loras(text: str) -> tuple[LoraUse, ...]:
    """Return the LoRAs that a text names, in alphabetical order, without those of weight 0.

    Raises:
        ParamError: It is no such text, names one twice, or too many; ``column`` (from 1, in the
            text) is the first character that is wrong.
    """
    found: dict[str, LoraUse] = {}
    at = _skip(text, 0)
    while at < len(text):
        name, start = _matched(LORA_NAME, text, at, wanted="the name of a LoRA"), at
        if name in found:
            raise lora_error(f"the LoRA {name!r} stands twice", "add the weights", text, start + 1)
        if len(found) == LORAS_MAX:
            hint = f"at most {LORAS_MAX} can be stacked"
            raise lora_error("the stack of LoRAs is too high", hint, text, start + 1)
        at = _skip(text, at + len(name))
        weight = 1.0
        if text[at : at + 1] == ":":
            at = _skip(text, at + 1)
            number = _matched(_WEIGHT, text, at, wanted="the weight of a LoRA")
            weight = float(number)
            if weight > WEIGHT_MAX:
                hint = f"weights go from 0 to {WEIGHT_MAX:g}"
                raise lora_error(
                    f"the weight {number} of {name!r} is too large", hint, text, at + 1
                )
            at = _skip(text, at + len(number))
        found[name] = LoraUse(name, weight, start + 1)
        if at < len(text):
            _matched(re.compile(r"\+"), text, at, wanted="'+' or the end")
            at = _skip(text, at + 1)
            if at == len(text):
                _matched(LORA_NAME, text, at, wanted="the name of a LoRA")
    return tuple(sorted(use for use in found.values() if use.weight))


def lora_error(message: str, hint: str, text: str, column: int, **fields: Field) -> ParamError:
    """Return an error that shows the text of the param with a caret under the column."""
    return flow_error(ParamError, message, text=text, column=column, hint=hint, **fields)


def _matched(pattern: re.Pattern[str], text: str, at: int, *, wanted: str) -> str:
    match = pattern.match(text, at)
    if match is None:
        stands = shortened(text[at]) + " stands" if at < len(text) else "the text ends"
        raise lora_error(f"{stands} where {wanted} is expected", _EXAMPLE, text, at + 1)
    return match[0]


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at
