"""A neighbor's pixels are brought into place, the same for a tile as for the frame."""

from __future__ import annotations

import numpy as np
import torch

from kwaflux_core.geometry import Box
from kwaflux_models.rendering.motion_compensation import compensate, compensated_tile
from kwaflux_models.rendering.motion_field import FINE, MotionField
from kwaflux_models.rendering.step_renderer import gather

WHOLE = Box(5, -3, 85, 57)


def field(*, seed: int = 0, most_px: float = 6.0) -> MotionField:
    """Return a smooth random field over ``WHOLE``."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-most_px, most_px, (2, WHOLE.height // 2, WHOLE.width // 2))
    return MotionField((values * FINE).astype(np.int16))


def compensated(motion: MotionField, read: Box, planes: np.ndarray) -> torch.Tensor:
    """Return a tile of a neighbor, brought into place."""
    tile = compensated_tile(motion, read, whole=WHOLE, scale=1, reach_px=32)
    return compensate(
        torch.from_numpy(gather((planes[0], planes[1], planes[2]), tile.source, WHOLE)), tile
    )


def planes() -> np.ndarray:
    return np.random.default_rng(1).random((3, WHOLE.height, WHOLE.width), np.float32)


def test_a_tile_is_bit_for_bit_that_part_of_the_whole() -> None:
    motion, color = field(), planes()
    everything = compensated(motion, WHOLE, color)
    for read in (Box(5, -3, 30, 20), Box(40, 10, 85, 57), Box(20, 20, 21, 21)):
        rows = slice(read.y0 - WHOLE.y0, read.y1 - WHOLE.y0)
        columns = slice(read.x0 - WHOLE.x0, read.x1 - WHOLE.x0)
        assert torch.equal(compensated(motion, read, color), everything[..., rows, columns])


def test_a_halo_outside_the_frame_is_mirrored_as_the_frame_is() -> None:
    motion, color = field(), planes()
    everything = compensated(motion, WHOLE, color)
    beyond = compensated(motion, WHOLE.expanded(4), color)
    assert torch.equal(beyond[..., 4:-4, 4:-4], everything)
    assert torch.equal(beyond[..., 3, 4:-4], everything[..., 1, :])
    assert torch.equal(beyond[..., 4:-4, -1], everything[..., :, -5])


def test_whole_pixels_of_motion_move_the_bits() -> None:
    color = planes()
    motion = MotionField(np.zeros((2, WHOLE.height // 2, WHOLE.width // 2), np.int16))
    motion.steps[0], motion.steps[1] = 3 * FINE, -2 * FINE
    moved = compensated(motion, Box(15, 7, 45, 37), color)[0].numpy()
    np.testing.assert_array_equal(moved, color[:, 8:38, 13:43])


def test_motion_beyond_the_reach_is_cut_off() -> None:
    motion = MotionField(np.full((2, WHOLE.height // 2, WHOLE.width // 2), 1000, np.int16))
    tile = compensated_tile(motion, Box(20, 10, 40, 30), whole=WHOLE, scale=1, reach_px=4)
    assert Box(20, 10, 40, 30).expanded(4 + 2).contains(tile.source)
