"""The card of a user's own checkpoint: what was found out, in words and numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kwaflux_core.flows.card import Card
from kwaflux_models.effects.external.effect import Habits
from kwaflux_models.effects.external.receptive_field import Reach

__all__ = ["UNKNOWN_LICENCE", "Findings", "card_of"]

UNKNOWN_LICENCE = "unknown"
_LANCZOS_PX = 4
"""What the enlargement that a residual is added to reads around a tile."""
_FADE = 1.5
_BELOW = -0.02
"""How far below black the effect still works, in parts of the peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Hold what was found out about a checkpoint, and what the user said of it."""

    file: str
    sha256: str
    architecture: str
    tags: tuple[str, ...]
    scale: int
    channels: int
    habits: Habits
    reach: Reach
    licence: str
    for_what: str
    parameters: int

    def facts(self) -> tuple[str, ...]:
        """Return what is told after an installation, a line each."""
        named = " ".join((self.architecture, *self.tags))
        kind = "RGB" if self.channels == 3 else "gray, each channel by itself"
        return (
            f"{named}, {self.parameters / 1e6:.2f} million parameters, {kind}, scale {self.scale}",
            f"tiles: {self.reach.halo_px} px of context, on a grid of {self.reach.align_px} px "
            f"(tile and whole differ by {self.reach.difference:.1g})",
            f"works on {self.habits.encoding} codes; 1 is {self.habits.peak:g} scene-linear",
            f"licence: {self.licence or UNKNOWN_LICENCE}",
        )

    def warnings(self) -> tuple[str, ...]:
        """Return what the user should mind."""
        found = []
        if not self.licence:
            found.append("its licence is not known: ask its maker before you deliver with it")
        if not self.reach.is_bounded:
            found.append("it looks at the whole picture, so tiles may show seams")
        return tuple(found)


def card_of(name: str, findings: Findings, label: str, *, sha256: str) -> Card:
    """Return the card of an own effect.

    Args:
        name: Its id.
        findings: What is known of it.
        label: What a host shows; empty to make it of the id.
        sha256: Of the weights as they are installed.

    Raises:
        ModelError: A text that no card may hold.
    """
    habits = findings.habits
    named = " ".join((findings.architecture, *findings.tags))
    is_same_size = findings.scale == 1
    halo_px = findings.reach.halo_px if is_same_size else max(findings.reach.halo_px, _LANCZOS_PX)
    raw = {
        "id": name,
        "label": (label or name.replace("_", " ").capitalize()).replace("-", " "),
        "grouping": "Kwaflux/Own",
        "version": "1.0",
        "help": f"A network of your own ({named}, from {findings.file}), run through spandrel. It "
        "sees display codes from 0 to 1; what it changes there is added to the plate, so that "
        "highlights and negative values pass.",
        "for_what": findings.for_what or f"What its maker made it for ({named}).",
        "not_for": "What its maker did not make it for: Kwaflux has not judged it.",
        "params": [
            {
                "name": "strength",
                "type": "double",
                "label": "Strength",
                "hint": "Share of the network's change that is applied: 0 is none, 1 all of it.",
                "default": 1.0,
                "range": [0.0, 1.0],
            }
        ],
        "clips": [{"name": "Source"}],
        "identity_when": {"strength": 0.0} if is_same_size else {},
        "scale": findings.scale,
        "halo_px": halo_px,
        "align_px": findings.reach.align_px,
        "working": {
            "colorspace": "Linear Rec.709 (sRGB)",
            "curve": "signed_log1p",
            "range": [_BELOW * habits.peak, habits.peak],
            "fade": _FADE,
        },
        "precisions": {"float32": 0.0},
        "tolerance": 0.0,
        "licence": "Apache-2.0",
        "weights": [
            {
                "file": "weights.safetensors",
                "sha256": sha256,
                "licence": findings.licence or UNKNOWN_LICENCE,
                "source": f"{findings.file}, SHA-256 {findings.sha256}",
            }
        ],
        "trained_on": ["Not known: it was added by the user."],
        "limits": [
            f"Above {habits.peak * _FADE:g} and below {_BELOW * _FADE * habits.peak:g} "
            "scene-linear the plate passes as it came.",
            *(f"Mind: {warning}." for warning in findings.warnings()),
        ],
    }
    return Card.from_json(json.dumps(raw))
