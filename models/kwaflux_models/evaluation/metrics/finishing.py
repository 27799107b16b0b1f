"""Measure the effects that a table of PSNR does not fit: deband, regrain, expand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kwaflux_core.color.display_curves import display_decode, display_encode
from kwaflux_core.flows.flow import Flow
from kwaflux_models.evaluation.metrics.contours import contour_reduction, smooth_areas
from kwaflux_models.evaluation.metrics.display_values import luma, shown
from kwaflux_models.evaluation.metrics.grain import spectrum_distance, variance_error_percent
from kwaflux_models.evaluation.metrics.psnr_ssim import psnr_db
from kwaflux_models.evaluation.metrics.pu21 import pu21_psnr
from kwaflux_models.evaluation.report.gate import Gate
from kwaflux_models.evaluation.run.cases import find_case
from kwaflux_models.evaluation.run.run_effects import EffectRunner
from kwaflux_models.evaluation.run.testset import TestSet, clean_clip, damage
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import TileInput, Value, no_network

__all__ = ["FINISHING", "measure_deband", "measure_expand", "measure_regrain"]

Array: TypeAlias = NDArray[np.float32]

_STEP = 1.0 / 255.0
_GRAIN_SIDE_PX = 512
_GRAIN_PICTURES = (0, 4, 5)
_NO_GRAIN = 1e-5
"""A sensor's noise in the plate without grain: its mosaic is no grain, and stays."""
_FIXED_PEAKS = (1.5, 2.0, 3.0, 4.0, 6.0)
_SCENE_PEAK = 64.0


def _render(runner: EffectRunner, flow: str, linear: Array) -> Array:
    return runner.render(Flow.parse(flow), linear[None], (0,))[0].picture


def _rounded(code: Array) -> Array:
    """Return display code rounded to 8 bits."""
    return np.asarray(np.rint(np.clip(code, 0.0, 1.0) * 255.0) / 255.0, dtype=np.float32)


def _skies() -> dict[str, Array]:
    """Return display-encoded gradients as skies, walls and vignettes have them, (H, W, 3)."""
    y, x = np.mgrid[0:256, 0:320].astype(np.float32)
    tint = np.array([1.0, 0.95, 1.1], np.float32)
    glow = np.exp(-((x - 90) ** 2 + (y - 60) ** 2) / (2 * 130.0**2))
    vignette = 1.0 - 0.5 * (((x - 160) / 320) ** 2 + ((y - 128) / 256) ** 2)
    planes = {
        "slow ramp": 0.35 + 0.04 * x / 320 + 0.01 * y / 256,
        "steep ramp": 0.2 + 0.5 * y / 256,
        "glow": 0.25 + 0.3 * glow,
        "dark vignette": 0.09 * vignette,
    }
    return {name: (plane[..., None] * tint).astype(np.float32) for name, plane in planes.items()}


def measure_deband(runner: EffectRunner, tests: TestSet) -> list[Gate]:
    """Return by how much false contours go, and whether edges of the test pictures stay."""
    gone = {}
    for name, reference in _skies().items():
        banded = _rounded(reference)
        after = _render(runner, "deband", display_decode(banded, "srgb"))
        gone[name] = contour_reduction(banded, display_encode(after, "srgb"), reference, step=_STEP)
    change = []
    for item in tests.items(find_case("clean")):
        reference = shown(item.clean[0])
        banded = _rounded(reference)
        after = shown(_render(runner, "deband", display_decode(banded, "srgb")))
        at_edges = ~smooth_areas(reference, step=_STEP)
        change.append(
            psnr_db(after[at_edges], reference[at_edges])
            - psnr_db(banded[at_edges], reference[at_edges])
        )
    least, mean = min(gone, key=lambda name: gone[name]), float(np.mean(list(gone.values())))
    return [
        Gate(
            "deband",
            "false-contour energy down by at least 70 %",
            f"{100 * mean:.0f} % over {len(gone)} gradients, least {100 * gone[least]:.0f} % "
            f"({least})",
            "pass" if gone[least] >= 0.7 else "miss",
        ),
        Gate(
            "deband",
            "edges within 0.1 dB",
            f"worst of {len(change)} pictures {min(change):+.3f} dB",
            "pass" if min(change) >= -0.1 else "miss",
        ),
    ]


def _curve(linear: Array) -> Array:
    """Return scene-linear values in the working curve."""
    encoded: Array = working_curves.encode(torch.from_numpy(np.ascontiguousarray(linear))).numpy()
    return encoded


class _PerfectCleaning:
    """An effect that knows the clean picture: what a cleaning step can reach at most.

    Args:
        clean: (1, 3, H, W), the working curve of the effect it stands in for.
    """

    def __init__(self, clean: Tensor) -> None:
        self._clean = clean

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        """Return a module without parameters."""
        del weights
        return no_network()

    def residual(
        self, network: nn.Module, pictures: TileInput, values: Mapping[str, Value]
    ) -> Tensor:
        """Return clean minus picture; 0 in the mirrored border."""
        del network, values
        x, y = pictures.origin
        target = pictures.picture.clone()
        height = min(self._clean.shape[2], target.shape[2] + y)
        width = min(self._clean.shape[3], target.shape[3] + x)
        inside = self._clean[..., max(y, 0) : height, max(x, 0) : width]
        top, left = max(-y, 0), max(-x, 0)
        target[..., top : top + inside.shape[2], left : left + inside.shape[3]] = inside
        return target - pictures.picture


def measure_regrain(runner: EffectRunner, tests: TestSet) -> list[Gate]:
    """Return how like the source's grain the grain is that is put back behind a cleaning.

    Once behind a cleaning that leaves exactly the clean picture, which shows regrain alone, once
    behind our denoise, whose errors add to it.
    """
    found: dict[str, list[tuple[float, float]]] = {"a perfect cleaning": [], "denoise": []}
    case = find_case("sensor 0.03")
    for number in _GRAIN_PICTURES:
        picture = tests.pictures[number % len(tests.pictures)]
        scene = clean_clip(
            picture, number=number, side_px=_GRAIN_SIDE_PX, frames=1, is_moving=False
        )
        noisy, clean = (
            damage(scene, one, np.random.default_rng([case.seed, number]))[0]
            for one in (case, replace(case, sigma=_NO_GRAIN))
        )
        curves = _curve(noisy[0]), _curve(clean[0])
        planes = torch.from_numpy(clean[0].transpose(2, 0, 1).copy())[None]
        planes = working_curves.encode(planes, curve=runner.registry.cards["denoise"].working.curve)
        found["denoise"].append(_grain_errors(runner, noisy[0], *curves))
        with runner.replaced("denoise", _PerfectCleaning(planes)):
            found["a perfect cleaning"].append(_grain_errors(runner, noisy[0], *curves))
    made = []
    for behind, errors in found.items():
        spectrum, variance = (float(np.mean(column)) for column in zip(*errors, strict=True))
        worst = [max(column) for column in zip(*errors, strict=True)]
        made += [
            Gate(
                "regrain",
                f"behind {behind}: spectrum within 1 dB of the source's grain",
                f"{spectrum:.2f} dB, mean of {len(errors)} pictures (worst {worst[0]:.2f})",
                "pass" if spectrum <= 1.0 else "miss",
            ),
            Gate(
                "regrain",
                f"behind {behind}: variance per luma band within 5 %",
                f"{variance:.1f} %, mean of {len(errors)} pictures (worst {worst[1]:.1f})",
                "pass" if variance <= 5.0 else "miss",
            ),
        ]
    return made


def _grain_errors(
    runner: EffectRunner, noisy: Array, source: Array, clean: Array
) -> tuple[float, float]:
    """Return how far the grain put back is off: its spectrum in dB, its variance in percent.

    Args:
        runner: Renders.
        noisy: The plate, (H, W, 3) scene-linear.
        source: The same in the working curve.
        clean: What it would be without grain, in the working curve.
    """
    cleaned = _curve(_render(runner, "denoise", noisy))
    made = _curve(_render(runner, "denoise | regrain", noisy)) - cleaned
    wanted = source - clean
    errors = variance_error_percent(luma(made)[..., None], luma(wanted)[..., None], luma(clean))
    return spectrum_distance(made, wanted).mean, float(np.nanmean(np.abs(errors)))


def measure_expand(runner: EffectRunner, tests: TestSet) -> list[Gate]:
    """Return what moves below the knee, and how near the highlights come to what they were."""
    moved, ours = 0.0, []
    fixed: dict[float, list[float]] = {peak: [] for peak in _FIXED_PEAKS}
    for picture in tests.pictures:
        if picture.kind != "linear":
            continue
        stored = np.maximum(np.asarray(picture.pixels, dtype=np.float32), 0.0)
        scene = np.minimum(stored * (0.18 / max(float(np.median(stored)), 0.02)), _SCENE_PEAK)
        scene = scene.astype(np.float32)
        code = _rounded(display_encode(np.minimum(scene, 1.0).astype(np.float32), "srgb"))
        plate = display_decode(code, "srgb")
        found = _render(runner, "expand", plate)
        is_mid = (plate.max(axis=2) < 0.9) & (plate.min(axis=2) > 1e-4)
        moved = max(moved, float(np.abs(found[is_mid] / plate[is_mid] - 1.0).max(initial=0.0)))
        ours.append(pu21_psnr(found, scene))
        for peak in _FIXED_PEAKS:
            curve = _render(runner, f"expand(recover=0.0, peak={peak})", plate)
            fixed[peak].append(pu21_psnr(curve, scene))
    best = max(fixed, key=lambda peak: float(np.mean(fixed[peak])))
    margin = float(np.mean(ours) - np.mean(fixed[best]))
    return [
        Gate(
            "expand",
            "mid-tones within 0.1 %",
            f"{100 * moved:.4f} % at most",
            "pass" if moved <= 0.001 else "miss",
        ),
        Gate(
            "expand",
            "PU21-PSNR above a fixed expansion curve",
            f"{np.mean(ours):.2f} dB, {margin:+.2f} dB against the best fixed peak ({best:g}) on "
            f"{len(ours)} environment maps",
            "pass" if margin > 0.0 else "miss",
        ),
    ]


FINISHING: Mapping[str, Callable[[EffectRunner, TestSet], list[Gate]]] = {
    "deband": measure_deband,
    "regrain": measure_regrain,
    "expand": measure_expand,
}
"""Effects with measures of their own."""
