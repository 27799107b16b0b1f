"""The registry of installed effects: their cards, code and weights.

An effect is a folder with ``card.json`` and ``effect.py``. Every such folder beside this file is an
effect; one from another distribution is named by an entry point of the group ``kwaflux.effects``
whose value is its package (``my_show.grade_match``). Nothing else is touched to add one. A
checkpoint that the user added (``kwaflux models add``) is a folder with ``card.json`` in the user's
models folder; ``kwaflux_models.effects.external`` is the code of all of those.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from kwaflux_core.errors import ModelError, UnknownEffect, WeightsInvalid
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.preset import Preset, named_flows
from kwaflux_models.catalog.preset_files import read_presets
from kwaflux_models.catalog.user_models import OwnModels, own_models

if TYPE_CHECKING:
    from kwaflux_models.rendering.effect_api import Effect

__all__ = ["ENTRY_POINT_GROUP", "EXTERNAL_PACKAGE", "InstalledEffect", "Registry"]

ENTRY_POINT_GROUP = "kwaflux.effects"
EXTERNAL_PACKAGE = "kwaflux_models.effects.external"
"""The code of every effect in the user's models folder."""

_PACKAGE_FOLDER = Path(__file__).parents[1]
_NO_PRESETS: Mapping[str, Preset] = MappingProxyType({})


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

    @property
    def is_own(self) -> bool:
        """Whether it lies in the user's models folder."""
        return self.package == EXTERNAL_PACKAGE

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
                    hint=f"{self._again}; the file is truncated or was altered",
                    effect=self.card.id,
                )
        return paths

    def load(self) -> Effect:
        """Import the effect's code and return its ``EFFECT``. Imports torch.

        Raises:
            ModelError: The package has no ``effect.EFFECT``, or its card says otherwise than its
                code whether it measures.
        """
        try:
            effect = importlib.import_module(f"{self.package}.effect").EFFECT
        except (ImportError, AttributeError) as error:
            raise ModelError(
                f"the code of effect {self.card.id!r} cannot be loaded: {error}",
                hint=f"{self.package}.effect must define EFFECT",
                effect=self.card.id,
            ) from error
        if hasattr(effect, "measure") != self.card.measures:
            raise ModelError(
                f"the card of effect {self.card.id!r} and its code differ on whether it measures",
                hint='write "measures": true into the card of an effect that has measure()',
                effect=self.card.id,
            )
        return cast("Effect", effect)

    def _locate(self, name: str) -> Path:
        for folder in (self.folder, _PACKAGE_FOLDER / "weights"):
            path = folder / name
            if path.is_file():
                return path
        raise WeightsInvalid(
            f"{name}, the weights of effect {self.card.id!r}, are not installed",
            hint=f"{self._again}: that brings them",
            effect=self.card.id,
        )

    @property
    def _again(self) -> str:
        return "add the checkpoint again" if self.is_own else "install Kwaflux again"


class Registry:
    """Hold the installed effects and presets under their ids.

    A folder, preset or entry point that cannot be read is left out and its error kept in
    ``broken``: one bad effect must not take the others away.
    """

    def __init__(
        self,
        effects: Mapping[str, InstalledEffect],
        *,
        broken: Mapping[str, ModelError],
        presets: Mapping[str, Preset] = _NO_PRESETS,
        own: OwnModels | None = None,
    ) -> None:
        self._effects = dict(sorted(effects.items()))
        self.broken = dict(broken)
        self.presets = dict(sorted(presets.items()))
        self.named_flows = named_flows(self.presets.values())
        self.own = own

    @classmethod
    def discover(cls, *, own: OwnModels | None = None) -> Registry:
        """Return every effect of this package, of entry points and of the user's models folder.

        Args:
            own: The user's models; None: where the settings say they are.

        Raises:
            SettingsError: The settings that say it cannot be read.
        """
        return cls._of_folders(own or own_models())

    @classmethod
    def of_packages(cls) -> Registry:
        """Return the effects of this package and of entry points, without the user's own."""
        return cls._of_folders(None)

    @classmethod
    def _of_folders(cls, own: OwnModels | None) -> Registry:
        effects: dict[str, InstalledEffect] = {}
        broken: dict[str, ModelError] = {}
        added = [] if own is None else own.effect_folders()
        found = (
            *_own_folders(),
            *_entry_point_folders(broken),
            *((EXTERNAL_PACKAGE, folder) for folder in added),
        )
        for package, folder in found:
            name = str(folder) if package == EXTERNAL_PACKAGE else package
            try:
                card = Card.from_json((folder / "card.json").read_text(encoding="utf-8"))
                if card.id in effects:
                    raise ModelError(
                        f"{name} brings an effect {card.id!r}, which "
                        f"{effects[card.id].package} already is",
                        hint="remove one of the two",
                    )
            except ModelError as error:
                broken[name] = error
            except (OSError, UnicodeDecodeError) as error:
                broken[name] = ModelError(f"{name} has no readable card.json: {error}")
            else:
                effects[card.id] = InstalledEffect(card, package, folder)
        cards = {name: effect.card for name, effect in effects.items()}
        return cls(effects, broken=broken, presets=read_presets(cards, broken), own=own)

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
        (f"kwaflux_models.effects.{card.parent.name}", card.parent)
        for card in sorted(_PACKAGE_FOLDER.glob("effects/*/card.json"))
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
