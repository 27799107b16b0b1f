"""Run effects over the test set and hold what came out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.errors import KwafluxError
from kwaflux_core.images.lanczos import lanczos_upscale
from kwaflux_models.evaluation.metrics.display_values import shown
from kwaflux_models.evaluation.metrics.finishing import FINISHING
from kwaflux_models.evaluation.metrics.picture_scores import Scores, score
from kwaflux_models.evaluation.report.gate import Gate
from kwaflux_models.evaluation.run.cases import Case, cases_of
from kwaflux_models.evaluation.run.run_effects import (
    PLANS,
    ClipRow,
    EffectRunner,
    Row,
    clip_row,
    flow_of,
    still_row,
    told_params,
)
from kwaflux_models.evaluation.run.testset import Item, TestSet, pixels_digest

__all__ = ["FrameCost", "Results", "Shown", "by_picture", "collect", "mean", "median"]

Array: TypeAlias = NDArray[np.float32]
Say: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shown:
    """Hold one picture before and after, for people to look at; (H, W, 3) shown each.

    Args:
        effect: The effect.
        case: The case's name.
        picture: The picture's name.
        gain_db: PSNR after minus before.
        before: The damaged picture, enlarged where the effect scales.
        after: The restored one.
        clean: What it should be.
    """

    effect: str
    case: str
    picture: str
    gain_db: float
    before: Array
    after: Array
    clean: Array


@dataclass(frozen=True, slots=True)
class FrameCost:
    """Hold what one frame costs.

    Args:
        wall_s: Seconds that it took.
        cpu_s: CPU seconds of all threads together.
    """

    wall_s: float
    cpu_s: float


@dataclass(slots=True)
class Results:
    """Hold everything that was measured of ours.

    Args:
        stills: By effect, variant (``default``, ``told``) and case name.
        clips: By effect and case name.
        shown: Pictures of the cases that are shown.
        skipped: What was not measured and why, a sentence each.
        pixels: What the pixels of each case are, by case name.
        own: By effect: the numbers that it has to itself.
        frames_1080p: The cost of a frame of 1920 x 1080 by effect.
    """

    stills: dict[str, dict[str, dict[str, list[Row]]]] = field(default_factory=dict)
    clips: dict[str, dict[str, list[ClipRow]]] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    pixels: dict[str, str] = field(default_factory=dict)
    own: dict[str, list[Gate]] = field(default_factory=dict)
    frames_1080p: dict[str, FrameCost] = field(default_factory=dict)

    def rows(self, effect: str, case: str, variant: str = "default") -> list[Row]:
        """Return the rows of an effect on a case; none where it was not measured."""
        return self.stills.get(effect, {}).get(variant, {}).get(case, [])


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite values; NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def median(values: Iterable[float]) -> float:
    """Return the median of the finite values; NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else math.nan


def collect(
    runner: EffectRunner,
    tests: TestSet,
    effects: Sequence[str],
    *,
    places: Sequence[int] | None,
    say: Say,
) -> Results:
    """Run effects at their defaults, and told the damage where they take that.

    Args:
        runner: Renders.
        tests: The test set.
        effects: Ids; one that is not installed or cannot be loaded is said and skipped.
        places: Which items of a case; None for all.
        say: Takes one line of text.
    """
    results = Results()
    inputs: dict[str, list[Scores]] = {}
    for effect in effects:
        try:
            _collect_effect(runner, tests, effect, results, inputs, places=places, say=say)
        except KwafluxError as error:
            results.stills.pop(effect, None)
            results.clips.pop(effect, None)
            _skip(results, f"{effect}: {error}", say)
    return results


def _skip(results: Results, reason: str, say: Say) -> None:
    results.skipped.append(reason)
    say(f"skipped {reason}")


def _collect_effect(
    runner: EffectRunner,
    tests: TestSet,
    effect: str,
    results: Results,
    inputs: dict[str, list[Scores]],
    *,
    places: Sequence[int] | None,
    say: Say,
) -> None:
    card = runner.registry[effect].card
    plan = PLANS[effect]
    results.stills[effect] = {}
    for case in cases_of(*plan.groups):
        whole = tests.items(case)
        results.pixels.setdefault(case.name, pixels_digest(whole))
        items = _chosen(whole, places)
        if case.name not in inputs:
            inputs[case.name] = [_input_scores(item, case) for item in items]
        _collect_case(runner, effect, case, items, inputs[case.name], results)
        found = results.rows(effect, case.name)
        say(
            f"{effect:<11} {case.name:<32} {mean(r.before.psnr for r in found):6.2f} ->"
            f" {mean(r.after.psnr for r in found):6.2f} dB,"
            f" texture {median(r.after.texture for r in found):.2f}"
        )
    if effect in FINISHING and places is None:
        results.own[effect] = FINISHING[effect](runner, tests)
    if not plan.has_clips:
        return
    if card.frames_before == 0:
        _skip(results, f"{effect} on clips: it reads one frame", say)
        return
    for case in cases_of("clip"):
        whole = tests.items(case)
        results.pixels.setdefault(case.name, pixels_digest(whole))
        items = _chosen(whole, places)
        flow = flow_of(card, case)
        rows = [clip_row(runner, flow, item, has_cut=case.motion == "cut") for item in items]
        results.clips.setdefault(effect, {})[case.name] = rows
        say(
            f"{effect:<11} {case.name:<32} {mean(r.before for r in rows):6.2f} -> alone"
            f" {mean(r.still for r in rows):6.2f}, with neighbors"
            f" {mean(r.temporal for r in rows):6.2f} dB"
        )


def _chosen(items: list[Item], places: Sequence[int] | None) -> list[Item]:
    return items if places is None else [items[i] for i in places if i < len(items)]


def _collect_case(
    runner: EffectRunner,
    effect: str,
    case: Case,
    items: Sequence[Item],
    inputs: Sequence[Scores],
    results: Results,
) -> None:
    card, plan = runner.registry[effect].card, PLANS[effect]
    variants = results.stills[effect]
    coding = case.encodes[-1].coding() if case.encodes else None
    for item, before in zip(items, inputs, strict=True):
        flow = flow_of(card, case)
        row, picture = still_row(runner, flow, item, before=before, coding=coding)
        variants.setdefault("default", {}).setdefault(case.name, []).append(row)
        if case.name in plan.shown:
            results.shown.append(_shown(effect, case, item, row, picture))
        told = told_params(card, case, item)
        if told:
            row, _ = still_row(
                runner, flow_of(card, case, told), item, before=before, coding=coding
            )
            variants.setdefault("told", {}).setdefault(case.name, []).append(row)


def _shown(effect: str, case: Case, item: Item, row: Row, picture: Array) -> Shown:
    return Shown(
        effect,
        case.name,
        item.picture,
        row.after.psnr - row.before.psnr,
        _enlarged(shown(item.degraded[0]), case),
        picture,
        shown(item.clean[0]),
    )


def _enlarged(picture: Array, case: Case) -> Array:
    """Return a shown picture at the case's scale, by Lanczos."""
    if case.scale == 1:
        return picture
    planes = lanczos_upscale(np.ascontiguousarray(picture.transpose(2, 0, 1)), case.scale)
    return np.clip(planes.transpose(1, 2, 0), 0.0, 1.0).astype(np.float32)


def _input_scores(item: Item, case: Case) -> Scores:
    return score(_enlarged(shown(item.degraded[0]), case), shown(item.clean[0]))


def by_picture(rows: Sequence[Row], pictures: Mapping[str, object]) -> list[Row]:
    """Return the rows of some pictures."""
    return [row for row in rows if row.picture in pictures]
