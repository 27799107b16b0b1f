"""``kwaflux effects``: the installed effects and presets, and the params of each effect."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table

from kwaflux_core.flows.card import Card, Param
from kwaflux_core.flows.preset import Preset
from kwaflux_models.catalog.registry import Registry
from kwaflux_server.cli.console import OUT
from kwaflux_server.cli.options import AsJson

__all__ = ["effects"]


def effects(
    name: Annotated[
        str, typer.Argument(help="An effect or a preset. Default: list them all.")
    ] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List the installed effects and presets, or show one: an effect with its params."""
    registry = Registry.discover()
    preset = registry.presets.get(name)
    if not name:
        _list_all(registry, as_json=as_json)
    elif as_json:
        shown: Card | Preset = registry[name].card if preset is None else preset
        OUT.print_json(data=json.loads(shown.to_json()))
    elif preset is not None:
        _show_preset(preset)
    else:
        _show(registry[name].card)


def _list_all(registry: Registry, *, as_json: bool) -> None:
    cards, presets = list(registry.cards.values()), list(registry.presets.values())
    if as_json:
        entries: list[Card | Preset] = [*cards, *presets]
        OUT.print_json(data=[json.loads(entry.to_json()) for entry in entries])
        return
    OUT.print(_table("effect", cards))
    if presets:
        OUT.print()
        OUT.print(_table("preset", presets))
    for package, error in registry.broken.items():
        OUT.print(f"skipped: {package}: {error}", style="red", markup=False)


def _table(kind: str, entries: Iterable[Card | Preset]) -> Table:
    table = Table(kind, "for", "not for", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(entry.id, entry.for_what, entry.not_for)
    return table


def _show_preset(preset: Preset) -> None:
    OUT.print(f"{preset.id}: {preset.label}", style="bold", markup=False)
    _show_texts(preset)
    OUT.print(f"Flow: {preset.flow.to_text()}", markup=False)


def _show(card: Card) -> None:
    OUT.print(f"{card.id} {card.version}: {card.label}", style="bold", markup=False)
    _show_texts(card)
    if card.params:
        table = Table("param", "type", "default", "range", "what it does", box=None, pad_edge=False)
        for param in card.params:
            table.add_row(param.name, param.type, str(param.default), _range(param), param.hint)
        OUT.print(table)
    for weights in card.weights:
        OUT.print(f"Weights: {weights.file}, {weights.licence}", markup=False)
    for limit in card.limits:
        OUT.print(f"Limit: {limit}", markup=False)


def _show_texts(entry: Card | Preset) -> None:
    OUT.print(entry.help, markup=False)
    for title, text in (("For", entry.for_what), ("Not for", entry.not_for)):
        OUT.print(f"{title}: {text}", markup=False)


def _range(param: Param) -> str:
    if param.choices:
        return " | ".join(param.choices)
    return "" if param.range is None else f"{param.range[0]:g} to {param.range[1]:g}"
