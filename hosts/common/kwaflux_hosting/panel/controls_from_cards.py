"""Entries and controls of a panel, made from the cards of effects and from presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from kwaflux_core.flows.param import Param
from kwaflux_hosting.panel.controls import Control, EffectEntry

if TYPE_CHECKING:
    from kwaflux_core.flows.card import Card
    from kwaflux_core.flows.preset import Preset

__all__ = [
    "FREE_TEXT",
    "FREE_TEXT_CONTROL",
    "entry_of_card",
    "entry_of_preset",
    "free_text_entry",
]

FREE_TEXT: Final = "Flow"
"""The id of the choice that takes a flow as text; no effect can have it, for it has a capital."""

FREE_TEXT_CONTROL: Final = "text"
"""The name of its one control."""


def entry_of_card(card: Card) -> EffectEntry:
    """Return an effect's entry, with a control for each of its params."""
    return EffectEntry(
        id=card.id,
        label=card.label,
        help=_help(card.help, for_what=card.for_what, not_for=card.not_for),
        group=card.grouping,
        frames_before=card.frames_before,
        frames_after=card.frames_after,
        controls=tuple(_control_of_param(param) for param in card.params),
    )


def _control_of_param(param: Param) -> Control:
    low, high = param.range or (None, None)
    shown_low, shown_high = param.display_range or (None, None)
    return Control(
        name=param.name,
        kind=param.type,
        label=param.label,
        help=param.hint,
        default=param.default,
        minimum=low,
        maximum=high,
        display_minimum=shown_low,
        display_maximum=shown_high,
        choices=param.choices,
        page=param.page,
    )


def entry_of_preset(preset: Preset, effects: Mapping[str, EffectEntry]) -> EffectEntry:
    """Return a preset's entry, which has no controls.

    Args:
        preset: The preset.
        effects: Entries by id; those that its flow names say which frames it reads.
    """
    steps = [effects[step.effect] for step in preset.flow.steps if step.effect in effects]
    text = preset.flow.to_text()
    return EffectEntry(
        id=preset.id,
        label=preset.label,
        help=_help(f"{preset.help} Flow: {text}", for_what=preset.for_what, not_for=preset.not_for),
        is_preset=True,
        flow=text,
        frames_before=sum(step.frames_before for step in steps),
        frames_after=sum(step.frames_after for step in steps),
    )


def free_text_entry() -> EffectEntry:
    """Return the entry that takes a flow as text."""
    control = Control(
        name=FREE_TEXT_CONTROL,
        kind="string",
        label="Flow",
        help="Effects in order, as text: denoise(strength=0.6) | regrain(amount=1.0)",
        default="",
    )
    return EffectEntry(
        id=FREE_TEXT,
        label="Flow as text",
        help="Several effects in order, each with its params, written as text.",
        controls=(control,),
    )


def _help(text: str, *, for_what: str, not_for: str) -> str:
    return f"{text}\nFor: {for_what}\nNot for: {not_for}"
