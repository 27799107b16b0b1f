"""The user's own models: effects and LoRAs in the models folder, added and removed whole.

The folder holds::

    <models_dir>/effects/<id>/       card.json, weights; run by kwaflux_models.effects.external
    <models_dir>/loras/<effect>/     <name>.safetensors
    <models_dir>/downloads/          what is being fetched
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kwaflux_core.errors import ModelError, WeightsInvalid
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.lora_spec import LORA_NAME, LoraUse, lora_error
from kwaflux_core.settings.settings import load_models_dir, settings_file
from kwaflux_core.suggestions import suggestion
from kwaflux_models.catalog.safetensors_header import Header, parse_header, read_bytes

__all__ = [
    "LORA_BYTES_MAX",
    "LORA_FORMAT",
    "LoraFile",
    "OwnModels",
    "base_hash",
    "check_lora_notes",
    "own_models",
]

LORA_FORMAT = "kwaflux-lora/1"
LORA_BYTES_MAX = 16 << 20
_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class LoraFile:
    """Point at an installed LoRA.

    Args:
        effect: The id of the effect it was trained for.
        name: What it is called in a flow.
        path: The file.
    """

    effect: str
    name: str
    path: Path

    def read(self) -> tuple[bytes, Header]:
        """Return the file's bytes and its header, checked as far as that goes without torch.

        Raises:
            WeightsInvalid: It is damaged, altered, no LoRA, or one for another effect.
        """
        data = read_bytes(self.path, bytes_max=LORA_BYTES_MAX)
        header = parse_header(data, name=self.path.name)
        check_lora_notes(header, name=self.path.name, effect=self.effect)
        return data, header

    def sha256(self) -> str:
        """Return the SHA-256 of the file's bytes.

        Raises:
            WeightsInvalid: It cannot be read.
        """
        return hashlib.sha256(read_bytes(self.path, bytes_max=LORA_BYTES_MAX)).hexdigest()


@dataclass(frozen=True, slots=True)
class OwnModels:
    """Know a folder of the user's own models; it need not be there."""

    folder: Path

    @property
    def effects_folder(self) -> Path:
        """Where each effect has a folder under its id."""
        return self.folder / "effects"

    @property
    def downloads_folder(self) -> Path:
        """Where files lie that are being fetched."""
        return self.folder / "downloads"

    def effect_folders(self) -> list[Path]:
        """Return the folders that hold a card, in alphabetical order."""
        return sorted(card.parent for card in self.effects_folder.glob("[!.]*/card.json"))

    def loras(self, effect: str = "") -> list[LoraFile]:
        """Return the LoRAs of an effect, or of every effect, in alphabetical order."""
        found = sorted((self.folder / "loras").glob(f"{effect or '[!.]*'}/*{_SUFFIX}"))
        files = (LoraFile(path.parent.name, path.stem, path) for path in found)
        return [file for file in files if LORA_NAME.fullmatch(file.name)]

    def lora_path(self, effect: str, name: str) -> Path:
        """Return where a LoRA of that name belongs."""
        return self.folder / "loras" / effect / f"{name}{_SUFFIX}"

    def find_lora(self, effect: str, use: LoraUse, *, param: str, text: str) -> LoraFile:
        """Return the LoRA that a param names.

        Args:
            effect: The effect's id.
            use: The name, and its column.
            param: The param's name, for the error.
            text: Its whole text, likewise.

        Raises:
            ParamError: There is none of that name; points at its column in the text.
        """
        path = self.lora_path(effect, use.name)
        if not path.is_file():
            hint = suggestion(
                use.name,
                [file.name for file in self.loras(effect)],
                kind=f"the LoRAs of {effect}",
            )
            message = f"{effect} has no LoRA {use.name!r}"
            raise lora_error(message, hint, text, use.column, param=param)
        return LoraFile(effect, use.name, path)

    @contextlib.contextmanager
    def installing(self, target: Path, *, replaces: bool = False) -> Iterator[Path]:
        """Lend a folder beside the target; what is left in it replaces the target at the end.

        A file target takes the file of its own name. If the block raises, nothing stands under
        the target's name that was not there before.

        Args:
            target: A file or folder inside the models folder.
            replaces: Whether a target that is there may go.

        Raises:
            ModelError: The target is there and may not go, or the folder cannot be written.
        """
        self._refuse_occupied(target, replaces=replaces)
        staging = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}"
        try:
            staging.mkdir(parents=True)
            yield staging
            self._refuse_occupied(target, replaces=replaces)
            _flush(staging)
            made = staging / target.name
            if not made.exists():
                made = staging
            if target.is_dir():
                _retire(target)
            made.replace(target)
        except OSError as error:
            raise ModelError(
                f"{target} cannot be installed: {error.strerror or error}",
                hint="look at the disk and the folder's permissions",
                path=str(target),
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def remove(self, target: Path) -> None:
        """Remove an effect's folder or a LoRA's file, at once.

        Raises:
            ModelError: It cannot be removed.
        """
        try:
            if target.is_dir():
                _retire(target)
            else:
                target.unlink()
        except OSError as error:
            raise ModelError(
                f"{target} cannot be removed: {error.strerror or error}", path=str(target)
            ) from error

    @staticmethod
    def _refuse_occupied(target: Path, *, replaces: bool) -> None:
        if target.exists() and not replaces:
            raise ModelError(
                f"{target.stem!r} is installed already, at {target}",
                hint="choose another name, remove it first, or say --replace",
                path=str(target),
            )


def own_models(environ: Mapping[str, str] = os.environ) -> OwnModels:
    """Return the user's own models, wherever the settings say they are.

    Raises:
        SettingsError: The settings cannot be read.
    """
    return OwnModels(load_models_dir(environ=environ, file=settings_file(environ)))


def base_hash(card: Card) -> str:
    """Return the hash by which a LoRA knows its base: that of the card's weights."""
    return hashlib.sha256("".join(w.sha256 for w in card.weights).encode()).hexdigest()


def check_lora_notes(header: Header, *, name: str, effect: str) -> None:
    """Check that a file is a LoRA, unaltered, and for an effect.

    Raises:
        WeightsInvalid: It is not.
    """
    notes = header.notes
    if notes.get("format") != LORA_FORMAT:
        raise WeightsInvalid(
            f"{name} is no LoRA of Kwaflux",
            hint=f"its notes must hold the format {LORA_FORMAT!r}; train one: kwaflux models lora",
            file=name,
        )
    if notes.get("payload_sha256") != header.payload_sha256:
        raise WeightsInvalid(
            f"the tensors of {name} are not those it was written with",
            hint="the file was damaged or altered: copy it again, or train it anew",
            file=name,
        )
    if notes.get("effect") != effect:
        raise WeightsInvalid(
            f"{name} was trained for the effect {notes.get('effect', '')[:60]!r}, not {effect!r}",
            hint="name it in a flow with that effect",
            file=name,
        )


def _retire(folder: Path) -> None:
    """Take a folder away under its name in one step, then delete what is in it."""
    gone = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:12]}"
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
