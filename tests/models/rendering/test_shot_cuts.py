"""Shots are found between cuts, and a clip is not read whole for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from kwaflux_core.geometry import Box
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.shot_cuts import Thumbnail, shot_around, thumbnail


def _smooth(picture: Thumbnail) -> Thumbnail:
    """Return means over 13 columns, spread from 0 to 1."""
    sums = np.pad(picture, ((0, 0), (0, 0), (1, 0))).cumsum(axis=2)
    means: Thumbnail = (sums[..., 13:] - sums[..., :-13]).astype(np.float32)
    means -= means.min()
    means /= means.max()
    return means


class Clip:
    """Thumbnails of a clip, and which of them were looked at."""

    def __init__(self, scenes: Sequence[int], *, pan: float = 0.0, first: int = 1001) -> None:
        rng = np.random.default_rng(1)
        pictures = {scene: _smooth(rng.random((3, 24, 108), np.float32)) for scene in set(scenes)}
        self.frames = tuple(range(first, first + len(scenes)))
        self.pictures: dict[int, Thumbnail] = {}
        for index, (frame, scene) in enumerate(zip(self.frames, scenes, strict=True)):
            shift = int(pan * index) % 72
            self.pictures[frame] = pictures[scene][:, :, shift : shift + 24]
        self.seen: set[int] = set()

    def look(self, frame: int) -> Thumbnail:
        self.seen.add(frame)
        return self.pictures[frame]

    def shot(self, frame: int) -> tuple[int, ...]:
        return shot_around(frame, self.frames, self.look)


def test_a_clip_without_a_cut_is_one_shot_and_mostly_unread() -> None:
    clip = Clip([0] * 200)
    assert clip.shot(1077) == clip.frames
    assert len(clip.seen) < 40


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 60, 119])
def test_a_cut_divides_wherever_it_is(cut: int) -> None:
    clip = Clip([0] * cut + [1] * (120 - cut))
    before, after = clip.frames[:cut], clip.frames[cut:]
    for frame in (before[0], before[-1], before[len(before) // 2]):
        assert clip.shot(frame) == before
    for frame in (after[0], after[-1], after[len(after) // 2]):
        assert clip.shot(frame) == after


def test_every_frame_of_unrelated_pictures_is_a_shot() -> None:
    clip = Clip(list(range(20)))
    assert [clip.shot(frame) for frame in clip.frames] == [(frame,) for frame in clip.frames]


def test_a_pan_is_no_cut() -> None:
    clip = Clip([0] * 60, pan=1.0)
    assert clip.shot(1030) == clip.frames


def test_a_flash_is_no_cut() -> None:
    clip = Clip([0] * 20 + [1] + [0] * 20)
    assert clip.shot(1005) == clip.frames
    assert clip.shot(1035) == clip.frames


def test_a_gap_ends_a_shot() -> None:
    clip = Clip([0] * 40)
    frames = clip.frames[:13] + clip.frames[20:]
    assert shot_around(1003, frames, clip.look) == frames[:13]
    assert shot_around(1030, frames, clip.look) == frames[13:]


def test_a_frame_that_is_not_there_is_a_shot_of_its_own() -> None:
    assert shot_around(5, (1, 2, 3), Clip([0] * 3, first=1).look) == (5,)


@pytest.mark.parametrize("size", [(7, 5), (24, 24), (1080, 1920), (230, 311)])
def test_a_thumbnail_is_the_mean_of_its_cells(size: tuple[int, int]) -> None:
    rows = np.linspace(0.0, 1.0, size[0], dtype=np.float32)[:, None]
    plane = np.broadcast_to(rows, size).copy()
    plane[0, 0] = np.nan
    window = Box.from_size(size[1], size[0])
    small = thumbnail(Plate((plane, plane, plane), None, window, "scene_linear"))
    assert small.shape == (3, 24, 24)
    assert np.isfinite(small).all()
    middle = np.square(small[0, :, 12])
    assert (np.diff(middle) >= -1e-6).all()
    assert abs(float(middle.mean()) - 0.5) < 0.15
