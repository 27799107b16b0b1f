"""Controls and entries of a panel, and their JSON in a host's script.

``controls_from_cards`` makes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import cast

from kwaflux_core.errors import HostError, KwafluxError, ParamError
from kwaflux_core.flows.json_reader import JsonObject, Value
from kwaflux_core.flows.param import Param, ParamType
from kwaflux_core.suggestions import suggestion

__all__ = ["Control", "EffectEntry", "decode_entry", "encode_entry", "lenient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Describe one knob, in OpenFX's words; the fields are those of an effect's ``Param``.

    Args:
        name: As it is written in a flow.
        kind: Which knob it is: double, int, boolean, choice, string or loras (a text).
        label: What stands beside it.
        help: Its tooltip.
        default: Its value at first.
        minimum: The least value that is accepted; None where it is no number.
        maximum: The greatest.
        display_minimum: Where its slider begins.
        display_maximum: Where its slider ends.
        choices: What may be chosen; of a choice only.
        page: The tab it stands on; empty for the first.
    """

    name: str
    kind: ParamType
    label: str
    help: str
    default: Value
    minimum: float | None = None
    maximum: float | None = None
    display_minimum: float | None = None
    display_maximum: float | None = None
    choices: tuple[str, ...] = ()
    page: str = ""

    def checked(self, value: object) -> Value:
        """Return a knob's value as the effect takes it.

        Hosts hand out 2.0 for a whole number and 1 for a tick: these are taken as meant.

        Raises:
            ParamError: Out of range, no such choice, or of another kind.
        """
        return self.param().check(_as_meant(value, kind=self.kind))

    def param(self) -> Param:
        """Return the effect's param that this was made of.

        Raises:
            ModelError: The control contradicts itself.
        """
        return Param(
            name=self.name,
            type=self.kind,
            label=self.label,
            hint=self.help,
            default=self.default,
            page=self.page,
            range=_pair(self.minimum, self.maximum),
            display_range=_pair(self.display_minimum, self.display_maximum),
            choices=self.choices,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEntry:
    """Describe one entry of the picker: an effect, a flow that has a name, or a flow as text.

    Args:
        id: What a script stores.
        label: What the picker shows.
        help: What it does, and what it is and is not for.
        group: The menu it stands in, with slashes.
        is_preset: Whether it is a flow that has a name and no controls.
        flow: The flow that the name stands for; empty of an effect.
        frames_before: Earlier frames it reads.
        frames_after: Later frames it reads.
        controls: Its knobs, in order.
    """

    id: str
    label: str
    help: str
    group: str = ""
    is_preset: bool = False
    flow: str = ""
    frames_before: int = 0
    frames_after: int = 0
    controls: tuple[Control, ...] = ()

    def checked(self, values: Mapping[str, object]) -> dict[str, Value]:
        """Return the value of each control, checked; whatever else there is is left out.

        Raises:
            ParamError: Out of range, no such choice, or of another kind.
        """
        return {one.name: one.checked(values.get(one.name, one.default)) for one in self.controls}

    def control(self, name: str) -> Control:
        """Return the control of that name.

        Raises:
            ParamError: There is none; the hint names the nearest.
        """
        for control in self.controls:
            if control.name == name:
                return control
        raise ParamError(
            f"{self.id!r} has no param {name[:60]!r}",
            hint=suggestion(name, [control.name for control in self.controls], kind="the params"),
            effect=self.id,
            param=name[:60],
        )


def _as_meant(value: object, *, kind: ParamType) -> object:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "int" and isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    if kind == "boolean" and is_number and value in (0, 1):
        return bool(value)
    return value


def _pair(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def encode_entry(choice: EffectEntry) -> dict[str, object]:
    """Return what ``decode_entry`` reads; what is a default is left out."""
    raw = _without_defaults(choice)
    raw["controls"] = [_without_defaults(control) for control in choice.controls]
    return raw


def _without_defaults(entry: EffectEntry | Control) -> dict[str, object]:
    held = {field.name: (getattr(entry, field.name), field.default) for field in fields(entry)}
    return {name: value for name, (value, default) in held.items() if value != default}


def decode_entry(raw: object, *, at: str, what: str) -> EffectEntry:
    """Return the entry that a stored panel describes.

    Raises:
        HostError: A key is missing or holds what no control can have; the message says where.
    """
    found = lenient(raw, at=at, what=what)
    controls = found.items("controls", is_optional=True)
    return EffectEntry(
        id=found.text("id"),
        label=found.text("label"),
        help=found.text("help"),
        group=found.text("group") if found.has("group") else "",
        is_preset=found.flag("is_preset", default=False),
        flow=found.text("flow") if found.has("flow") else "",
        frames_before=found.integer("frames_before", low=0, default=0),
        frames_after=found.integer("frames_after", low=0, default=0),
        controls=tuple(_read_control(item, at=at, what=what) for at, item in controls),
    )


def _read_control(raw: object, *, at: str, what: str) -> Control:
    found = lenient(raw, at=at, what=what)
    numbers = ("minimum", "maximum", "display_minimum", "display_maximum")
    low, high, shown_low, shown_high = (
        found.number(name) if found.has(name) else None for name in numbers
    )
    control = Control(
        name=found.text("name"),
        kind=cast("ParamType", found.text("kind")),
        label=found.text("label"),
        help=found.text("help"),
        default=found.value("default"),
        minimum=low,
        maximum=high,
        display_minimum=shown_low,
        display_maximum=shown_high,
        choices=found.texts("choices", is_optional=True),
        page=found.text("page") if found.has("page") else "",
    )
    try:
        control.param()
    except KwafluxError as error:
        raise HostError(
            f"{at} of {what} cannot be used: {error}", hint="reload the effects"
        ) from error
    return control


def lenient(raw: object, *, at: str, what: str) -> JsonObject:
    """Return a JSON object whose unknown keys are passed over: a newer version wrote them."""
    known = [key for key in raw if isinstance(key, str)] if isinstance(raw, Mapping) else []
    return JsonObject(raw, at=at, what=what, known=known, error=HostError)
