"""The generated pages of ``docs/``: effects, errors and settings, each made from the code.

Owns the pages' text and where they lie. A test compares them; ``make docs`` writes them anew.
Must not import torch: cards say all that there is to say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from kwaflux_core.errors import KwafluxError
from kwaflux_core.flows.card import Card, Param
from kwaflux_core.flows.preset import Preset
from kwaflux_core.settings.settings import OTHER_VARIABLES, SettingRow, settings_table
from kwaflux_models.catalog.registry import Registry

__all__ = ["effects_page", "errors_page", "main", "pages", "settings_page"]

_NOTE = "<!-- Made from the code by `make docs`; change the code, not this page. -->"


def pages() -> dict[str, str]:
    """Return the text of every generated page under its file name."""
    return {
        "effects.md": effects_page(_own_cards(), Registry.of_packages().presets.values()),
        "errors.md": errors_page(),
        "settings.md": settings_page(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write every page into the folder that is named; the pages that stand right are left alone."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    for name, text in pages().items():
        path = Path(folder) / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path} was written\n")
    return 0


def effects_page(cards: Iterable[Card], presets: Iterable[Preset] = ()) -> str:
    """Return the page that describes every effect and preset."""
    sections = [
        "# Effects",
        _NOTE,
        "What Kwaflux can do to a plate. Each effect is for one deficiency; a flow puts several in "
        "order:\n`denoise(strength=0.6) | identity`. A param that is left out has its default. "
        "`kwaflux effects NAME`\nshows one that is installed.",
    ]
    for card in cards:
        sections += _effect_sections(card)
    for preset in presets:
        sections += _preset_sections(preset)
    return _joined(sections)


def errors_page() -> str:
    """Return the page that lists every error, as a tree."""
    rows = [
        (
            f"{'&nbsp;' * 4 * depth}`{error.__name__}`",
            f"`{error.code}`",
            "yes" if error.retryable else "",
            "Any of these." if error is KwafluxError else _one_line(error.__doc__ or ""),
        )
        for error, depth in _tree(KwafluxError, 0)
    ]
    return _joined(
        [
            "# Errors",
            _NOTE,
            "Every failure is one of these classes of `kwaflux_core.errors`, and the class that "
            "was raised on the\nserver is the class that the client raises. Each has a `message` "
            "(what happened, and to what), a\n`hint` (what to do about it), `fields` (numbers, "
            "names and paths for programs) and a `code` that never\nchanges. *Again* says whether "
            "the same request may succeed when it is sent again. A class that stands\nfurther in "
            "is a kind of the one above it: who catches that, catches it too.",
            _table(("Class", "Code", "Again", "When"), rows),
        ]
    )


def settings_page() -> str:
    """Return the page that lists every setting of the server and of the client."""
    rows = settings_table()
    return _joined(
        [
            "# Settings",
            _NOTE,
            "A setting comes from its default, then the settings file, then the environment, then "
            "the command line;\nthe later one wins. The file is TOML with the tables "
            "`[server]`, `[client]` and `[models]`:\n`kwaflux/settings.toml` in "
            "`$XDG_CONFIG_HOME` or `~/.config` "
            "(`%APPDATA%` on Windows). A key or a\n`KWAFLUX_*` variable that is not known is an "
            "error that names the nearest one that is.",
            '```toml\n[server]\ntile_px = 256\nmemory_budget_bytes = "2GiB"\n```',
            "## Server",
            _settings(row for row in rows if row.section == "server"),
            "## Client",
            _settings(row for row in rows if row.section == "client"),
            "## Models",
            _settings(row for row in rows if row.section == "models"),
            "## Variables that are no settings",
            _table(
                ("Variable", "What it does"),
                [(f"`{name}`", help_text) for name, help_text in sorted(OTHER_VARIABLES.items())],
            ),
        ]
    )


def _own_cards() -> list[Card]:
    """Return the cards that ship with Kwaflux; an effect from elsewhere has its own pages."""
    registry = Registry.of_packages()
    own = (registry[name] for name in registry.cards)
    return [effect.card for effect in own if effect.package.startswith("kwaflux_models.")]


def _effect_sections(card: Card) -> list[str]:
    sections = [
        f"## {card.id}",
        card.help,
        f"**For:** {card.for_what}",
        f"**Not for:** {card.not_for}",
    ]
    if card.params:
        header = ("Param", "Type", "Default", "Accepted", "What it does")
        sections.append(_table(header, [_param_row(param) for param in card.params]))
    else:
        sections.append("It has no params.")
    if card.identity_when:
        values = " and ".join(f"`{name}={value}`" for name, value in card.identity_when.items())
        sections.append(f"With {values} it touches no pixel.")
    sections.append("\n".join(f"- {limit}" for limit in card.limits))
    sections.append(_table(("", ""), _facts(card)))
    if card.scores:
        names = list(dict.fromkeys(name for score in card.scores for name in score))
        rows = [tuple(str(score.get(name, "")) for name in names) for score in card.scores]
        sections.append(_table(tuple(names), rows))
    return sections


def _preset_sections(preset: Preset) -> list[str]:
    return [
        f"## {preset.id}",
        f"A preset: its name stands for the flow `{preset.flow.to_text()}`, and takes no params.",
        preset.help,
        f"**For:** {preset.for_what}",
        f"**Not for:** {preset.not_for}",
    ]


def _param_row(param: Param) -> tuple[str, ...]:
    accepted = ", ".join(f"`{choice}`" for choice in param.choices)
    if param.range is not None:
        accepted = f"{param.range[0]:g} to {param.range[1]:g}"
    return (f"`{param.name}`", param.type, f"`{param.default}`", accepted, param.hint)


def _facts(card: Card) -> list[tuple[str, str]]:
    """Return what the card says that a person does not set, in words."""
    working = card.working
    scale = f"`{card.scale.param}`" if not isinstance(card.scale, int) else f"{card.scale}x"
    facts = [
        ("Version", card.version),
        ("Menu", card.grouping),
        ("Output size", scale),
        ("Context around a tile", f"{card.halo_px} px"),
        ("Frames read", f"{card.frames_before} before, {card.frames_after} after"),
        ("Works in", f"{working.colorspace}, curve `{working.curve}`"),
        ("Trained range", _trained_range(card)),
        ("Precision", _precisions(card)),
        ("Licence", card.licence),
    ]
    facts += [
        ("Weights", f"`{w.file}`, {w.licence}. {w.source}. SHA-256 `{w.sha256}`")
        for w in card.weights
    ]
    facts += [("Trained on", text) for text in card.trained_on]
    return facts


def _trained_range(card: Card) -> str:
    if not card.weights:
        return "there is no network"
    (low, high), fade = card.working.range, card.working.fade
    return f"{low:g} to {high:g}; the effect has faded out at {low * fade:g} and {high * fade:g}"


def _precisions(card: Card) -> str:
    reduced = {name: error for name, error in card.precisions.items() if name != "float32"}
    texts = ["float32"] + [
        f"{name} (error {error:g}, {'where it is faster' if card.allows(name) else 'not used'})"
        for name, error in reduced.items()
    ]
    limit = f"; at most {card.tolerance:g} in the working curve" if reduced else ""
    return ", ".join(texts) + limit


def _settings(rows: Iterable[SettingRow]) -> str:
    return _table(
        ("Setting", "Variable", "Default", "Accepted", "What it does"),
        [
            (
                f"`{row.name}`",
                f"`{row.variable}`",
                f"`{row.default}`" if row.default else "",
                row.accepted,
                row.help,
            )
            for row in rows
        ],
    )


def _tree(cls: type[KwafluxError], depth: int) -> list[tuple[type[KwafluxError], int]]:
    found = [(cls, depth)]
    for child in cls.__subclasses__():
        if child.__module__ == KwafluxError.__module__:
            found += _tree(child, depth + 1)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split()).replace("``", "`")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def _joined(sections: Iterable[str]) -> str:
    return "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
