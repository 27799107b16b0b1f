r"""Flows: effects in order, each with its params, as text that a person can type.

Owns the grammar, the canonical spelling, the JSON form, and the binding of a flow to the cards of
the installed effects and to presets. Must not know pixels, networks or where cards come from;
reads without numpy and torch.

The grammar, in EBNF; space, tab and line break may stand between any two symbols::

    flow   = step , { "|" , step } ;
    step   = name , [ "(" , [ param , { "," , param } , [ "," ] ] , ")" ] ;
    param  = name , "=" , value ;
    value  = number | "true" | "false" | word | quoted ;
    name   = lower , { lower | digit | "_" } ;
    word   = ( letter | "_" ) , { letter | digit | "_" } ;
    number = [ "+" | "-" ] , ( digits , [ "." , [ digits ] ] | "." , digits ) ,
             [ ( "e" | "E" ) , [ "+" | "-" ] , digits ] ;
    quoted = '"' , { printable - ( '"' | "\" ) | '\"' | "\\" } , '"' ;
    digits = digit , { digit } ;
    lower  = "a" | ... | "z" ;    letter = lower | "A" | ... | "Z" ;    digit = "0" | ... | "9" ;

A number without a point and an exponent is a whole one. A word is a text without its quotes (a
choice). ``printable`` is any character but control characters and lone surrogates. A flow has at
most 32 steps and 10,000 characters.

    denoise(strength=0.6) | upscale(scale=2, denoise=0.2) | regrain

In JSON the same is spelled out::

    {"steps": [{"effect": "denoise", "values": {"strength": 0.6}}, ...]}
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from kwaflux_core.errors import FlowError, ParamError, UnknownEffect
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow_error import flow_error
from kwaflux_core.flows.flow_parser import (
    STEPS_MAX,
    TEXT_MAX,
    WORD_PATTERN,
    check_value,
    parse_steps,
)
from kwaflux_core.flows.json_reader import JsonObject, Value, parse_json
from kwaflux_core.flows.param import NAME_PATTERN
from kwaflux_core.suggestions import nearest, shortened, suggestion

__all__ = ["BoundFlow", "BoundStep", "Flow", "Step", "Value"]

_JSON_TEXT_MAX = 8 * TEXT_MAX
_NO_NAMES: Mapping[str, Flow] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Step:
    """Name one effect and the params that were set.

    Args:
        effect: The effect's id.
        values: What was set, in the order it was written; the rest has its default.
        column: Where the effect's name stands in the text the step was read from, from 1.
        columns: Where each param's name stands there.

    Raises:
        FlowError: A name or a value that cannot be written in a flow.
    """

    effect: str
    values: Mapping[str, Value] = field(default_factory=dict, hash=False)
    column: int = field(default=1, compare=False, repr=False, kw_only=True)
    columns: Mapping[str, int] = field(
        default_factory=dict, compare=False, repr=False, kw_only=True
    )

    def __post_init__(self) -> None:
        for name in (self.effect, *self.values):
            if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
                raise FlowError(
                    f"{shortened(name)} is no name",
                    hint="names are lower case letters, digits and underscores",
                )
        for name, value in self.values.items():
            wrong = check_value(value)
            if wrong:
                raise FlowError(
                    f"{shortened(value)}, the value of param {shortened(name)}, {wrong}",
                    hint="give a finite number, a printable text, true or false",
                    param=name,
                )
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def to_text(self) -> str:
        """Return the step in its canonical spelling."""
        return _spelled(self.effect, self.values)


@dataclass(frozen=True, slots=True)
class Flow:
    """Hold effects in order.

    Args:
        steps: 1 to 32 of them.
        source: The text it was read from; errors point into it. Empty: the canonical one.

    Raises:
        FlowError: No step, too many, or too long when it is spelled out.
    """

    steps: tuple[Step, ...]
    source: str = field(default="", compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if not 1 <= len(self.steps) <= STEPS_MAX:
            raise FlowError(
                f"the flow has {len(self.steps)} effects", hint=f"give 1 to {STEPS_MAX} of them"
            )
        text = self.to_text()
        if len(text) > TEXT_MAX:
            raise flow_error(
                FlowError,
                f"the flow has {len(text)} characters when it is spelled out",
                text=text,
                column=TEXT_MAX + 1,
                hint=f"at most {TEXT_MAX} are read",
            )

    @classmethod
    def parse(cls, text: str) -> Flow:
        """Return the flow that a text spells.

        Raises:
            FlowError: It spells none; ``column`` is the first character that is wrong, and the
                error's text shows it.
        """
        steps = tuple(
            Step(parsed.effect, parsed.values, column=parsed.column, columns=parsed.columns)
            for parsed in parse_steps(text)
        )
        return cls(steps, source=text)

    @classmethod
    def from_json(cls, text_or_object: str | Mapping[str, object]) -> Flow:
        """Return the flow that JSON spells out.

        Args:
            text_or_object: The JSON text, or the object that it holds.

        Raises:
            FlowError: It spells out none.
        """
        what = "the flow"
        raw: object = text_or_object
        if isinstance(text_or_object, str):
            if len(text_or_object) > _JSON_TEXT_MAX:
                raise FlowError(
                    f"the flow's JSON has {len(text_or_object)} characters",
                    hint=f"at most {_JSON_TEXT_MAX} are read",
                )
            raw = parse_json(text_or_object, what=what, error=FlowError)
        found = JsonObject(raw, what=what, known=("steps",), error=FlowError)
        steps = []
        for at, item in found.items("steps"):
            step = JsonObject(item, at=at, what=what, known=("effect", "values"), error=FlowError)
            steps.append(Step(step.text("effect"), step.values("values", is_optional=True)))
        return cls(tuple(steps))

    def to_text(self) -> str:
        """Return the canonical spelling: ``parse`` of it is this flow, ``to_text`` of that it.

        What was left out is left out; numbers have their shortest form that is exact.
        """
        return _joined(step.to_text() for step in self.steps)

    def to_json(self) -> str:
        """Return the JSON text that spells this flow out."""
        steps = [{"effect": step.effect, "values": dict(step.values)} for step in self.steps]
        return json.dumps({"steps": steps})

    def bind(
        self, cards: Mapping[str, Card], *, named: Mapping[str, Flow] = _NO_NAMES
    ) -> BoundFlow:
        """Return the flow with its cards, every param checked and present.

        Args:
            cards: The installed effects under their ids.
            named: The flows of presets under their ids; a step of such a name is replaced by the
                steps of its flow.

        Raises:
            FlowError: Too many effects, once the presets are spelled out.
            UnknownEffect: An effect that is not among them.
            ParamError: No such param, or a value it does not accept, or a preset that was given
                any. Both point at the column.
        """
        flow = self if self.source else Flow.parse(self.to_text())
        text, names = flow.source, (*cards, *named)
        steps: list[Step] = []
        for step in flow.steps:
            inner = named.get(step.effect)
            steps += [step] if inner is None else _spelled_out(step, inner, text=text)
        spelled_out = Flow(tuple(steps), source=text)
        return BoundFlow(
            tuple(_bound(step, cards, names=names, text=text) for step in spelled_out.steps)
        )


@dataclass(frozen=True, slots=True)
class BoundStep:
    """Hold an effect's card and a checked value for each of its params, in the card's order."""

    card: Card
    values: Mapping[str, Value]

    @property
    def is_identity(self) -> bool:
        """Whether the effect touches no pixel with these values."""
        return self.card.is_identity(self.values)

    @property
    def scale(self) -> int:
        """Output size / input size."""
        return self.card.scale_of(self.values)


@dataclass(frozen=True, slots=True)
class BoundFlow:
    """Hold checked effects in order; none are left when all were identities."""

    steps: tuple[BoundStep, ...]

    @property
    def scale(self) -> int:
        """Output size / input size of the whole flow: the product."""
        return math.prod(step.scale for step in self.steps)

    @property
    def frames_before(self) -> int:
        """Earlier frames the flow needs: the sum, as each effect reads the one before it.

        An effect that touches no pixel reads none.
        """
        return sum(step.card.frames_before for step in self.steps if not step.is_identity)

    @property
    def frames_after(self) -> int:
        """Later frames the flow needs: the sum."""
        return sum(step.card.frames_after for step in self.steps if not step.is_identity)

    @property
    def is_identity(self) -> bool:
        """Whether the flow touches no pixel."""
        return all(step.is_identity for step in self.steps)

    def without_identities(self) -> BoundFlow:
        """Return the flow without the effects that touch no pixel."""
        return BoundFlow(tuple(step for step in self.steps if not step.is_identity))

    def to_text(self) -> str:
        """Return the spelling with every value, defaults too; equal flows have equal texts."""
        return _joined(_spelled(step.card.id, step.values) for step in self.steps)


def _spelled_out(step: Step, flow: Flow, *, text: str) -> list[Step]:
    """Return the steps that a preset's name stands for; errors point at the name."""
    if step.values:
        name = next(iter(step.values))
        raise flow_error(
            ParamError,
            f"the preset {step.effect!r} takes no params",
            text=text,
            column=step.columns[name],
            hint=f"write its flow out and change that: {flow.to_text()}",
            effect=step.effect,
            param=name[:60],
        )
    return [
        Step(
            inner.effect,
            inner.values,
            column=step.column,
            columns=dict.fromkeys(inner.values, step.column),
        )
        for inner in flow.steps
    ]


def _bound(step: Step, cards: Mapping[str, Card], *, names: Iterable[str], text: str) -> BoundStep:
    card = cards.get(step.effect)
    if card is None:
        raise flow_error(
            UnknownEffect,
            f"there is no effect {shortened(step.effect)}",
            text=text,
            column=step.column,
            hint=suggestion(step.effect, names, kind="the effects"),
            effect=step.effect[:60],
            nearest=nearest(step.effect, names),
        )
    given = {name: _checked(step, name, card=card, text=text) for name in step.values}
    values = {param.name: given.get(param.name, param.default) for param in card.params}
    return BoundStep(card, MappingProxyType(values))


def _checked(step: Step, name: str, *, card: Card, text: str) -> Value:
    try:
        return card.param(name).check(step.values[name])
    except ParamError as error:
        column, inside = step.columns[name], error.fields.get("column")
        if isinstance(inside, int):
            column = _column_of_value(text, column) + inside - 1
        known = {key: value for key, value in error.fields.items() if key != "column"}
        raise flow_error(
            ParamError,
            error.message,
            text=text,
            column=column,
            hint=error.hint.split("\n")[0],
            **{**known, "effect": card.id, "param": name[:60]},
        ) from error


def _column_of_value(text: str, column: int) -> int:
    """Return the column of the first character of a param's text, from the param's own."""
    after = re.compile(r"[a-z0-9_]+\s*=\s*\"?").match(text, column - 1)
    return column if after is None else after.end() + 1


def _joined(steps: Iterable[str]) -> str:
    return " | ".join(steps)


def _spelled(effect: str, values: Mapping[str, Value]) -> str:
    if not values:
        return effect
    inside = ", ".join(f"{name}={_spelled_value(value)}" for name, value in values.items())
    return f"{effect}({inside})"


def _spelled_value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if WORD_PATTERN.fullmatch(value) and value not in ("true", "false"):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
