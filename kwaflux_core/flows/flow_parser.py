"""Read the text of a flow into plain records, and draw where it goes wrong."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kwaflux_core.errors import FlowError
from kwaflux_core.flows.flow_error import flow_error
from kwaflux_core.flows.json_reader import Value
from kwaflux_core.flows.param import NAME_PATTERN, is_text_safe
from kwaflux_core.suggestions import shortened

__all__ = [
    "STEPS_MAX",
    "TEXT_MAX",
    "WORD_PATTERN",
    "ParsedStep",
    "check_value",
    "parse_steps",
]

TEXT_MAX = 10_000
"""Characters a flow may have, as it is written and as it is spelled out."""
STEPS_MAX = 32
"""Effects a flow may have."""

WORD_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INTEGER_DIGITS_MAX = 19
_INTEGER_LIMIT = 2**63
_EXAMPLE = 'a flow reads like denoise(strength=0.6) | other(mode=soft, name="a text")'

_Kind: TypeAlias = Literal["word", "value", "mark", "end"]


@dataclass(slots=True)
class ParsedStep:
    """Hold one step as it was read; columns count from 1."""

    effect: str
    column: int
    values: dict[str, Value] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: _Kind
    text: str
    column: int
    value: Value = ""


def parse_steps(text: str) -> list[ParsedStep]:
    """Return the steps of a flow's text, 1 to 32 of them.

    Raises:
        FlowError: The text is no flow; ``column`` is where it stops being one.
    """
    if len(text) > TEXT_MAX:
        raise flow_error(
            FlowError,
            f"the flow has {len(text)} characters",
            text=text,
            column=TEXT_MAX + 1,
            hint=f"at most {TEXT_MAX} are read",
        )
    return _Parser(text).steps()


def check_value(value: object) -> str:
    """Return what is wrong with a value of a param in a flow; empty when nothing is."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "" if abs(value) < _INTEGER_LIMIT else "is too large a number"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    if isinstance(value, str):
        return "" if is_text_safe(value) else "holds a character that cannot be printed"
    return "is no number, text, true or false"


class _Parser:
    """Read from left to right with one token in sight, so that errors come in their order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._token = self._scan()

    def steps(self) -> list[ParsedStep]:
        if self._is_at_end():
            raise self._error(
                "the flow is empty",
                "write one effect or more, as in denoise(strength=0.6)",
                column=1,
            )
        found: list[ParsedStep] = []
        while True:
            if len(found) == STEPS_MAX:
                raise self._error(f"the flow has more than {STEPS_MAX} effects", "split it in two")
            found.append(self._step())
            if self._is_at_end():
                return found
            self._expect("|", "'|' or the end")

    def _step(self) -> ParsedStep:
        step = ParsedStep(*self._name("the name of an effect"))
        if not self._is_mark("("):
            return step
        self._next()
        while not self._is_mark(")"):
            self._param(step)
            if not self._is_mark(")"):
                self._expect(",", "',' or ')'")
        self._next()
        return step

    def _param(self, step: ParsedStep) -> None:
        name, column = self._name("the name of a param")
        if name in step.values:
            raise self._error(
                f"param {shortened(name)} stands twice in {shortened(step.effect)}",
                "remove one of the two",
                column=column,
            )
        self._expect("=", f"'=' and the value of {shortened(name)}")
        if self._token.kind not in ("value", "word"):
            raise self._unexpected(f"the value of {shortened(name)}")
        step.values[name] = self._token.value
        step.columns[name] = column
        self._next()

    def _name(self, wanted: str) -> tuple[str, int]:
        token = self._token
        if token.kind != "word":
            raise self._unexpected(wanted)
        if not NAME_PATTERN.fullmatch(token.text):
            lower = token.text.lower().lstrip("_")
            raise self._error(
                f"{shortened(token.text)} is no name",
                f"names are lower case and start with a letter: {lower[:40]}",
            )
        self._next()
        return token.text, token.column

    def _is_at_end(self) -> bool:
        return self._token.kind == "end"

    def _is_mark(self, mark: str) -> bool:
        return self._token.kind == "mark" and self._token.text == mark

    def _expect(self, mark: str, wanted: str) -> None:
        if not self._is_mark(mark):
            raise self._unexpected(wanted)
        self._next()

    def _next(self) -> None:
        self._token = self._scan()

    def _scan(self) -> _Token:
        self._at = _end_of(_SPACE, self._text, self._at)
        start = self._at
        if start == len(self._text):
            return _Token("end", "", start + 1)
        first = self._text[start]
        if first in "|(),=":
            self._at += 1
            return _Token("mark", first, start + 1)
        if first == '"':
            return self._quoted(start)
        for kind, pattern in (("word", WORD_PATTERN), ("value", _NUMBER)):
            self._at = _end_of(pattern, self._text, start)
            text = self._text[start : self._at]
            if text:
                value = self._number(text, start) if kind == "value" else _word_value(text)
                return _Token("word" if kind == "word" else "value", text, start + 1, value)
        raise self._error(
            f"the character {shortened(first)} has no meaning here",
            _EXAMPLE,
            column=start + 1,
        )

    def _number(self, text: str, start: int) -> int | float:
        if not _INTEGER.fullmatch(text):
            number: int | float = float(text)
        elif len(text.lstrip("+-0")) <= _INTEGER_DIGITS_MAX:
            number = int(text)
        else:
            number = math.inf
        if check_value(number):
            raise self._error(
                f"the number {shortened(text)} is too large",
                "whole numbers have 64 bits, others reach 1.7e308",
                column=start + 1,
            )
        return number

    def _quoted(self, start: int) -> _Token:
        found: list[str] = []
        at = start + 1
        while at < len(self._text):
            character = self._text[at]
            if character == '"':
                self._at = at + 1
                text = "".join(found)
                return _Token("value", self._text[start : at + 1], start + 1, text)
            if character == "\\":
                character = self._text[at + 1 : at + 2]
                if character not in ('"', "\\"):
                    hint = 'write \\" for a quote and \\\\ for a backslash'
                    raise self._error(
                        "a backslash stands before another character", hint, column=at + 1
                    )
                at += 1
            elif not is_text_safe(character):
                hint = "leave out line breaks, tabs and other control characters"
                raise self._error("a character of the text cannot be printed", hint, column=at + 1)
            found.append(character)
            at += 1
        raise self._error("a quote is not closed", 'end the text with "', column=start + 1)

    def _unexpected(self, wanted: str) -> FlowError:
        token = self._token
        found = "the flow ends" if token.kind == "end" else f"{shortened(token.text)} stands"
        return self._error(f"{found} where {wanted} is expected", _EXAMPLE)

    def _error(self, message: str, hint: str, *, column: int = 0) -> FlowError:
        at = column or self._token.column
        return flow_error(FlowError, message, text=self._text, column=at, hint=hint)


def _word_value(text: str) -> str | bool:
    return {"true": True, "false": False}.get(text, text)


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start
