"""Install a checkpoint or a LoRA: ``python -m kwaflux_models.effects.external.add FILE``.

What is installed is never the stranger's file: its tensors are written anew, as safetensors, with a
card beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safetensors.torch import save
from torch import Tensor

from kwaflux_core.errors import KwafluxError, ModelError, RequestError, WeightsInvalid, to_wire
from kwaflux_core.flows.lora_spec import LORA_NAME
from kwaflux_models.catalog.lora_merge import merged, parse_lora, require_loras_param
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.catalog.safetensors_header import in_one_order, parse_header, read_bytes
from kwaflux_models.catalog.user_models import LORA_FORMAT, OwnModels
from kwaflux_models.effects.external.architectures import Descriptor, describe, read_tensors
from kwaflux_models.effects.external.effect import ExternalNetwork, Habits
from kwaflux_models.effects.external.make_card import Findings, card_of
from kwaflux_models.effects.external.receptive_field import measure_reach
from kwaflux_models.rendering.display_curves_tensor import Encoding

__all__ = ["AddOrder", "Added", "add_checkpoint", "add_lora", "main"]

_ID = re.compile(r"[a-z][a-z0-9_]{0,62}")
_BYTES_MAX = 8 << 30
_WEIGHTS = "weights.safetensors"
_SCALES = (1, 2, 3, 4, 8, 16)
_USUAL = Habits()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOrder:
    """Say what is to be installed, and what can't be found out.

    Args:
        file: The checkpoint, or a LoRA of Kwaflux.
        name: The effect's id, or the LoRA's name; empty to take the file's.
        label: What a host shows; empty to make it of the id.
        licence: Of the weights; empty when it is not known.
        for_what: What it is good for, in the user's words.
        habits: How the network reads numbers.
        scale: What the scale must be; 0 for what is found.
        halo_max_px: The largest context of a tile that is tried.
        accepts_seams: Whether a network that looks at the whole picture may be installed.
        replaces: Whether an effect or LoRA of that name may be replaced.
    """

    file: Path
    name: str = ""
    label: str = ""
    licence: str = ""
    for_what: str = ""
    habits: Habits = _USUAL
    scale: int = 0
    halo_max_px: int = 256
    accepts_seams: bool = False
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """Tell what was installed, where, and what the user should know."""

    name: str
    path: Path
    facts: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def add_checkpoint(order: AddOrder, *, registry: Registry, own: OwnModels) -> Added:
    """Install a checkpoint as an effect.

    Raises:
        KwafluxError: A file that cannot be used, an id that is taken, a network without a halo, or
            another scale than was said. Nothing is installed then.
    """
    name = order.name or _id_of(order.file)
    _check_id(name, registry, replaces=order.replaces)
    tensors = read_tensors(order.file)
    network = describe(tensors, name=order.file.name)
    external = ExternalNetwork(network, order.habits)
    if order.scale not in (0, network.scale) or network.scale not in _SCALES:
        raise ModelError(
            f"{order.file.name} enlarges {network.scale} times"
            + (f", not {order.scale} times" if order.scale else ""),
            hint=f"scales are {', '.join(map(str, _SCALES))}; leave --scale out to take what it is",
        )
    findings = _findings(order, external, network)
    data = _spelled(tensors, order.habits)
    card = card_of(name, findings, order.label, sha256=hashlib.sha256(data).hexdigest())
    target = own.effects_folder / name
    with own.installing(target, replaces=order.replaces) as staging:
        (staging / _WEIGHTS).write_bytes(data)
        (staging / "card.json").write_text(card.to_json(), encoding="utf-8")
    return Added(name, target, findings.facts(), findings.warnings())


def add_lora(order: AddOrder, *, registry: Registry, own: OwnModels) -> Added:
    """Install a LoRA that somebody else trained.

    Raises:
        KwafluxError: A file that is damaged or for another base, or a name that is taken. Nothing
            is installed then.
    """
    name = order.name or order.file.stem
    if not LORA_NAME.fullmatch(name):
        raise RequestError(
            f"{name[:80]!r} is no name for a LoRA",
            hint="say --id NAME, of letters, digits, underscores and hyphens",
        )
    data = read_bytes(order.file, bytes_max=_BYTES_MAX)
    notes = parse_header(data, name=order.file.name).notes
    installed = registry[notes.get("effect", "")]
    lora = parse_lora(data, name=order.file.name, card=installed.card)
    param = require_loras_param(installed.card).name
    network = installed.load().build(installed.verified_weight_files())
    merged(network, [(lora, 1.0)], name=order.file.name)
    target = own.lora_path(installed.card.id, name)
    with own.installing(target, replaces=order.replaces) as staging:
        (staging / target.name).write_bytes(data)
    effect = installed.card.id
    return Added(name, target, (f"a LoRA for {effect}; use it: {effect}({param}={name})",))


def _findings(order: AddOrder, external: ExternalNetwork, network: Descriptor) -> Findings:
    rules = network.size_requirements
    reach = measure_reach(
        network,
        channels=network.input_channels,
        scale=network.scale,
        multiple_px=rules.multiple_of,
        halo_max_px=order.halo_max_px,
    )
    if not reach.is_bounded and not order.accepts_seams:
        raise ModelError(
            f"{order.file.name} ({network.architecture.name}) looks at the whole picture: with "
            f"{reach.halo_px} pixels of context a tile still differs by {reach.difference:.2g}",
            hint="its tiles would show seams; say --accept-seams to install it all the same",
        )
    return Findings(
        file=order.file.name,
        sha256=_digest(order.file),
        architecture=network.architecture.name,
        tags=tuple(network.tags),
        scale=external.scale,
        channels=network.input_channels,
        habits=order.habits,
        reach=reach,
        licence=order.licence,
        for_what=order.for_what,
        parameters=sum(parameter.numel() for parameter in external.parameters()),
    )


def _spelled(tensors: dict[str, Tensor], habits: Habits) -> bytes:
    own = {key: tensor.detach().clone().contiguous() for key, tensor in tensors.items()}
    return in_one_order(save(own, metadata=habits.notes()))


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise WeightsInvalid(f"{file} cannot be read: {error.strerror}") from error


def _id_of(file: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", file.stem.lower()).strip("_")
    return name if name[:1].isalpha() else f"net_{name}"


def _check_id(name: str, registry: Registry, *, replaces: bool) -> None:
    if not _ID.fullmatch(name):
        raise RequestError(
            f"{name[:80]!r} is no id for an effect",
            hint="say --id NAME, of lower case letters, digits and underscores",
        )
    if name in registry.presets:
        raise ModelError(f"{name!r} is the name of a preset", hint="say --id with another name")
    if name in registry.cards and not (registry[name].is_own and replaces):
        is_own = registry[name].is_own
        raise ModelError(
            f"there is an effect {name!r} already",
            hint="say --id with another name" + (", or --replace" if is_own else ""),
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    found = _parser().parse_args(arguments)
    try:
        order = AddOrder(
            file=found.file,
            name=found.id,
            label=found.label,
            licence=found.licence,
            for_what=found.for_what,
            habits=Habits(cast(Encoding, found.encoding), found.peak),
            scale=found.scale,
            halo_max_px=found.halo_max,
            accepts_seams=found.accept_seams,
            replaces=found.replace,
        )
        registry = Registry.discover()
        if registry.own is None:
            raise ModelError("there is no models folder to install into")
        add = add_lora if _is_lora(order.file) else add_checkpoint
        added = add(order, registry=registry, own=registry.own)
    except KwafluxError as error:
        if found.json:
            sys.stdout.write(json.dumps({"event": "error", **to_wire(error)}) + "\n")
        else:
            sys.stderr.write(f"kwaflux: {error.message}\n{error.hint}\n")
        return 2
    _say(added, is_json=found.json)
    return 0


def _is_lora(file: Path) -> bool:
    if file.suffix.lower() != ".safetensors":
        return False
    header = parse_header(read_bytes(file, bytes_max=_BYTES_MAX), name=file.name)
    return header.notes.get("format") == LORA_FORMAT


def _say(added: Added, *, is_json: bool) -> None:
    if is_json:
        event = {
            "event": "done",
            "name": added.name,
            "path": str(added.path),
            "facts": added.facts,
            "warnings": added.warnings,
        }
        sys.stdout.write(json.dumps(event) + "\n")
        return
    lines = [f"{added.name} is installed: {added.path}", *(f"  {fact}" for fact in added.facts)]
    lines += [f"  mind: {warning}" for warning in added.warnings]
    sys.stdout.write("\n".join(lines) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwaflux models add", description="Install a checkpoint of your own, or a LoRA."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--id", default="")
    parser.add_argument("--label", default="")
    parser.add_argument("--licence", default="")
    parser.add_argument("--for-what", default="")
    parser.add_argument("--encoding", choices=("srgb", "bt709", "linear"), default="srgb")
    parser.add_argument("--peak", type=float, default=1.0)
    parser.add_argument("--scale", type=int, default=0)
    parser.add_argument("--halo-max", type=int, default=256)
    parser.add_argument("--accept-seams", action="store_true")
    parser.add_argument("--replace", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
