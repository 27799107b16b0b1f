"""A preset: a flow that has a name, and ships as data.

A preset is a JSON file whose keys are the fields of ``Preset``. Its id stands for its flow wherever
a flow is typed; it has no params, so that its name always means the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields

from kwaflux_core.errors import FlowError, ModelError
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.json_reader import JsonObject, parse_json
from kwaflux_core.flows.param import NAME_PATTERN

__all__ = ["Preset", "named_flows"]

_TEXTS = ("label", "help", "for_what", "not_for")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Name a flow.

    Args:
        id: The name that stands for the flow.
        label: What a host shows.
        help: One paragraph: what it does.
        for_what: The plates it is for.
        not_for: What it should not be used for.
        flow: The effects in order.

    Raises:
        ModelError: An id that is no name, or an empty text; ``key`` says which.
    """

    id: str
    label: str
    help: str
    for_what: str
    not_for: str
    flow: Flow

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.id):
            raise _broken("id", "must be lower case letters, digits and underscores")
        for key in _TEXTS:
            if not getattr(self, key).strip():
                raise _broken(key, "must not be empty")

    @classmethod
    def from_json(cls, text: str) -> Preset:
        """Return the preset that a JSON text holds.

        Raises:
            ModelError: No JSON, a key that is missing, unknown or of the wrong type, or a flow
                that cannot be read; ``key`` says which.
        """
        what = "the preset"
        raw = parse_json(text, what=what, error=ModelError)
        if isinstance(raw, dict) and isinstance(raw.get("id"), str):
            what = f"the preset {raw['id'][:60]!r}"
        known = [entry.name for entry in fields(cls)]
        found = JsonObject(raw, what=what, known=known, error=ModelError)
        try:
            flow = Flow.parse(found.text("flow"))
        except FlowError as error:
            raise _broken("flow", f"cannot be read: {error}") from error
        return cls(
            id=found.text("id"),
            label=found.text("label"),
            help=found.text("help"),
            for_what=found.text("for_what"),
            not_for=found.text("not_for"),
            flow=flow,
        )

    def to_json(self) -> str:
        """Return the text of a JSON file that says the same."""
        texts = {name: getattr(self, name) for name in ("id", *_TEXTS)}
        raw = {**texts, "flow": self.flow.to_text()}
        return json.dumps(raw, indent=2, ensure_ascii=False) + "\n"


def named_flows(presets: Iterable[Preset]) -> dict[str, Flow]:
    """Return the flows of presets under their ids, as ``Flow.bind`` takes them."""
    return {preset.id: preset.flow for preset in presets}


def _broken(key: str, must: str) -> ModelError:
    return ModelError(f"{key} of the preset {must}", hint="correct it in its file", key=key)
