"""``kwaflux effects``: what is installed, and what each effect can be told."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from kwaflux_core.card import Card, Param
from kwaflux_models.registry import Registry
from kwaflux_server.cli.console import OUT
from kwaflux_server.cli.options import AsJson

__all__ = ["effects"]


def effects(
    name: Annotated[str, typer.Argument(help="An effect; none lists them all.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List the installed effects, or show one with its params."""
    registry = Registry.discover()
    if name:
        card = registry[name].card
        cards = [card]
    else:
        cards = list(registry.cards.values())
    if as_json:
        shown = [json.loads(card.to_json()) for card in cards]
        OUT.print_json(data=shown[0] if name else shown)
    elif name:
        _show(cards[0])
    else:
        _list(cards)
        for package, error in registry.broken.items():
            OUT.print(f"left out: {package}: {error}", style="red", markup=False)


def _list(cards: list[Card]) -> None:
    table = Table("effect", "for", "not for", box=None, pad_edge=False)
    for card in cards:
        table.add_row(card.id, card.for_what, card.not_for)
    OUT.print(table)


def _show(card: Card) -> None:
    OUT.print(f"{card.id} {card.version}: {card.label}", style="bold", markup=False)
    OUT.print(card.help, markup=False)
    for title, text in (("For", card.for_what), ("Not for", card.not_for)):
        OUT.print(f"{title}: {text}", markup=False)
    if card.params:
        table = Table("param", "type", "default", "range", "what it does", box=None, pad_edge=False)
        for param in card.params:
            table.add_row(param.name, param.type, str(param.default), _range(param), param.hint)
        OUT.print(table)
    for weights in card.weights:
        OUT.print(f"Weights: {weights.file}, {weights.licence}", markup=False)
    for limit in card.limits:
        OUT.print(f"Limit: {limit}", markup=False)


def _range(param: Param) -> str:
    if param.choices:
        return " | ".join(param.choices)
    return "" if param.range is None else f"{param.range[0]:g} to {param.range[1]:g}"
