"""The card of an effect: its description, in OpenFX's terms.

A card is a JSON file, ``card.json``, whose keys are the fields of ``Card``. Unknown keys are
refused, so that a misspelt one is found by whoever wrote it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import cast, get_args

from kwaflux_core.errors import ModelError, ParamError
from kwaflux_core.flows.card_parts import (
    Clip,
    Curve,
    ParamRef,
    Precision,
    Weights,
    Working,
    broken_card,
)
from kwaflux_core.flows.json_reader import JsonObject, Value, parse_json, plain_values
from kwaflux_core.flows.param import NAME_PATTERN, Param, ParamType
from kwaflux_core.suggestions import suggestion

__all__ = [
    "Card",
    "Clip",
    "Curve",
    "Param",
    "ParamRef",
    "ParamType",
    "Precision",
    "Value",
    "Weights",
    "Working",
]

_VERSION = re.compile(r"[0-9]+(\.[0-9]+){1,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Describe an effect, completely enough to build its knobs, plan its tiles and run it.

    Args:
        id: The effect's name in a flow.
        label: What a host shows; no hyphen.
        grouping: The menu it stands in, with slashes (``Kwaflux/Restore``); no hyphen.
        version: Two or three numbers with dots.
        help: One paragraph: what it does.
        for_what: The deficiency it is for.
        not_for: What it should not be used for.
        params: What a person can set.
        clips: What it reads; ``Source`` is always there.
        identity_when: Values of params. When all are met the effect touches no pixel; empty:
            never.
        scale: Output size / input size (OpenFX: region of definition), or the param that says it.
        halo_px: Input pixels read around a tile (regions of interest); at least the network's
            radius.
        align_px: Tiles start at, and are as large as, multiples of this.
        frames_before: Earlier frames that are needed.
        frames_after: Later frames that are needed.
        motion_px: How far a neighbor's pixel may have moved, along each axis, to be aligned with
            the frame; 0: neighbors are not aligned.
        measures: Whether it measures a frame before it renders it.
        working: The numbers that the network works on.
        precisions: For each precision it may run in, the greatest absolute error in the working
            curve against float32, as measured. float32 is always there, with 0.
        tolerance: The error that is acceptable; precisions that err more are not used.
        licence: Of the effect's code.
        weights: Files of tensors; none for an effect without a network.
        trained_on: What the weights were made from.
        scores: Rows of an evaluation.
        limits: What it cannot do.

    Raises:
        ModelError: The card contradicts itself; ``key`` says where.
    """

    id: str
    label: str
    grouping: str
    version: str
    help: str
    for_what: str
    not_for: str
    params: tuple[Param, ...]
    clips: tuple[Clip, ...]
    identity_when: Mapping[str, Value]
    scale: int | ParamRef
    halo_px: int
    align_px: int
    frames_before: int = 0
    frames_after: int = 0
    motion_px: int = 0
    measures: bool = False
    working: Working
    precisions: Mapping[Precision, float]
    tolerance: float
    licence: str
    weights: tuple[Weights, ...] = ()
    trained_on: tuple[str, ...] = ()
    scores: tuple[Mapping[str, Value], ...] = ()
    limits: tuple[str, ...]
    _by_name: Mapping[str, Param] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = MappingProxyType({param.name: param for param in self.params})
        object.__setattr__(self, "_by_name", by_name)
        _check_texts(self)
        _check_clips_and_params(self)
        _check_numbers(self)
        object.__setattr__(self, "identity_when", MappingProxyType(_checked_identity(self)))
        object.__setattr__(self, "precisions", MappingProxyType(dict(self.precisions)))

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Return the card that a ``card.json`` holds.

        Raises:
            ModelError: No JSON, or a key that is missing, unknown, of the wrong type or out of
                place; ``key`` says which.
        """
        what = "the card"
        raw = parse_json(text, what=what, error=ModelError)
        if isinstance(raw, dict) and isinstance(raw.get("id"), str):
            what = f"the card of {raw['id'][:60]!r}"
        known = [entry.name for entry in fields(cls) if entry.init]
        return _read_card(JsonObject(raw, what=what, known=known, error=ModelError), what=what)

    def to_json(self) -> str:
        """Return the text of a ``card.json`` that says the same."""
        raw: dict[str, object] = {
            entry.name: getattr(self, entry.name) for entry in fields(self) if entry.init
        }
        raw["params"] = [param.to_json_object() for param in self.params]
        raw["clips"] = [clip.to_json_object() for clip in self.clips]
        raw["identity_when"] = dict(self.identity_when)
        if isinstance(self.scale, ParamRef):
            raw["scale"] = {"param": self.scale.param}
        raw["working"] = self.working.to_json_object()
        raw["precisions"] = dict(self.precisions)
        raw["weights"] = [weights.to_json_object() for weights in self.weights]
        raw["scores"] = [dict(score) for score in self.scores]
        return json.dumps(raw, indent=2, ensure_ascii=False) + "\n"

    def param(self, name: str) -> Param:
        """Return the param of that name.

        Raises:
            ParamError: The effect has none; the hint names the nearest.
        """
        if name not in self._by_name:
            raise ParamError(
                f"effect {self.id!r} has no param {name[:60]!r}",
                hint=suggestion(name, self._by_name, kind="the params"),
                effect=self.id,
                param=name[:60],
            )
        return self._by_name[name]

    def is_identity(self, values: Mapping[str, Value]) -> bool:
        """Tell whether the effect touches no pixel with these values.

        Args:
            values: Params under their names; what is left out has its default.
        """
        return bool(self.identity_when) and all(
            values.get(name, self.param(name).default) == value
            for name, value in self.identity_when.items()
        )

    def scale_of(self, values: Mapping[str, Value]) -> int:
        """Return output size / input size with these values, at least 1.

        Args:
            values: Params under their names; what is left out has its default.

        Raises:
            ParamError: The param that says it has another value than it accepts.
        """
        if isinstance(self.scale, int):
            return self.scale
        param = self.param(self.scale.param)
        return int(param.check(values.get(param.name, param.default)))

    @property
    def loras_param(self) -> Param | None:
        """The param that names LoRAs; None where the effect takes none."""
        return next((param for param in self.params if param.type == "loras"), None)

    def loras_of(self, values: Mapping[str, Value]) -> str:
        """Return the text that names LoRAs; empty where there are none.

        Args:
            values: Params under their names; what is left out has its default.
        """
        param = self.loras_param
        return "" if param is None else str(values.get(param.name, param.default))

    def allows(self, precision: Precision) -> bool:
        """Tell whether the effect may run in this precision: its error is within tolerance."""
        error = self.precisions.get(precision)
        return error is not None and error <= self.tolerance


def _read_card(found: JsonObject, *, what: str) -> Card:
    precisions = cast("dict[Precision, float]", found.values("precisions"))
    return Card(
        id=found.text("id"),
        label=found.text("label"),
        grouping=found.text("grouping"),
        version=found.text("version"),
        help=found.text("help"),
        for_what=found.text("for_what"),
        not_for=found.text("not_for"),
        params=tuple(
            Param.from_json_object(raw, at=at, what=what) for at, raw in found.items("params")
        ),
        clips=tuple(
            Clip.from_json_object(raw, at=at, what=what) for at, raw in found.items("clips")
        ),
        identity_when=found.values("identity_when"),
        scale=_read_scale(found, what=what),
        halo_px=found.integer("halo_px", low=0),
        align_px=found.integer("align_px", low=1),
        frames_before=found.integer("frames_before", low=0, default=0),
        frames_after=found.integer("frames_after", low=0, default=0),
        motion_px=found.integer("motion_px", low=0, default=0),
        measures=found.flag("measures", default=False),
        working=Working.from_json_object(found.mapping("working"), at="working", what=what),
        precisions=precisions,
        tolerance=found.number("tolerance"),
        licence=found.text("licence"),
        weights=tuple(
            Weights.from_json_object(raw, at=at, what=what)
            for at, raw in found.items("weights", is_optional=True)
        ),
        trained_on=found.texts("trained_on", is_optional=True),
        scores=tuple(
            MappingProxyType(plain_values(raw, at=at, what=what, error=ModelError))
            for at, raw in found.items("scores", is_optional=True)
        ),
        limits=found.texts("limits"),
    )


def _read_scale(found: JsonObject, *, what: str) -> int | ParamRef:
    if not found.is_object("scale"):
        return found.integer("scale", low=1)
    raw = found.mapping("scale")
    inner = JsonObject(raw, at="scale", what=what, known=("param",), error=ModelError)
    return ParamRef(inner.text("param"))


def _check_texts(card: Card) -> None:
    if not NAME_PATTERN.fullmatch(card.id):
        raise broken_card("id", "must be lower case letters, digits and underscores")
    for key in ("label", "grouping", "help", "for_what", "not_for", "licence"):
        if not getattr(card, key).strip():
            raise broken_card(key, "must not be empty")
    for key in ("label", "grouping"):
        if "-" in getattr(card, key):
            raise broken_card(key, "must not hold a hyphen (Nuke misreads it)")
    if not _VERSION.fullmatch(card.version):
        raise broken_card("version", "must be two or three numbers with dots")


def _check_clips_and_params(card: Card) -> None:
    for key, names in (
        ("params", [param.name for param in card.params]),
        ("clips", [clip.name for clip in card.clips]),
    ):
        if len(set(names)) != len(names):
            raise broken_card(key, "must have different names")
    if sum(param.type == "loras" for param in card.params) > 1:
        raise broken_card("params", "must hold one of the type 'loras' at most")
    if Clip("Source") not in card.clips:
        raise broken_card("clips", "must hold a 'Source' that is not optional")
    if isinstance(card.scale, ParamRef):
        param = _param_named_by(card, "scale", card.scale.param)
        is_whole = param.type == "int" and param.range is not None and param.range[0] >= 1
        is_digits = bool(param.choices) and all(
            re.fullmatch(r"[1-9][0-9]{0,2}", text) for text in param.choices
        )
        if not is_whole and not is_digits:
            raise broken_card(
                "scale", "must name an int of at least 1, or a choice of whole numbers"
            )


def _check_numbers(card: Card) -> None:
    scale = 1 if isinstance(card.scale, ParamRef) else card.scale
    for key, number, low in (
        ("scale", scale, 1),
        ("halo_px", card.halo_px, 0),
        ("align_px", card.align_px, 1),
        ("frames_before", card.frames_before, 0),
        ("frames_after", card.frames_after, 0),
        ("motion_px", card.motion_px, 0),
    ):
        if number < low:
            raise broken_card(key, f"must be {low} or more")
    if card.precisions.get("float32") != 0:
        raise broken_card("precisions", "must hold float32 with an error of 0")
    for name, error in card.precisions.items():
        if name not in get_args(Precision):
            raise broken_card(f"precisions.{name}", f"is none of {', '.join(get_args(Precision))}")
        if isinstance(error, (bool, str)) or not 0 <= error < math.inf:
            raise broken_card(f"precisions.{name}", "must be a number of 0 or more")
    if not 0 <= card.tolerance < math.inf:
        raise broken_card("tolerance", "must be a number of 0 or more")


def _checked_identity(card: Card) -> dict[str, Value]:
    return {name: _checked_value(card, name, value) for name, value in card.identity_when.items()}


def _checked_value(card: Card, name: str, value: Value) -> Value:
    key = f"identity_when.{name}"
    try:
        return _param_named_by(card, key, name).check(value)
    except ParamError as error:
        raise broken_card(key, f"must be a value of it: {error}") from error


def _param_named_by(card: Card, key: str, name: str) -> Param:
    try:
        return card.param(name)
    except ParamError as error:
        raise broken_card(key, f"must name a param: {error}") from error
