"""Which effects are installed, and where their cards, code and weights lie.

Owns discovery. Must not import torch: the gateway and the command line list effects without it.

An effect is a folder with ``card.json`` and ``effect.py``. Every such folder beside this file is
an effect; one from another distribution is named by an entry point of the group
``kwaflux.effects`` whose value is its package (``my_show.grade_match``). Nothing else is touched
to add one.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, cast

from kwaflux_core.card import Card
from kwaflux_core.errors import ModelError, UnknownEffect, WeightsInvalid

if TYPE_CHECKING:
    from kwaflux_models.effect import Effect

__all__ = ["ENTRY_POINT_GROUP", "InstalledEffect", "Registry"]

ENTRY_POINT_GROUP = "kwaflux.effects"
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class InstalledEffect:
    """Point at one installed effect.

    Args:
        card: What the effect says of itself.
        package: The dotted name of its package; ``<package>.effect`` holds the code.
        folder: Where ``card.json`` lies.
    """

    card: Card
    package: str
    folder: Path

    def weight_files(self) -> tuple[Path, ...]:
        """Return the paths of the weights, in the card's order.

        They lie beside the card or, for the effects that ship with Kwaflux, in ``weights/``.

        Raises:
            WeightsInvalid: A file is missing.
        """
        return tuple(self._locate(weights.file) for weights in self.card.weights)

    def verified_weight_files(self) -> tuple[Path, ...]:
        """Return the paths of the weights after their hashes were checked.

        Raises:
            WeightsInvalid: A file is missing, or its SHA-256 is not the card's.
        """
        paths = self.weight_files()
        for path, weights in zip(paths, self.card.weights, strict=True):
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != weights.sha256:
                raise WeightsInvalid(
                    f"{path.name} of effect {self.card.id!r} is not the file its card names "
                    f"(SHA-256 {found[:12]}, wanted {weights.sha256[:12]})",
                    hint="install Kwaflux again; the file is truncated or was altered",
                    effect=self.card.id,
                )
        return paths

    def load(self) -> Effect:
        """Import the effect's code and return its ``EFFECT``. Imports torch.

        Raises:
            ModelError: The package has no ``effect.EFFECT``.
        """
        try:
            module = importlib.import_module(f"{self.package}.effect")
            return cast("Effect", module.EFFECT)
        except (ImportError, AttributeError) as error:
            raise ModelError(
                f"the code of effect {self.card.id!r} cannot be loaded: {error}",
                hint=f"{self.package}.effect must define EFFECT",
                effect=self.card.id,
            ) from error

    def _locate(self, name: str) -> Path:
        for folder in (self.folder, _HERE / "weights"):
            path = folder / name
            if path.is_file():
                return path
        raise WeightsInvalid(
            f"{name}, the weights of effect {self.card.id!r}, are not installed",
            hint="install Kwaflux again: its wheel brings them",
            effect=self.card.id,
        )


class Registry:
    """Hold the installed effects under their ids.

    A folder or entry point that cannot be read is left out and its error kept in ``broken``: one
    bad effect must not take the others away.
    """

    def __init__(
        self, effects: Mapping[str, InstalledEffect], *, broken: Mapping[str, ModelError]
    ) -> None:
        self._effects = dict(sorted(effects.items()))
        self.broken = dict(broken)

    @classmethod
    def discover(cls) -> Registry:
        """Return every effect found in this package and through entry points."""
        effects: dict[str, InstalledEffect] = {}
        broken: dict[str, ModelError] = {}
        for package, folder in (*_own_folders(), *_entry_point_folders(broken)):
            try:
                card = Card.from_json((folder / "card.json").read_text(encoding="utf-8"))
                if card.id in effects:
                    raise ModelError(
                        f"{package} brings an effect {card.id!r}, which "
                        f"{effects[card.id].package} already is",
                        hint="remove one of the two",
                    )
            except ModelError as error:
                broken[package] = error
            except OSError as error:
                broken[package] = ModelError(f"{package} has no readable card.json: {error}")
            else:
                effects[card.id] = InstalledEffect(card, package, folder)
        return cls(effects, broken=broken)

    @property
    def cards(self) -> Mapping[str, Card]:
        """The cards under their ids, in alphabetical order."""
        return {name: effect.card for name, effect in self._effects.items()}

    def __getitem__(self, name: str) -> InstalledEffect:
        if name not in self._effects:
            raise UnknownEffect(
                f"there is no effect {name!r}",
                hint=f"installed are: {', '.join(self._effects)}",
                effect=name,
            )
        return self._effects[name]


def _own_folders() -> list[tuple[str, Path]]:
    return [
        (f"kwaflux_models.{card.parent.name}", card.parent)
        for card in sorted(_HERE.glob("*/card.json"))
    ]


def _entry_point_folders(broken: dict[str, ModelError]) -> list[tuple[str, Path]]:
    found = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            spec = importlib.util.find_spec(entry.value)
        except ImportError as error:
            broken[entry.value] = ModelError(f"{entry.value} cannot be imported: {error}")
            continue
        if spec is None or not spec.submodule_search_locations:
            broken[entry.value] = ModelError(
                f"the entry point {entry.name!r} names {entry.value!r}, which is no package",
                hint="name the package that holds card.json and effect.py",
            )
            continue
        found.append((entry.value, Path(next(iter(spec.submodule_search_locations)))))
    return found
