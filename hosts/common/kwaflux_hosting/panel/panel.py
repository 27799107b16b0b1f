"""A panel: what a server offers, stored in a script as JSON, and read back as a flow.

A host makes knobs or widgets of each ``Control`` and hands their values to ``flow_text``::

    panel = Panel.from_server(client)
    text = panel.flow_text("denoise", {"strength": 0.6})     # denoise(strength=0.6, ...)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kwaflux_core.errors import FlowError, HostError
from kwaflux_core.flows.flow import Flow, Step
from kwaflux_core.flows.json_reader import parse_json
from kwaflux_core.suggestions import suggestion
from kwaflux_hosting.panel.controls import EffectEntry, decode_entry, encode_entry, lenient
from kwaflux_hosting.panel.controls_from_cards import (
    FREE_TEXT,
    FREE_TEXT_CONTROL,
    entry_of_card,
    entry_of_preset,
    free_text_entry,
)

if TYPE_CHECKING:
    from kwaflux_core.client.client import Client
    from kwaflux_core.flows.card import Card
    from kwaflux_core.flows.preset import Preset

__all__ = ["Panel"]

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Panel:
    """Hold everything a server offers to a person: effects, then named flows, then free text.

    Args:
        choices: The entries of the picker.
        server_version: Which server they came from; shown, not compared.
    """

    choices: tuple[EffectEntry, ...]
    server_version: str = ""

    @classmethod
    def from_server(cls, client: Client) -> Panel:
        """Ask a server what it offers.

        Raises:
            KwafluxError: It does not answer, or has a card that this version cannot read.
        """
        return cls.from_descriptors(
            client.effects(), client.presets(), server_version=client.status().version
        )

    @classmethod
    def from_descriptors(
        cls,
        cards: tuple[Card, ...],
        presets: tuple[Preset, ...] = (),
        *,
        server_version: str = "",
    ) -> Panel:
        """Return the panel of some effects and presets, each kind in the order of its labels."""
        effects = sorted((entry_of_card(card) for card in cards), key=lambda choice: choice.label)
        by_id = {choice.id: choice for choice in effects}
        named = sorted(
            (entry_of_preset(preset, by_id) for preset in presets), key=lambda choice: choice.label
        )
        return cls((*effects, *named, free_text_entry()), server_version)

    @classmethod
    def from_json(cls, text: str) -> Panel:
        """Return the panel that a script stored; keys of a newer version are passed over.

        Raises:
            HostError: The text holds none.
        """
        what = "the stored panel"
        raw = parse_json(text, what=what, error=HostError)
        found = lenient(raw, at="", what=what)
        if found.integer("format", low=1) > _FORMAT:
            raise HostError(f"{what} was stored by a newer Kwaflux", hint="kwaflux install again")
        return cls(
            tuple(decode_entry(item, at=at, what=what) for at, item in found.items("choices")),
            found.text("server_version") if found.has("server_version") else "",
        )

    def to_json(self) -> str:
        """Return one line that ``from_json`` reads; it holds no line break and no control code."""
        raw = {
            "format": _FORMAT,
            "server_version": self.server_version,
            "choices": [encode_entry(choice) for choice in self.choices],
        }
        return json.dumps(raw, separators=(",", ":"))

    def choice(self, choice_id: str) -> EffectEntry:
        """Return the entry of that id.

        Raises:
            HostError: The server that the panel came from has none; the hint names the nearest.
        """
        for choice in self.choices:
            if choice.id == choice_id:
                return choice
        raise HostError(
            f"there is no effect {choice_id[:60]!r}",
            hint=suggestion(choice_id, [choice.id for choice in self.choices], kind="the effects"),
            effect=choice_id[:60],
        )

    def flow_text(self, choice_id: str, values: Mapping[str, object]) -> str:
        """Return the flow that a person set, every value spelled out.

        Defaults are spelled out too, so that a script goes on meaning the same when a later
        version has other defaults.

        Args:
            choice_id: Which entry.
            values: What its controls hold, under their names; what is left out has its default.

        Raises:
            FlowError: A free text that is no flow (``column`` says where), a control that the
                entry does not have, or a value that it does not accept.
            HostError: No such entry.
        """
        choice = self.choice(choice_id)
        for name in values:
            choice.control(name)
        if choice.id == FREE_TEXT:
            return _checked_text(values.get(FREE_TEXT_CONTROL, ""))
        if choice.is_preset:
            return choice.id
        held = {
            control.name: control.checked(values.get(control.name, control.default))
            for control in choice.controls
        }
        return Flow((Step(choice.id, held),)).to_text()

    def frames_around(self, flow: str) -> tuple[int, int]:
        """Return how many frames before and after a frame the flow reads: the handles it needs.

        An effect that this panel does not know counts as none.

        Raises:
            FlowError: The text is no flow.
        """
        known = {choice.id: choice for choice in self.choices}
        steps = [known[step.effect] for step in Flow.parse(flow).steps if step.effect in known]
        return sum(step.frames_before for step in steps), sum(step.frames_after for step in steps)


def _checked_text(value: object) -> str:
    """Return a flow that was typed in its canonical spelling."""
    if not isinstance(value, str) or not value.strip():
        raise FlowError("no flow is given", hint="write one: denoise(strength=0.6) | regrain")
    return Flow.parse(value).to_text()
