"""An effect's card holds the means of what was measured, and keeps the rest of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kwaflux_models.evaluation.metrics.picture_scores import Scores
from kwaflux_models.evaluation.report.cardscores import card_scores, write_card_scores
from kwaflux_models.evaluation.run.collect_results import Results
from kwaflux_models.evaluation.run.run_effects import ClipRow, Row


def measured() -> Results:
    before = Scores(24.0, 0.6, 0.9, 0.1, 3.0)
    rows = [
        Row(f"picture-{psnr}", before, Scores(psnr, 0.8, 0.95, 0.05, texture), 2.0, False)
        for psnr, texture in ((29.0, 0.7), (30.0, 0.9), (31.015, 1.4))
    ]
    clip = ClipRow("picture", 24.0, 29.0, 30.5, 0.8, 0.9, 3.0, 2.0, 1.0, 0.0, 0.0)
    return Results(
        stills={"denoise": {"default": {"sensor 0.03": rows}, "told": {"sensor 0.03": rows[:1]}}},
        clips={"denoise": {"pan, sensor 0.06": [clip]}},
    )


def test_a_case_is_given_by_means_over_its_pictures() -> None:
    still, clip = card_scores(measured(), "denoise")
    assert still["case"] == "sensor 0.03"
    assert still["psnr_before_db"] == 24.0
    assert still["psnr_after_db"] == pytest.approx(30.0, abs=0.011)
    assert still["texture"] == 0.9
    assert clip["case"] == "clip: pan, sensor 0.06"
    assert (clip["psnr_one_frame_db"], clip["psnr_after_db"]) == (29.0, 30.5)


def test_what_was_not_measured_has_no_scores() -> None:
    assert card_scores(measured(), "upscale") == []


def test_the_rest_of_a_card_stays_as_it_is(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"id": "denoise", "scores": [1], "limits": ["café"]}), "utf-8")
    write_card_scores(measured(), "denoise", card)
    values = json.loads(card.read_text("utf-8"))
    assert list(values) == ["id", "scores", "limits"]
    assert values["limits"] == ["café"]
    assert [score["case"] for score in values["scores"]] == [
        "sensor 0.03",
        "clip: pan, sensor 0.06",
    ]
