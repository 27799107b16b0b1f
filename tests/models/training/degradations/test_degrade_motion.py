"""Clips that move: by parts of a pixel, as fast as they say, with what footage does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kwaflux_core.errors import ImageError
from kwaflux_models.training.degradations import camera_motion
from kwaflux_models.training.degradations.camera_motion import (
    Path,
    draw_moving_clip,
    draw_path,
    film,
)
from kwaflux_models.training.pictures.sources import Picture, drawn_pictures

Array = NDArray[np.float32]


def smooth_picture(side: int = 300) -> Picture:
    """Waves that a picture twice as large can hold without aliasing; 8-bit."""
    rows, columns = np.mgrid[0:side, 0:side]
    wave = np.sin(columns / 5.0) * np.cos(rows / 6.0)
    code = 128.0 + 90.0 * np.stack([wave, -wave, 0.5 * wave], axis=-1)
    return Picture("waves", "display", np.rint(code).astype(np.uint8))


def busy_picture(side: int = 400) -> Picture:
    pixels = np.random.default_rng(6).integers(0, 256, size=(side, side, 3), dtype=np.uint8)
    return Picture("noise", "display", pixels)


def rest(picture: Picture, *, velocity: tuple[float, float]) -> Array:
    return film(picture, Path(velocity=velocity), frames=5, side=64)


def test_two_half_pixels_are_a_whole_one() -> None:
    clip = rest(smooth_picture(), velocity=(0.0, 0.5))
    assert np.abs(clip[2][:, 4:-4] - clip[0][:, 5:-3]).max() < 0.003
    assert np.abs(clip[1] - clip[0]).max() > 0.02
    clip = rest(smooth_picture(), velocity=(-0.25, 0.0))
    assert np.abs(clip[4][5:-3] - clip[0][4:-4]).max() < 0.003


def test_a_frame_is_as_sharp_at_any_part_of_a_pixel() -> None:
    clip = rest(busy_picture(), velocity=(0.0, 0.2))
    energy = [float(np.square(np.diff(frame, axis=1)).mean()) for frame in clip]
    assert max(energy) / min(energy) < 1.1


def test_standing_still_gives_the_same_frame_again() -> None:
    clip = rest(busy_picture(), velocity=(0.0, 0.0))
    assert np.array_equal(clip[0], clip[4])


def test_a_zoom_grows_about_the_middle_and_a_turn_turns() -> None:
    picture = smooth_picture()
    grown = film(picture, Path(zoom=-0.05), frames=3, side=64)
    center = np.s_[28:36, 28:36]
    assert np.abs(grown[0] - grown[2])[center].mean() < 0.3 * np.abs(grown[0] - grown[2]).mean()
    turned = film(picture, Path(turn=np.pi / 2), frames=2, side=64)
    best = min(float(np.abs(np.rot90(turned[1], k) - turned[0]).mean()) for k in (1, -1))
    assert best < 0.02
    assert float(np.abs(turned[1] - turned[0]).mean()) > 5.0 * best


def test_an_open_shutter_blurs_along_the_way_only() -> None:
    sharp = film(busy_picture(), Path(velocity=(0.0, 6.0)), frames=1, side=64)[0]
    blurred = film(busy_picture(), Path(velocity=(0.0, 6.0), shutter=0.8), frames=1, side=64)[0]
    along, across = (
        float(
            np.square(np.diff(blurred, axis=axis)).mean()
            / np.square(np.diff(sharp, axis=axis)).mean()
        )
        for axis in (1, 0)
    )
    assert along < 0.12
    assert across > 1.5 * along
    assert float(blurred.mean()) == pytest.approx(float(sharp.mean()), rel=0.02)


def test_the_same_seed_gives_the_same_clip_and_another_another() -> None:
    pictures = drawn_pictures(side=512)
    first, second, other = (
        draw_moving_clip(pictures, np.random.default_rng(seed), frames=5, side=96)
        for seed in (7, 7, 8)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seed", range(12))
def test_every_clip_is_whole_and_in_range(seed: int) -> None:
    clip = draw_moving_clip(
        drawn_pictures(side=256), np.random.default_rng(seed), frames=5, side=96
    )
    assert clip.shape == (5, 96, 96, 3)
    assert clip.dtype == np.float32
    assert bool(np.isfinite(clip).all())
    assert 0.0 <= float(clip.min()) <= float(clip.max()) <= 8.0


def test_paths_are_as_fast_and_as_often_still_as_they_say() -> None:
    rng = np.random.default_rng(0)
    paths = [draw_path(rng) for _ in range(2000)]
    speeds = np.array([np.hypot(*path.velocity) for path in paths])
    assert float((speeds == 0.0).mean()) == pytest.approx(0.2, abs=0.03)
    moving = speeds[speeds > 0.0]
    assert 0.1 <= moving.min() < 0.15
    assert 12.0 < moving.max() <= 16.0
    assert float(np.median(moving)) == pytest.approx(np.sqrt(0.1 * 16.0), rel=0.15)
    for share, expected in (
        (np.mean([p.zoom != 0.0 for p in paths]), 0.8 * 0.12),
        (np.mean([p.turn != 0.0 for p in paths]), 0.8 * 0.12),
        (np.mean([p.shutter > 0.0 for p in paths]), 0.8 * 0.5),
    ):
        assert float(share) == pytest.approx(expected, abs=0.04)


def test_a_cut_splits_the_clip_between_two_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_motion, "_CUT", 1.0)
    monkeypatch.setattr(camera_motion, "_FLASH", 0.0)
    monkeypatch.setattr(camera_motion, "draw_path", lambda rng, *, static=0.0: Path())
    clip = draw_moving_clip([busy_picture()], np.random.default_rng(1), frames=6, side=64)
    jumps = np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3))
    assert int((jumps > 0.05 * jumps.max()).sum()) == 1


def test_a_layer_in_front_hides_part_of_what_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = [
        Picture(f"flat {level}", "linear", np.full((200, 200, 3), level, dtype=np.float32))
        for level in (0.2, 0.9)
    ]
    monkeypatch.setattr(camera_motion, "_LAYERED", 1.0)
    monkeypatch.setattr(camera_motion, "_CUT", 0.0)
    monkeypatch.setattr(camera_motion, "expose", lambda window, rng, *, is_linear: window)
    shares = []
    for seed in range(12):
        clip = draw_moving_clip(flat, np.random.default_rng(seed), frames=2, side=96)[0]
        assert 0.199 < float(clip.min()) <= float(clip.max()) < 4.6
        shares.append(float((clip > 0.55).mean()))
    assert any(0.1 < share < 0.9 for share in shares)


def test_a_picture_smaller_than_the_clip_is_refused_and_a_fast_path_is_slowed() -> None:
    with pytest.raises(ImageError, match="too few for a clip"):
        film(busy_picture(60), Path(), frames=2, side=64)
    clip = film(busy_picture(150), Path(velocity=(40.0, 0.0)), frames=5, side=64)
    assert clip.shape == (5, 64, 64, 3)
    assert not np.array_equal(clip[0], clip[1])
