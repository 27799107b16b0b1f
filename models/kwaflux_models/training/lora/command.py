"""Train a LoRA for a show: ``kwaflux models lora EFFECT --pairs A B --name N``.

A file is installed only when it is whole, was read back, and is better than the base on what was
held out.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import KwafluxError, ModelError, RequestError, to_wire
from kwaflux_core.flows.lora_spec import LORA_NAME
from kwaflux_models.catalog.lora_merge import merged, parse_lora, require_loras_param, spelled_lora
from kwaflux_models.catalog.registry import InstalledEffect, Registry
from kwaflux_models.catalog.user_models import OwnModels
from kwaflux_models.rendering.device import Device
from kwaflux_models.training.lora.fit import Fit, FitOptions, Score, Step
from kwaflux_models.training.lora.layers import Adapter, fitting_rank
from kwaflux_models.training.lora.pairs import Clip, read_pairs, split

__all__ = ["LORA_FILE_BYTES", "LoraOrder", "LoraReport", "main", "train_lora"]

LORA_FILE_BYTES = 195_000
"""What a file may take; a rank that would need more is lowered."""
_RANK_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOrder:
    """Say what is to be trained.

    Args:
        effect: The effect's id.
        degraded: Pattern of the frames as they came.
        clean: Pattern of what they should be.
        name: What the LoRA is called in a flow.
        rank: Of its factors, 1 to 32; lowered where the file would be too large.
        options: How to train.
        colorspace: What the files' numbers mean; empty for what they say themselves.
        replaces: Whether a LoRA of that name may be replaced.
    """

    effect: str
    degraded: str
    clean: str
    name: str
    rank: int = 4
    options: FitOptions
    colorspace: str = ""
    replaces: bool = False

    def __post_init__(self) -> None:
        if not LORA_NAME.fullmatch(self.name):
            raise RequestError(
                f"{self.name[:80]!r} is no name for a LoRA",
                hint="use letters, digits, underscores and hyphens, at most 64",
            )
        if not 1 <= self.rank <= _RANK_MAX:
            raise RequestError(f"the rank is {self.rank}", hint=f"give 1 to {_RANK_MAX}")


@dataclass(frozen=True, slots=True)
class LoraReport:
    """Tell what came out, judged on what was held out, by the file as it is installed."""

    path: Path
    size_bytes: int
    rank: int
    seconds: float
    before: Score
    base: Score
    adapted: Score


def train_lora(
    order: LoraOrder,
    *,
    registry: Registry,
    own: OwnModels,
    device: Device,
    clock: Callable[[], float],
    say: Callable[[Step], None],
) -> LoraReport:
    """Train a LoRA and install it.

    Args:
        order: What to train.
        registry: The installed effects.
        own: Where it is installed.
        device: Where it is trained.
        clock: Monotonic seconds.
        say: Told how far it is, now and then.

    Raises:
        KwafluxError: Pairs that cannot be read or do not match, an effect that is not there or
            takes no LoRA, a name that is taken, or a LoRA that is no better than the base. Nothing
            is installed then.
    """
    installed = registry[order.effect]
    card = installed.card
    require_loras_param(card)
    target = own.lora_path(card.id, order.name)
    if target.exists() and not order.replaces:
        raise ModelError(
            f"{card.id} has a LoRA {order.name!r} already",
            hint="choose another name, or say --replace",
            path=str(target),
        )
    clip = read_pairs(
        order.degraded,
        order.clean,
        card=card,
        config=ColorConfig.default(),
        colorspace=order.colorspace,
    )
    return _Run(order, installed, clip, device=device, clock=clock).train(own, say)


class _Run:
    """One training, from the loaded pairs on."""

    def __init__(
        self,
        order: LoraOrder,
        installed: InstalledEffect,
        clip: Clip,
        *,
        device: Device,
        clock: Callable[[], float],
    ) -> None:
        self._order, self._installed, self._clip = order, installed, clip
        self._card, self._device, self._clock = installed.card, device, clock
        self._effect = installed.load()

    def train(self, own: OwnModels, say: Callable[[Step], None]) -> LoraReport:
        order, begin = self._order, self._clock()
        network = self._network()
        rank = fitting_rank(network, rank=order.rank, bytes_max=LORA_FILE_BYTES)
        torch.manual_seed(order.options.seed)
        fit = self._fit(network)
        before, base = fit.judge_input(), fit.judge()
        say(Step(0, 0.0, 0.0, base))
        tensors = fit.run(Adapter(network, rank=rank), order.options, clock=self._clock, say=say)
        seconds = self._clock() - begin
        data = spelled_lora(tensors, card=self._card, notes=self._notes(rank, seconds, base))
        lora = parse_lora(data, name=order.name, card=self._card)
        adapted = self._fit(merged(self._network(), [(lora, 1.0)], name=order.name)).judge()
        if not adapted.beats(base):
            raise ModelError(
                f"the LoRA is no better than the base: {adapted.psnr_db:.2f} dB and "
                f"{base.psnr_db:.2f} dB on what was held out",
                hint="give more pairs or more minutes, and check that the pairs show the same",
            )
        path = _install(
            own, own.lora_path(self._card.id, order.name), data, replaces=order.replaces
        )
        return LoraReport(path, len(data), rank, seconds, before, base, adapted)

    def _network(self) -> nn.Module:
        network = self._effect.build(self._installed.verified_weight_files()).eval()
        moved: nn.Module = network.to(self._device.torch)
        return moved

    def _fit(self, network: nn.Module) -> Fit:
        align = self._card.align_px
        gap = -(-self._card.halo_px // align) * align
        return Fit(
            self._effect,
            card=self._card,
            network=network,
            clip=self._clip,
            areas=split(self._clip, align_px=align, gap_px=gap),
            device=self._device.torch,
        )

    def _notes(self, rank: int, seconds: float, base: Score) -> dict[str, str]:
        options = self._order.options
        recipe = {
            "learning_rate": options.learning_rate,
            "batch": options.batch,
            "seed": options.seed,
            "minutes": round(seconds / 60, 2),
            "base_psnr_db": round(base.psnr_db, 3),
        }
        return {
            "rank": str(rank),
            "pairs": str(len(self._clip.pairs)),
            "recipe": json.dumps(recipe, sort_keys=True),
            "created_by": f"kwaflux {_version()}",
        }


def _install(own: OwnModels, path: Path, data: bytes, *, replaces: bool) -> Path:
    with own.installing(path, replaces=replaces) as staging:
        (staging / path.name).write_bytes(data)
    return path


def _version() -> str:
    try:
        return version("kwaflux")
    except PackageNotFoundError:
        return "0+unknown"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    found = _parser().parse_args(arguments)
    logging.basicConfig(level="WARNING", stream=sys.stderr)
    try:
        if found.threads:
            torch.set_num_threads(found.threads)
        order = LoraOrder(
            effect=found.effect,
            degraded=found.pairs[0],
            clean=found.pairs[1],
            name=found.name,
            rank=found.rank,
            options=FitOptions(
                found.minutes * 60,
                steps_max=found.steps,
                seed=found.seed,
                learning_rate=found.learning_rate,
            ),
            colorspace=found.colorspace,
            replaces=found.replace,
        )
        registry = Registry.discover()
        if registry.own is None:
            raise ModelError("there is no models folder to install into")
        name = Device.available()[0] if found.device == "auto" else found.device
        report = train_lora(
            order,
            registry=registry,
            own=registry.own,
            device=Device(name),
            clock=time.monotonic,
            say=lambda step: _say_step(step, is_json=found.json),
        )
    except KwafluxError as error:
        _say_error(error, is_json=found.json)
        return 2
    _say_report(report, order, is_json=found.json)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kwaflux models lora", description="Train a LoRA for a show on pairs of its frames."
    )
    parser.add_argument("effect", help="the effect it is for")
    parser.add_argument(
        "--pairs",
        nargs=2,
        required=True,
        metavar=("DEGRADED", "CLEAN"),
        help="two sequences: frames as they came, and what they should be",
    )
    parser.add_argument("--name", default="show", help="what it is called in a flow")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=0, help="end after so many; 0: by time alone")
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--colorspace", default="", help="of the files that do not name theirs")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--replace", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser


def _say_step(step: Step, *, is_json: bool) -> None:
    if is_json:
        _say_json(
            "step",
            steps=step.steps,
            seconds=round(step.seconds, 1),
            loss=step.loss,
            psnr_db=step.score.psnr_db,
            ssim=step.score.ssim,
        )
        return
    _say(
        f"{step.seconds:5.0f} s  {step.steps:5d} steps  loss {step.loss:.5f}  "
        f"held out {step.score.psnr_db:.2f} dB, SSIM {step.score.ssim:.4f}"
    )


def _say_report(report: LoraReport, order: LoraOrder, *, is_json: bool) -> None:
    rows = {"input": report.before, "base": report.base, "with LoRA": report.adapted}
    if is_json:
        scores = {key: {"psnr_db": s.psnr_db, "ssim": s.ssim} for key, s in rows.items()}
        _say_json(
            "done",
            path=str(report.path),
            size_bytes=report.size_bytes,
            rank=report.rank,
            seconds=round(report.seconds, 1),
            scores=scores,
        )
        return
    _say("on what was held out:")
    for name, score in rows.items():
        _say(f"  {name:<10} {score.psnr_db:6.2f} dB   SSIM {score.ssim:.4f}")
    _say(f"{report.path} ({report.size_bytes / 1000:.0f} kB, rank {report.rank})")
    _say(f'use it: {order.effect}(lora="{order.name}")')


def _say_error(error: KwafluxError, *, is_json: bool) -> None:
    if is_json:
        _say_json("error", **to_wire(error))
        return
    sys.stderr.write(f"kwaflux: {error.message}\n{error.hint}\n".replace("\n\n", "\n"))


def _say_json(event: str, **fields: object) -> None:
    _say(json.dumps({"event": event, **fields}))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
