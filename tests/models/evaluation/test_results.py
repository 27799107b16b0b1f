"""Results are kept by effect, held to the numbers that were asked, and written as they are."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.errors import ImageError
from kwaflux_models.evaluation.metrics.picture_scores import Scores
from kwaflux_models.evaluation.peers.peers import PeerResult
from kwaflux_models.evaluation.peers.peerscores import PeerScores
from kwaflux_models.evaluation.report.check_gates import gates
from kwaflux_models.evaluation.report.scorefile import EffectRecord, ScoreFile
from kwaflux_models.evaluation.report.scores_page import About, page
from kwaflux_models.evaluation.run import collect_results, evaluate, run_effects
from kwaflux_models.evaluation.run.cases import cases_of, find_case
from kwaflux_models.evaluation.run.collect_results import (
    FrameCost,
    Results,
    Shown,
    collect,
    mean,
    median,
)
from kwaflux_models.evaluation.run.crops import chosen, write_pictures
from kwaflux_models.evaluation.run.run_effects import (
    PLANS,
    ClipRow,
    EffectRunner,
    Plan,
    Row,
    flow_of,
)
from kwaflux_models.evaluation.run.testset import TestSet, make_case
from kwaflux_models.training.pictures.sources import Picture

NAMES = [f"picture-{number}" for number in range(4)]
BEFORE = Scores(24.0, 0.6, 0.9, 0.1, 3.0)


def photograph(seed: int = 4) -> Picture:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (50, 50, 3)).repeat(8, 0).repeat(8, 1)
    return Picture(f"photo-{seed}", "display", pixels.astype(np.uint8))


def rows(psnr: float, *, ssim: float = 0.8, texture: float = 0.85) -> list[Row]:
    after = Scores(psnr, ssim, 0.95, 0.05, texture)
    return [Row(name, BEFORE, after, 2.0, False) for name in NAMES]


def measured(psnr: float = 30.0, **other: float) -> Results:
    found = Results()
    cases = cases_of(*PLANS["denoise"].groups)
    found.stills["denoise"] = {"default": {case.name: rows(psnr, **other) for case in cases}}
    found.pixels = {case.name: "0123" for case in cases}
    return found


def peer_scores(psnr: float, *, names: list[str] = NAMES, peer: str = "ffdnet") -> PeerScores:
    scores = PeerScores(machine="a machine")
    result = PeerResult(25.0, Scores(psnr, 0.8, 0.95, 0.05, 0.4), 4.0)
    for case in cases_of("noise", "noise_codec"):
        scores.rows[case.digest] = {peer: dict.fromkeys(names, result)}
    return scores


def outcome(found: Results, peers: PeerScores, text: str) -> str:
    matching = [gate for gate in gates(found, peers, {"denoise": 10**6}) if text in gate.text]
    assert len(matching) == 1
    return matching[0].outcome


@pytest.mark.parametrize(("peer_db", "expected"), [(28.9, "pass"), (29.1, "miss")])
def test_denoise_must_be_one_db_above_ffdnet(peer_db: float, expected: str) -> None:
    text = "sensor 0.03: at least 1 dB above FFDNet"
    assert outcome(measured(), peer_scores(peer_db), text) == expected


def test_a_peer_is_compared_on_the_pictures_that_both_have() -> None:
    found = measured()
    case = find_case("sensor 0.03")
    found.stills["denoise"]["default"][case.name][0] = replace(rows(20.0)[0], picture="picture-0")
    peers = peer_scores(29.5, names=NAMES[1:], peer="bm3d")
    assert outcome(found, peers, "sensor 0.03: not below BM3D") == "pass"


def test_what_no_peer_was_measured_on_is_said_so() -> None:
    assert outcome(measured(), PeerScores(), "sensor 0.03: not below BM3D") == "not measured"


def test_one_picture_that_is_made_worse_is_harm() -> None:
    found = measured()
    assert outcome(found, PeerScores(), "JPEG q90: no picture below") == "pass"
    harmed = rows(30.0)
    harmed[2] = replace(harmed[2], after=replace(BEFORE, psnr=23.9))
    found.stills["denoise"]["default"]["JPEG q90"] = harmed
    assert outcome(found, PeerScores(), "JPEG q90: no picture below") == "miss"
    harmed[2] = replace(harmed[2], after=replace(BEFORE, ssim=0.599))
    assert outcome(found, PeerScores(), "JPEG q90: no picture below") == "miss"


def test_texture_is_judged_by_the_worst_case() -> None:
    found = measured()
    assert outcome(found, PeerScores(), "texture at least") == "pass"
    found.stills["denoise"]["default"]["sensor 0.06"] = rows(30.0, texture=0.79)
    assert outcome(found, PeerScores(), "texture at least") == "miss"


def clip_rows(**changes: float) -> list[ClipRow]:
    row = ClipRow("picture-0", 25.0, 28.0, 30.5, 0.7, 0.85, 0.05, 0.03, 0.02, 0.01, 0.011)
    return [replace(row, **changes)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "text", "expected"),
    [
        ({}, "static, sensor 0.03, H.264 CRF 24: at least 2 dB", "pass"),
        ({"temporal": 29.9}, "static, sensor 0.03, H.264 CRF 24: at least 2 dB", "miss"),
        ({"temporal": 29.1}, "pan, sensor 0.03, H.264 CRF 24: at least 1 dB", "pass"),
        ({"flicker_temporal": 0.06}, "pan, sensor 0.06: flicker", "miss"),
        ({}, "no ghost", "pass"),
        ({"ghost_temporal": 0.05}, "no ghost", "miss"),
    ],
)
def test_clips_are_held_to_their_numbers(
    changes: dict[str, float], text: str, expected: str
) -> None:
    found = measured()
    found.clips["denoise"] = {case.name: clip_rows(**changes) for case in cases_of("clip")}
    assert outcome(found, PeerScores(), text) == expected


def test_an_effect_of_one_frame_has_no_clip_gates_measured() -> None:
    made = gates(measured(), PeerScores(), {})
    assert {gate.outcome for gate in made if "flicker" in gate.text} == {"not measured"}


def test_means_and_medians_leave_out_what_is_no_number() -> None:
    assert mean([1.0, math.nan, 3.0]) == 2.0
    assert median([1.0, math.nan, 2.0, 9.0]) == 2.0
    assert math.isnan(mean([]))
    assert math.isnan(median([math.nan]))


def record(digest: str = "abc") -> EffectRecord:
    return EffectRecord([digest], ["denoise.safetensors"], "a machine", 10**6, ["![a](a.webp)"])


def kept_file(path: Path) -> ScoreFile:
    file = ScoreFile(measured(texture=math.nan), {"denoise": record()})
    file.results.pixels.update({case.name: "4567" for case in cases_of("clip")})
    file.results.clips["denoise"] = {case.name: clip_rows() for case in cases_of("clip")}
    file.results.frames_1080p["denoise"] = FrameCost(5.5, 9.25)
    file.write(path, gates(file.results, PeerScores(), {}))
    return file


def test_kept_scores_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    written = kept_file(path)
    read = ScoreFile.read(path)
    assert read.records == written.records
    assert read.results.clips == written.results.clips
    assert read.results.frames_1080p == {"denoise": FrameCost(5.5, 9.25)}
    back = read.results.rows("denoise", "sensor 0.03")
    assert back[1].before == BEFORE
    assert math.isnan(back[1].after.texture)
    assert len(json.loads(path.read_text(encoding="utf-8"))["gates"]) > 5


def test_kept_scores_of_other_weights_or_cases_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    kept_file(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["cases"]["sensor 0.03"]["digest"] = "of another case"
    path.write_text(json.dumps(raw), encoding="utf-8")
    file = ScoreFile.read(path)
    assert file.results.rows("denoise", "sensor 0.03") == []
    assert file.results.rows("denoise", "sensor 0.06")
    assert file.keep_only({"denoise": ["abc"]}) == []
    assert file.keep_only({"denoise": ["abd"]}) == ["denoise"]
    assert file.results.stills == {}


def test_scores_that_are_damaged_are_a_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text('{"cases":{},"effects":{"denoise":{}}}')
    with pytest.raises(ImageError, match="measured anew"):
        ScoreFile.read(path)


def test_fresh_results_replace_one_effect_and_leave_the_others() -> None:
    file = ScoreFile(measured(20.0), {"denoise": record(), "other": record("x")})
    file.results.stills["other"] = {"default": {}}
    file.take(measured(31.0), {"denoise": record("new")})
    assert file.results.rows("denoise", "sensor 0.03")[0].after.psnr == 31.0
    assert set(file.records) == {"denoise", "other"}
    assert file.records["denoise"].weights == ["new"]


def test_the_page_shows_ours_the_peers_and_what_was_missed() -> None:
    found, peers = measured(), peer_scores(31.25)
    found.clips["denoise"] = {case.name: clip_rows() for case in cases_of("clip")}
    about = About({"denoise": ("a machine", ["w.safetensors"])}, "a machine", ["skipped x: y"])
    made = gates(found, peers, {"denoise": 10**6})
    text = page(found, peers, made, about, pictures={"denoise": ["![plot](denoise.png)"]})
    assert "| sensor 0.03 | 24.00 / 0.600 / 3.00 | 30.00 / 0.800 / 0.85 | 31.25" in text
    assert "FFDNet*" in text
    assert "-1.25 dB on 4 pictures | miss" in text
    assert "skipped x: y" in text
    assert "![plot](denoise.png)" in text
    assert "nan" not in text


def test_a_slow_peer_has_a_table_of_its_own_pictures() -> None:
    peers = peer_scores(29.0, names=NAMES[:2], peer="bm3d")
    about = About({}, "", [])
    text = page(measured(), peers, [], about, pictures={})
    assert "BM3D is slow" in text
    assert "sensor 0.03, 2 pictures" in text


def shown(gain: float) -> Shown:
    picture = np.full((192, 192, 3), 0.5, np.float32)
    return Shown("denoise", "sensor 0.06", "a/life.jpg", gain, picture, picture, picture)


def test_pictures_are_the_best_the_middle_and_the_worst() -> None:
    picked = chosen([shown(gain) for gain in (1.0, -2.0, 5.0, 3.0, 0.0)])
    assert [(word, one.gain_db) for word, one in picked] == [
        ("best", 5.0),
        ("middle", 1.0),
        ("worst", -2.0),
    ]


def test_pictures_are_written_small_and_named_in_the_page(tmp_path: Path) -> None:
    lines = write_pictures([shown(gain) for gain in (1.0, 2.0, -0.5)], tmp_path)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 3
    assert all(path.stat().st_size < 120_000 for path in tmp_path.iterdir())
    assert any("worst: life, -0.50 dB" in line for line in lines)


def test_a_picture_whose_licence_would_bind_the_page_is_not_shown(tmp_path: Path) -> None:
    bound = replace(shown(9.0), picture="mate-backgrounds/nature/Storm.jpg")
    lines = write_pictures([bound, shown(1.0)], tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert not any("Storm" in line for line in lines)


def test_the_scale_of_a_case_is_set_where_the_effect_has_one() -> None:
    cards = EffectRunner.on_cpu().registry.cards
    flow = flow_of(cards["identity"], find_case("4x, clean"))
    assert "scale" not in flow.steps[0].values
    if "upscale" in cards:
        step = flow_of(cards["upscale"], find_case("4x, clean")).bind(cards).steps[0]
        assert step.scale == 4


def test_a_whole_run_through_the_real_renderer_scores_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KWAFLUX_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("kwaflux_models.training.pictures.sources.load", lambda *_: [photograph()])
    plan = {"identity": Plan(("light",), shown=("JPEG q90",))}
    for module in (evaluate, run_effects, collect_results):
        monkeypatch.setattr(module, "PLANS", plan)
    for name in ("check_gates", "scores_page", "plots"):
        monkeypatch.setattr(f"kwaflux_models.evaluation.report.{name}.PLANS", plan)
    out = tmp_path / "docs"
    assert evaluate.main(["identity", "--out", str(out), "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "pass         identity    H.264 CRF 18: no picture below the input" in said
    page_text = (out / "scores.md").read_text(encoding="utf-8")
    assert "identity" in page_text
    assert list(out.glob("identity-jpeg-q90-*.webp"))
    kept = ScoreFile.read(out / "scores.json")
    row = kept.results.rows("identity", "JPEG q90")[0]
    assert row.before == row.after
    assert evaluate.main(["identity", "--quick", "--out", str(tmp_path / "no")]) == 0
    assert not (tmp_path / "no").exists()


def test_an_effect_without_a_place_in_the_set_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate.main(["no_such_effect"]) == 2
    assert "no place on the test set" in capsys.readouterr().err


def test_an_effect_that_cannot_be_loaded_is_skipped_and_said(tmp_path: Path) -> None:
    runner = EffectRunner.on_cpu()
    said: list[str] = []
    tests = TestSet(tmp_path, (photograph(),))
    broken = "denoise"
    runner.registry[broken].card  # noqa: B018 (it is installed)

    def lend(*_: object) -> object:
        raise ImageError("the weights are gone")

    runner.lend = lend  # type: ignore[method-assign, assignment]
    found = collect(runner, tests, [broken], places=None, say=said.append)
    assert found.stills == {}
    assert "denoise: the weights are gone" in found.skipped[0]


def test_clips_are_judged_alone_and_with_neighbors() -> None:
    item = make_case([photograph()], find_case("static, sensor 0.03, H.264 CRF 24"))[0]
    runner = EffectRunner.on_cpu()
    flow = flow_of(runner.registry.cards["identity"], find_case("clean"))
    row = run_effects.clip_row(runner, flow, item, has_cut=False)
    assert row.before == row.still == row.temporal
    assert row.flicker_before == row.flicker_still == row.flicker_temporal > 0.0
    assert row.ghost_still == 0.0
