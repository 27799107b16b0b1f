"""Motion is found once a pair, on whole frames, and does not depend on how a frame is cut up."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from numpy.typing import NDArray

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.geometry import Box
from kwaflux_models.rendering import motion_field
from kwaflux_models.rendering.motion_field import FINE, MotionCache, MotionField, estimate_motion
from kwaflux_models.rendering.plate import Plate

LINEAR = "Linear Rec.709 (sRGB)"


def picture(height: int, width: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Return smooth random light, (height, width)."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 4 + 3, width // 4 + 3), dtype=np.float32)
    rows, columns = (
        np.linspace(0, coarse.shape[0] - 2, height),
        np.linspace(0, coarse.shape[1] - 2, width),
    )
    top, left = rows.astype(int), columns.astype(int)
    down, along = (rows - top)[:, None], (columns - left)[None]
    upper = coarse[np.ix_(top, left)] * (1 - along) + coarse[np.ix_(top, left + 1)] * along
    lower = coarse[np.ix_(top + 1, left)] * (1 - along) + coarse[np.ix_(top + 1, left + 1)] * along
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)


def plate(plane: NDArray[np.float32], *, x0: int = 0, y0: int = 0) -> Plate:
    """Return a gray plate."""
    height, width = plane.shape
    color = (plane.copy(), plane.copy(), plane.copy())
    return Plate(color, None, Box.from_size(width, height, x0=x0, y0=y0), LINEAR)


def config() -> ColorConfig:
    """Return the built-in config."""
    return ColorConfig.default()


@pytest.mark.parametrize("step", [(0, 0), (4, 0), (-6, 10), (0, -3)])
def test_a_pan_is_found_to_a_third_of_a_pixel(step: tuple[int, int]) -> None:
    whole = picture(180, 220)
    down, right = step
    frame = whole[20:148, 20:180]
    neighbor = whole[20 - down : 148 - down, 20 - right : 180 - right]
    found = MotionCache(config()).between(plate(frame), plate(neighbor))
    inner = found.within(Box(24, 24, 136, 104)) / FINE
    assert np.abs(np.median(inner[0]) - right) < 0.33
    assert np.abs(np.median(inner[1]) - down) < 0.33


def test_a_part_of_a_field_is_the_same_part_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    field = MotionField(rng.integers(-400, 400, (2, 21, 33)).astype(np.int16))
    for scale, whole in ((1, Box(0, 0, 65, 41)), (2, Box(0, 0, 130, 82)), (4, Box(0, 0, 260, 164))):
        everything = field.within(whole, scale=scale)
        part = field.within(Box(13, 7, 50, 31), scale=scale)
        np.testing.assert_array_equal(part, everything[:, 7:31, 13:50])


def test_motion_grows_with_the_step_that_enlarged_the_frame() -> None:
    field = MotionField(np.full((2, 8, 8), 3 * FINE, np.int16))
    assert (field.within(Box(0, 0, 16, 16)) == 3 * FINE).all()
    assert (field.within(Box(0, 0, 32, 32), scale=2) == 6 * FINE).all()


def test_a_pair_is_searched_once_and_forgotten_with_its_plates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches = []

    def counted(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> MotionField:
        searches.append(one.shape)
        return estimate_motion(one, other)

    monkeypatch.setattr(motion_field, "estimate_motion", counted)
    cache = MotionCache(config())
    one, other = plate(picture(64, 64)), plate(picture(64, 64, seed=1))
    first = cache.between(one, other)
    assert cache.between(one, other) is first
    assert len(searches) == 1
    cache.between(other, one)
    assert len(searches) == 2
    assert len(cache) > 0
    del one, other, first
    gc.collect()
    assert len(cache) == 0


def test_windows_that_differ_are_compared_in_absolute_pixels() -> None:
    whole = picture(160, 200)
    frame, neighbor = plate(whole[:128, :160]), plate(whole[8:136, 10:170], x0=10, y0=8)
    found = MotionCache(config()).between(frame, neighbor).within(Box(32, 32, 128, 96)) / FINE
    assert np.abs(np.median(found, axis=(1, 2))).max() < 0.1


@pytest.mark.parametrize("shape", [(1, 1), (7, 40), (33, 31)])
def test_a_frame_too_small_to_search_is_at_rest_and_odd_sides_are_whole(
    shape: tuple[int, int],
) -> None:
    one, other = plate(picture(*shape)), plate(picture(*shape, seed=2))
    found = MotionCache(config()).between(one, other)
    assert found.within(Box(0, 0, shape[1], shape[0])).shape == (2, *shape)


def test_nan_and_infinity_do_not_stop_the_search() -> None:
    plane = picture(64, 64)
    plane[10, 10], plane[20, 20] = np.nan, np.inf
    found = MotionCache(config()).between(plate(plane), plate(picture(64, 64)))
    assert np.abs(np.median(found.within(Box(0, 0, 64, 64)))) < FINE
