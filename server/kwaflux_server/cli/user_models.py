"""``kwaflux models``: add, fetch, list, verify and remove a user's own models."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from kwaflux_core.errors import KwafluxError, ModelError, RequestError, WeightsInvalid
from kwaflux_core.suggestions import suggestion
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.catalog.user_models import LoraFile, OwnModels, base_hash
from kwaflux_models.effects.external.download import Pull, pull
from kwaflux_server.cli.console import OUT, say_json
from kwaflux_server.cli.models import models, run_module
from kwaflux_server.cli.options import AsJson

__all__ = ["OwnRow", "models", "rows_of"]

_ADD = "kwaflux_models.effects.external.add"
_LORA = "kwaflux_models.training.lora.command"
_PASSING = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}
_Name = Annotated[
    str, typer.Argument(help="An effect of your own, or EFFECT/NAME for a LoRA. Default: all.")
]


@dataclass(frozen=True, slots=True)
class OwnRow:
    """Describe one effect or LoRA of the user; every field is text for the table."""

    name: str
    kind: str
    size_bytes: int
    licence: str
    about: str
    problem: str = ""


@models.command("lora", context_settings=_PASSING)
def _lora(context: typer.Context) -> None:
    """Train a LoRA for a show (EFFECT --pairs DEGRADED CLEAN --name NAME --minutes M)."""
    needs = ("torch", "safetensors", "numpy", "skimage")
    raise typer.Exit(run_module(_LORA, context.args, needs=needs))


@models.command("add", context_settings=_PASSING)
def _add(context: typer.Context) -> None:
    """Install a checkpoint of your own, or a LoRA (FILE --id NAME --licence LICENCE)."""
    raise typer.Exit(run_module(_ADD, context.args, needs=("torch", "safetensors")))


@models.command("pull", context_settings={**_PASSING, "help_option_names": ["--help"]})
def _pull(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="https://, http://, file:// or a path.")],
    *,
    sha256: Annotated[str, typer.Option(help="SHA-256 of the file, as published by its author.")],
    as_json: AsJson = False,
) -> None:
    """Fetch a file, verify it, and add it; other arguments are passed on to ``models add``."""
    own = _own(Registry.discover())
    request = Pull(address=address, sha256=sha256)
    with Progress(
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=OUT,
        disable=as_json,
    ) as progress:
        task = progress.add_task(request.name, total=None)

        def say(there: int, total: int) -> None:
            progress.update(task, completed=there, total=total or None)

        path = pull(request, own.downloads_folder, say=say)
    passed = [*context.args, *(["--json"] if as_json else [])]
    status = run_module(_ADD, [str(path), *passed], needs=("torch", "safetensors"))
    if status == 0:
        shutil.rmtree(path.parent, ignore_errors=True)
    raise typer.Exit(status)


@models.command("list")
def _list(*, as_json: AsJson = False) -> None:
    """List your own effects and LoRAs, and their folder."""
    registry = Registry.discover()
    own = _own(registry)
    rows = rows_of(registry, own)
    if as_json:
        OUT.print_json(data={"folder": str(own.folder), "models": [asdict(row) for row in rows]})
        return
    OUT.print(
        f"in {own.folder}:" if rows else f"no models of your own in {own.folder}", markup=False
    )
    _show(rows)


@models.command("verify")
def _verify(name: _Name = "", *, as_json: AsJson = False) -> None:
    """Check that your own effects and LoRAs are complete and unchanged since installation."""
    registry = Registry.discover()
    rows = rows_of(registry, _own(registry), is_thorough=True)
    rows = [row for row in rows if not name or row.name == name]
    if name and not rows:
        raise _unknown(name, registry)
    for row in rows:
        if as_json:
            say_json("verified", **asdict(row), is_good=not row.problem)
        else:
            OUT.print(f"{row.name}: {row.problem or 'good'}", markup=False)
    if any(row.problem for row in rows):
        raise typer.Exit(1)


@models.command("remove")
def _remove(
    name: Annotated[str, typer.Argument(help="An effect of your own, or EFFECT/NAME.")],
) -> None:
    """Remove an effect or a LoRA of your own."""
    registry = Registry.discover()
    own = _own(registry)
    effect, _, lora = name.partition("/")
    loras = {file.name: file for file in own.loras(effect)} if lora else {}
    folders = {folder.name: folder for folder in own.effect_folders()}
    if lora in loras:
        own.remove(loras[lora].path)
    elif not lora and effect in folders:
        own.remove(folders[effect])
    else:
        raise _unknown(name, registry)
    OUT.print(f"removed {name}", markup=False)


def rows_of(registry: Registry, own: OwnModels, *, is_thorough: bool = False) -> list[OwnRow]:
    """Return a row for every effect and LoRA in the user's folder, broken ones too.

    Args:
        registry: The installed effects.
        own: The user's models.
        is_thorough: Whether to hash the weights, which reads every file.
    """
    rows = [
        _effect_row(registry, name, is_thorough=is_thorough)
        for name in registry.cards
        if registry[name].is_own
    ]
    rows += [
        OwnRow(folder.name, "effect", 0, "", "", problem=registry.broken[str(folder)].message)
        for folder in own.effect_folders()
        if str(folder) in registry.broken
    ]
    return [*rows, *(_lora_row(registry, file) for file in own.loras())]


def _effect_row(registry: Registry, name: str, *, is_thorough: bool) -> OwnRow:
    installed, problem, size_bytes = registry[name], "", 0
    try:
        paths = installed.verified_weight_files() if is_thorough else installed.weight_files()
        size_bytes = sum(path.stat().st_size for path in paths)
    except KwafluxError as error:
        problem = error.message
    licences = ", ".join(sorted({weights.licence for weights in installed.card.weights}))
    return OwnRow(name, "effect", size_bytes, licences, installed.card.for_what, problem)


def _lora_row(registry: Registry, file: LoraFile) -> OwnRow:
    name, problem, about, size_bytes = f"{file.effect}/{file.name}", "", "", 0
    try:
        data, header = file.read()
        size_bytes = len(data)
        about = f"rank {header.notes.get('rank', '?')}, {header.notes.get('pairs', '?')} pairs"
        if header.notes.get("base_sha256") != base_hash(registry[file.effect].card):
            raise WeightsInvalid(f"it was trained on other weights of {file.effect!r}")
    except KwafluxError as error:
        problem = error.message
    return OwnRow(name, "LoRA", size_bytes, "", about, problem)


def _show(rows: list[OwnRow]) -> None:
    if not rows:
        return
    table = Table("name", "kind", "size", "licence", "about", box=None, pad_edge=False)
    for row in rows:
        size = f"{row.size_bytes / 1e6:.2f} MB"
        table.add_row(row.name, row.kind, size, row.licence, row.problem or row.about)
    OUT.print(table, markup=False)


def _own(registry: Registry) -> OwnModels:
    if registry.own is None:
        raise ModelError("there is no models folder")
    return registry.own


def _unknown(name: str, registry: Registry) -> RequestError:
    names = [row.name for row in rows_of(registry, _own(registry))]
    return RequestError(
        f"you have no model {name[:80]!r} of your own",
        hint=suggestion(name, names, kind="the models"),
    )
