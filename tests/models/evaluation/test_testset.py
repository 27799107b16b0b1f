"""The published test set is the same every time, and moves and breaks as its cases say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.errors import ImageError
from kwaflux_models.evaluation.run import testset
from kwaflux_models.evaluation.run.cases import CASES, cases_of, find_case
from kwaflux_models.evaluation.run.testset import (
    Item,
    TestSet,
    clean_clip,
    damage,
    defocus,
    make_case,
    pixels_digest,
)
from kwaflux_models.training.pictures.sources import Picture


def photograph(height: int = 480, width: int = 560, seed: int = 4) -> Picture:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    return Picture(f"photo-{seed}", "display", pixels.astype(np.uint8))


def environment() -> Picture:
    rng = np.random.default_rng(5)
    pixels = rng.uniform(0.0, 40.0, (300, 400, 3)).astype(np.float32)
    return Picture("world", "linear", pixels)


def test_every_case_has_its_own_name_and_digest() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.digest for case in CASES}) == len(CASES)
    assert len({case.seed for case in CASES}) == len(CASES)


def test_what_happens_to_the_picture_changes_the_digest() -> None:
    case = find_case("sensor 0.03")
    assert case.digest == replace(case).digest
    assert case.digest != replace(case, sigma=0.031).digest


def test_an_unknown_case_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="no such"):
        find_case("no such")


def test_cases_of_a_group_keep_their_order() -> None:
    names = [case.name for case in cases_of("light", "noise")]
    assert names == [case.name for case in CASES if case.group in ("light", "noise")]


def test_a_pan_moves_by_half_pixels_of_the_halved_picture() -> None:
    clip = clean_clip(photograph(), number=0, side_px=128, frames=3, is_moving=True)
    assert clip.shape == (3, 128, 128, 3)
    # Two steps of half a pixel to the right are one whole pixel.
    assert np.array_equal(clip[0][:, 1:], clip[2][:, :-1])
    assert not np.array_equal(clip[0], clip[1])


def test_a_static_clip_does_not_move() -> None:
    clip = clean_clip(photograph(), number=3, side_px=128, frames=3, is_moving=False)
    assert np.array_equal(clip[0], clip[2])


def test_a_small_picture_gives_a_smaller_crop_on_a_grid_of_sixteen() -> None:
    clip = clean_clip(photograph(400, 600), number=3, side_px=256, frames=5, is_moving=True)
    assert clip.shape[1:3] == (192, 192)


def test_an_environment_map_is_exposed_on_mid_gray_and_keeps_highlights() -> None:
    clip = clean_clip(environment(), number=1, side_px=128, frames=3, is_moving=True)
    assert np.median(clip) == pytest.approx(0.18, rel=0.1)
    assert np.array_equal(clip[0][1:, :-1], clip[1][:-1, 1:])


def test_a_defocused_point_is_a_disk_of_the_same_light() -> None:
    point = np.zeros((41, 41, 3), np.float32)
    point[20, 20] = 5.0
    disk = defocus(point, 3.0)
    assert disk.sum() == pytest.approx(15.0, rel=1e-5)
    assert disk[20, 22, 0] == pytest.approx(5.0 / (np.pi * 9.0), rel=0.02)
    assert disk[20, 24].max() == 0.0


def test_a_codec_clips_the_clean_picture_too() -> None:
    clean = clean_clip(environment(), number=0, side_px=64, frames=5, is_moving=True)
    degraded, wanted = damage(clean, find_case("JPEG q25"), np.random.default_rng(1))
    assert clean.max() > 0.2
    assert degraded.shape == wanted.shape
    assert wanted.max() <= 1.0
    untouched, same = damage(clean, find_case("clean"), np.random.default_rng(1))
    assert untouched is clean
    assert same is clean


def test_a_case_for_upscaling_is_smaller_by_its_scale() -> None:
    items = make_case([photograph()], find_case("4x, clean"))
    assert items[0].clean.shape[1] == 4 * items[0].degraded.shape[1]
    assert items[0].degraded.shape[0] == 1


def test_a_cut_shows_the_next_picture_from_its_middle_on() -> None:
    pictures = [photograph(seed=1), photograph(seed=2)]
    case = replace(find_case("cut, sensor 0.045, H.264 CRF 27"), encodes=(), sigma=0.0)
    first, second = make_case(pictures, case)
    assert first.clean.shape[0] == 7
    assert np.array_equal(first.clean[4:], _moving(pictures[1], 1)[4:])
    assert np.array_equal(second.clean[:4], _moving(pictures[1], 1)[:4])


def _moving(picture: Picture, number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    clip = clean_clip(picture, number=number, side_px=192, frames=7, is_moving=True)
    return clip.astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("name", ["sensor 0.06", "composite NTSC", "H.264 CRF 35"])
def test_a_kept_case_is_the_one_that_is_made(name: str, tmp_path: Path) -> None:
    case = find_case(name)
    tests = TestSet(tmp_path, (photograph(),))
    made, kept = tests.items(case), tests.items(case)
    again = make_case([photograph()], case)
    assert [item.picture for item in kept] == ["photo-4"]
    assert pixels_digest(made) == pixels_digest(kept) == pixels_digest(again)


def test_other_pixels_have_another_digest() -> None:
    item = make_case([photograph()], find_case("sensor 0.06"))[0]
    changed = Item(item.picture, item.degraded + np.float32(0.01), item.clean)
    assert pixels_digest([item]) != pixels_digest([changed])


def test_a_kept_file_that_is_cut_off_is_a_typed_error(tmp_path: Path) -> None:
    case = find_case("clean")
    tests = TestSet(tmp_path, (photograph(),))
    tests.items(case)
    path = next(tmp_path.glob("*.npz"))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ImageError, match="cannot be read"):
        tests.items(case)


def test_a_case_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = find_case("clean")
    tests = TestSet(tmp_path, (photograph(),))
    tests.items(case)
    monkeypatch.setattr(testset, "make_case", lambda *_: pytest.fail("made again"))
    tests.items(case)
