"""Score effects: ``python -m kwaflux_models.evaluation.run.evaluate [EFFECT ...] [--peers]``.

Needs the pictures of the test split (see `kwaflux_models.training.pictures.sources`).
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from kwaflux_core.errors import KwafluxError, ModelError, UnknownEffect
from kwaflux_core.flows.card import Card
from kwaflux_models.catalog.registry import InstalledEffect, Registry
from kwaflux_models.evaluation.peers.peers import PEERS, SUBSET
from kwaflux_models.evaluation.peers.peerscores import PeerScores, run_peers
from kwaflux_models.evaluation.report.cardscores import write_card_scores
from kwaflux_models.evaluation.report.check_gates import gates
from kwaflux_models.evaluation.report.gate import Gate
from kwaflux_models.evaluation.report.plots import draw_clips, draw_effect
from kwaflux_models.evaluation.report.scorefile import EffectRecord, ScoreFile
from kwaflux_models.evaluation.report.scores_page import About, page
from kwaflux_models.evaluation.run.cases import CASES, find_case
from kwaflux_models.evaluation.run.collect_results import FrameCost, Results, Say, collect
from kwaflux_models.evaluation.run.crops import write_pictures
from kwaflux_models.evaluation.run.run_effects import PLANS, EffectRunner, flow_of
from kwaflux_models.evaluation.run.testset import TestSet
from kwaflux_models.training.pictures import sources

__all__ = ["main"]


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="score effects on the published test set")
    parser.add_argument("effects", nargs="*", metavar="EFFECT", help=f"of {', '.join(PLANS)}")
    parser.add_argument("--peers", action="store_true", help="measure the peers that are missing")
    parser.add_argument(
        "--only-peer", action="append", default=[], choices=list(PEERS), help="of those, only this"
    )
    parser.add_argument("--quick", action="store_true", help="four pictures; writes nothing")
    parser.add_argument("--out", type=Path, default=Path("docs/effects"), help="folder to write")
    parser.add_argument("--cards", action="store_true", help="write the means into the cards too")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="to render with")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Score, write the files, print the gates; 0 if all are reached, 1 if not, 2 on an error."""
    wanted = _arguments(argv)
    try:
        missed = _evaluate(wanted, _say)
    except KwafluxError as error:
        print(error, file=sys.stderr)  # noqa: T201 (this is a command)
        return 2
    return 1 if missed else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (this is a command)


def _evaluate(wanted: argparse.Namespace, say: Say) -> int:
    """Do what the command line says; return how many gates are missed."""
    begin = time.monotonic()
    registry = Registry.discover()
    effects = _effects(registry, wanted.effects)
    cache = sources.cache_folder(os.environ, Path.home())
    tests = TestSet(cache / "evaluation", tuple(sources.load(cache, "test")))
    peers = PeerScores.read()
    if wanted.peers:
        torch.set_num_threads(1)
        names = wanted.only_peer or list(PEERS)
        run_peers(tests, CASES, peers, peers=names, save=lambda: peers.write(CASES), say=say)
    torch.set_num_threads(wanted.threads)
    runner = EffectRunner.on_cpu()
    places = SUBSET if wanted.quick else None
    fresh = collect(runner, tests, effects, places=places, say=say)
    if not wanted.quick:
        _time_1080p(runner, fresh, say)
    kept = ScoreFile() if wanted.quick else ScoreFile.read(wanted.out / "scores.json")
    weights = {name: _hashes(card) for name, card in registry.cards.items()}
    for effect in kept.keep_only(weights):
        say(f"{effect}: the kept scores are of other weights; dropped unless measured now")
    kept.take(fresh, {name: _record(registry[name], wanted.threads) for name in fresh.stills})
    made = gates(
        kept.results, peers, {name: record.weights_bytes for name, record in kept.records.items()}
    )
    if not wanted.quick:
        notes = [*_notes(fresh, registry), *_strangers(kept.results, peers)]
        _write(kept, peers, made, wanted.out, notes, say)
    if wanted.cards and not wanted.quick:
        for effect in _trained(registry, fresh):
            write_card_scores(fresh, effect, registry[effect].folder / "card.json")
    for gate in made:
        say(f"{gate.outcome:<12} {gate.effect:<11} {gate.text}: {gate.found}")
    say(f"done in {time.monotonic() - begin:.0f} s")
    return sum(gate.outcome == "miss" for gate in made)


def _effects(registry: Registry, named: Sequence[str]) -> list[str]:
    """Return what to score: what was named, or every installed effect that has a plan."""
    for name in named:
        if name not in PLANS:
            raise UnknownEffect(
                f"{name!r} has no place on the test set", hint=f"scored are {', '.join(PLANS)}"
            )
    return list(named) or [name for name in PLANS if name in registry.cards]


def _trained(registry: Registry, results: Results) -> list[str]:
    """Return the effects with weights; the others' cards have measures of their own."""
    return [effect for effect in results.stills if registry[effect].card.weights]


def _notes(results: Results, registry: Registry) -> list[str]:
    missing = [name for name in PLANS if name not in registry.cards]
    return [
        *(f"skipped {reason}" for reason in results.skipped),
        *(f"{name} is not installed" for name in missing),
    ]


def _strangers(results: Results, peers: PeerScores) -> list[str]:
    """Return a note on the cases whose pixels are not those that the peers had."""
    other = [
        case.name
        for case in CASES
        if peers.pixels.get(case.digest, "") not in ("", results.pixels.get(case.name, ""))
        and case.name in results.pixels
    ]
    return [f"the peers had other pixels (another encoder) of: {', '.join(other)}"] if other else []


def _hashes(card: Card) -> list[str]:
    return [weights.sha256 for weights in card.weights]


def _record(installed: InstalledEffect, threads: int) -> EffectRecord:
    """Return what an effect is measured with: its weights, how they were trained, the machine."""
    lines = []
    files = installed.weight_files()
    for path, weights in zip(files, installed.card.weights, strict=True):
        with safe_open(path, framework="pt") as file:
            about: Mapping[str, str] = file.metadata() or {}
        trained = ", ".join(f"{key} {about[key]}" for key in _TRAINED if key in about)
        said = f"{weights.file}, SHA-256 {weights.sha256[:12]}: {weights.source}"
        lines.append(f"{said} ({trained})" if trained else said)
    size = sum(path.stat().st_size for path in files)
    return EffectRecord(_hashes(installed.card), lines or ["no network"], _machine(threads), size)


_TRAINED = ("hardware", "device", "minutes", "steps", "patches", "torch")


def _machine(threads: int) -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {os.cpu_count()} cores, {threads} threads, torch {torch.__version__}, float32"


_AT_WORK = {"denoise": {"noise": 0.04}, "decompress": {"level": 0.6}, "deblur": {"softness": 1.0}}
"""What an effect is told when it is timed, so that it does not leave the frame alone."""


def _time_1080p(runner: EffectRunner, results: Results, say: Say) -> None:
    """Render one frame of 1920 x 1080 with each effect; neighbors too where it reads them."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:1080, 0:1920].astype(np.float32)
    base = 0.3 + 0.2 * np.sin(columns / 37) * np.cos(rows / 53)
    frame = base[..., None] + 0.03 * rng.standard_normal((1080, 1920, 3), dtype=np.float32)
    for effect in results.stills:
        card = runner.registry[effect].card
        if effect == "regrain":  # alone it has nothing to put back
            continue
        count = card.frames_before + 1 + card.frames_after
        clip = np.broadcast_to(frame.astype(np.float32), (count, *frame.shape))
        case = find_case("2x, clean" if effect == "upscale" else "clean")
        begin, begin_cpu = time.monotonic(), time.process_time()
        flow = flow_of(card, case, _AT_WORK.get(effect))
        runner.render(flow, np.ascontiguousarray(clip), (card.frames_before,))
        cost = FrameCost(time.monotonic() - begin, time.process_time() - begin_cpu)
        results.frames_1080p[effect] = cost
        say(f"{effect:<11} 1920 x 1080: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} s of CPU")


def _write(
    kept: ScoreFile,
    peers: PeerScores,
    made: Sequence[Gate],
    folder: Path,
    notes: Sequence[str],
    say: Say,
) -> None:
    """Write the page, the numbers, the plots, and the pictures of what was measured now."""
    folder.mkdir(parents=True, exist_ok=True)
    results = kept.results
    for effect, record in kept.records.items():
        shown = [one for one in results.shown if one.effect == effect]
        if shown:
            record.pictures = write_pictures(shown, folder)
    plots = {effect: _plots(results, peers, effect, folder, say) for effect in kept.records}
    about = About(
        {effect: (record.machine, record.about) for effect, record in kept.records.items()},
        peers.machine,
        notes,
    )
    lines = {effect: [*plots[effect], *kept.records[effect].pictures] for effect in kept.records}
    text = page(results, peers, made, about, pictures=lines)
    (folder / "scores.md").write_text(text, encoding="utf-8")
    kept.write(folder / "scores.json", made)


def _plots(results: Results, peers: PeerScores, effect: str, folder: Path, say: Say) -> list[str]:
    try:
        drawn = [
            draw_effect(results, peers, effect, folder),
            draw_clips(results, effect, folder),
        ]
    except ModelError as error:
        say(str(error))
        return []
    return [line for line in drawn if line]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
