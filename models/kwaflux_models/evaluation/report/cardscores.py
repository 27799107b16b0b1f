"""Write what was measured of an effect into its card, in few numbers a case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kwaflux_models.evaluation.run.collect_results import Results, mean, median
from kwaflux_models.evaluation.run.run_effects import ClipRow, Row

__all__ = ["card_scores", "write_card_scores"]


def card_scores(results: Results, effect: str) -> list[dict[str, object]]:
    """Return a card's scores: means over the pictures, at the effect's default params."""
    stills = results.stills.get(effect, {}).get("default", {})
    clips = results.clips.get(effect, {})
    return [
        *(_still_score(case, rows) for case, rows in stills.items()),
        *(_clip_score(case, rows) for case, rows in clips.items()),
    ]


def write_card_scores(results: Results, effect: str, card: Path) -> None:
    """Put an effect's scores into its card file; the rest of the card stays as it is."""
    values = json.loads(card.read_text(encoding="utf-8"))
    values["scores"] = card_scores(results, effect)
    card.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _still_score(case: str, rows: Sequence[Row]) -> dict[str, object]:
    return {
        "case": case,
        "psnr_before_db": round(mean(row.before.psnr for row in rows), 2),
        "psnr_after_db": round(mean(row.after.psnr for row in rows), 2),
        "ssim_before": round(mean(row.before.ssim for row in rows), 3),
        "ssim_after": round(mean(row.after.ssim for row in rows), 3),
        "texture": round(median(row.after.texture for row in rows), 2),
    }


def _clip_score(case: str, rows: Sequence[ClipRow]) -> dict[str, object]:
    return {
        "case": f"clip: {case}",
        "psnr_before_db": round(mean(row.before for row in rows), 2),
        "psnr_after_db": round(mean(row.temporal for row in rows), 2),
        "psnr_one_frame_db": round(mean(row.still for row in rows), 2),
        "texture": round(median(row.texture_temporal for row in rows), 2),
    }
