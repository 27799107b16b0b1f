"""Draw results: what each effect gains beside its peers, and what it does to texture.

Needs matplotlib, which only developers have.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwaflux_core.errors import ModelError
from kwaflux_models.evaluation.peers.peers import PEERS
from kwaflux_models.evaluation.peers.peerscores import PeerScores
from kwaflux_models.evaluation.report.check_gates import PLASTIC_BELOW
from kwaflux_models.evaluation.run.cases import Case, cases_of
from kwaflux_models.evaluation.run.collect_results import Results, by_picture, mean, median
from kwaflux_models.evaluation.run.run_effects import PLANS

__all__ = ["draw_clips", "draw_effect"]

_COLORS = ("#1b6ca8", "#7fb2d9", "#d98324", "#8f8f8f", "#5c9e5c", "#b05c9e")
_SIZE_IN = (10.0, 6.4)
_DPI = 80


def draw_effect(results: Results, peers: PeerScores, effect: str, folder: Path) -> str:
    """Draw gain in PSNR and texture by case; return the Markdown line that shows the plot.

    Raises:
        ModelError: matplotlib is not installed.
    """
    cases = [
        case
        for case in cases_of(*PLANS[effect].groups)
        if case.group != "clean" and results.rows(effect, case.name)
    ]
    if not cases:
        return ""
    figure, (gain, texture) = _figure(2)
    bars = _bars(results, peers, effect, cases)
    width = 0.8 / len(bars)
    for index, (label, gains, textures) in enumerate(bars):
        at = [place + (index - (len(bars) - 1) / 2) * width for place in range(len(cases))]
        color = _COLORS[index % len(_COLORS)]
        gain.bar(at, gains, width, label=label, color=color)
        texture.bar(at, textures, width, color=color)
    gain.axhline(0.0, color="black", linewidth=0.8)
    gain.set_ylabel("PSNR gain, dB")
    gain.legend(fontsize=8)
    gain.set_xticks([])
    texture.axhline(1.0, color="black", linewidth=0.8)
    texture.axhline(PLASTIC_BELOW, color="black", linewidth=0.8, linestyle=":")
    texture.set_ylabel("texture (dotted: plastic below)")
    texture.set_ylim(0.0, 1.6)
    texture.set_xticks(range(len(cases)), [case.name for case in cases])
    texture.tick_params(axis="x", labelrotation=30, labelsize=8)
    for label in texture.get_xticklabels():
        label.set_horizontalalignment("right")
    return _saved(figure, folder, effect, f"{effect}: gain and texture by case")


def draw_clips(results: Results, effect: str, folder: Path) -> str:
    """Draw PSNR and flicker of clips, alone and with neighbors; empty where there are none.

    Raises:
        ModelError: matplotlib is not installed.
    """
    found = results.clips.get(effect, {})
    if not found:
        return ""
    figure, (gain, calm) = _figure(2)
    for index, (label, form) in enumerate((("one frame", "still"), ("five frames", "temporal"))):
        at = [place + (index - 0.5) * 0.4 for place in range(len(found))]
        gains = [mean(getattr(r, form) - r.before for r in rows) for rows in found.values()]
        ratio = [
            mean(getattr(r, f"flicker_{form}") / r.flicker_before for r in rows)
            for rows in found.values()
        ]
        gain.bar(at, gains, 0.4, label=label, color=_COLORS[index])
        calm.bar(at, ratio, 0.4, color=_COLORS[index])
    gain.set_ylabel("PSNR gain, dB")
    gain.legend(fontsize=8)
    gain.set_xticks([])
    calm.axhline(1.0, color="black", linewidth=0.8)
    calm.set_ylabel("flicker, share of the source's")
    calm.set_xticks(range(len(found)), list(found), fontsize=8)
    return _saved(figure, folder, f"{effect}-clips", f"{effect}: clips")


def _bars(
    results: Results, peers: PeerScores, effect: str, cases: Sequence[Case]
) -> list[tuple[str, list[float], list[float]]]:
    """Return label, gains and textures of ours and of the peers that ran on every picture."""
    bars = []
    for variant in results.stills[effect]:
        found = [results.rows(effect, case.name, variant) for case in cases]
        bars.append(
            (
                f"ours, {variant}",
                [mean(r.after.psnr - r.before.psnr for r in rows) for rows in found],
                [median(r.after.texture for r in rows) for rows in found],
            )
        )
    for peer in PEERS.values():
        gains, textures = [], []
        for case in cases:
            theirs = peers.of(case, peer.id)
            rows = by_picture(results.rows(effect, case.name), theirs)
            is_whole = len(rows) == len(results.rows(effect, case.name))
            gains.append(
                mean(theirs[r.picture].scores.psnr - r.before.psnr for r in rows)
                if is_whole
                else math.nan
            )
            textures.append(
                median(theirs[r.picture].scores.texture for r in rows) if is_whole else math.nan
            )
        if peer.id != "lanczos" and any(math.isfinite(value) for value in gains):
            bars.append((peer.label + ("*" if len(peer.ladder) > 1 else ""), gains, textures))
    return bars


def _figure(rows: int) -> tuple[Any, Any]:
    """Return a figure and its axes."""
    try:
        importlib.import_module("matplotlib").use("agg")
        plots = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ModelError(
            f"no plots: matplotlib cannot be imported: {error}",
            hint="pip install 'kwaflux[evaluation]'",
        ) from error
    figure, axes = plots.subplots(rows, 1, figsize=_SIZE_IN, layout="constrained")
    return figure, axes


def _saved(figure: Any, folder: Path, name: str, title: str) -> str:
    """Write a figure; return the Markdown line that shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    importlib.import_module("matplotlib.pyplot").close(figure)
    return f"![{title}]({path.name})"
