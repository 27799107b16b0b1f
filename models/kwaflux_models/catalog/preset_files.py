"""The presets that ship: flows that have a name, one JSON file each in ``presets/``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kwaflux_core.errors import FlowError, ModelError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.preset import Preset

__all__ = ["PRESETS_FOLDER", "read_presets"]

PRESETS_FOLDER = Path(__file__).parents[1] / "presets"


def read_presets(
    cards: Mapping[str, Card], broken: dict[str, ModelError], *, folder: Path = PRESETS_FOLDER
) -> dict[str, Preset]:
    """Return the presets of a folder under their ids, in alphabetical order.

    One that cannot be read, whose flow the effects don't accept, or whose name is taken is left
    out, and its error put into ``broken`` under ``presets/FILE``.

    Args:
        cards: The installed effects under their ids.
        broken: Takes the errors.
        folder: Where the files lie.
    """
    found: dict[str, Preset] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            preset = Preset.from_json(path.read_text(encoding="utf-8"))
            _check(preset, cards, others=found)
        except ModelError as error:
            broken[f"presets/{path.name}"] = error
        except (OSError, UnicodeError) as error:
            broken[f"presets/{path.name}"] = ModelError(f"{path.name} cannot be read: {error}")
        else:
            found[preset.id] = preset
    return dict(sorted(found.items()))


def _check(preset: Preset, cards: Mapping[str, Card], *, others: Mapping[str, Preset]) -> None:
    for kind, names in (("an effect", cards), ("another preset", others)):
        if preset.id in names:
            raise ModelError(
                f"the preset {preset.id!r} has the name of {kind}", hint="give it another id"
            )
    try:
        # Bound without presets: one inside another would make an error's text hard to follow.
        preset.flow.bind(cards)
    except FlowError as error:
        raise ModelError(
            f"the preset {preset.id!r} cannot be used: {error.message}",
            hint="correct its flow, or install the effect that it names",
        ) from error
