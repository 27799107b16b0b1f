"""Plans of tiles: covered once, read with a halo, aligned to the frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import ImageError, SettingsError
from kwaflux_core.geometry import Box
from kwaflux_core.tiling import mirrored_indices, plan_tiles

ORIGINS = st.integers(-70, 70)
SIZES = st.integers(1, 90)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Box, Box, int, int, int]:
    """Return a region, its frame, tile_px, halo_px and align_px."""
    frame = Box.from_size(draw(SIZES), draw(SIZES), x0=draw(ORIGINS), y0=draw(ORIGINS))
    x0 = draw(st.integers(frame.x0, frame.x1 - 1))
    y0 = draw(st.integers(frame.y0, frame.y1 - 1))
    x1, y1 = draw(st.integers(x0 + 1, frame.x1)), draw(st.integers(y0 + 1, frame.y1))
    numbers = (draw(st.integers(1, 64)), draw(st.integers(0, 40)), draw(st.integers(1, 17)))
    return Box(x0, y0, x1, y1), frame, *numbers


@given(cuts())
def test_the_cores_cover_the_region_exactly_once(cut: tuple[Box, Box, int, int, int]) -> None:
    region, frame, tile_px, halo_px, align_px = cut
    seen = np.zeros((region.height, region.width), np.int32)
    tiles = plan_tiles(region, frame=frame, tile_px=tile_px, halo_px=halo_px, align_px=align_px)
    for tile in tiles:
        assert region.contains(tile.core)
        core = tile.core.shifted(-region.x0, -region.y0)
        seen[core.y0 : core.y1, core.x0 : core.x1] += 1
    assert (seen == 1).all()


@given(cuts())
def test_a_read_holds_the_halo_is_aligned_to_the_frame_and_no_larger_than_it_must(
    cut: tuple[Box, Box, int, int, int],
) -> None:
    region, frame, tile_px, halo_px, align_px = cut
    for tile in plan_tiles(
        region, frame=frame, tile_px=tile_px, halo_px=halo_px, align_px=align_px
    ):
        needed = tile.core.expanded(halo_px)
        assert tile.read.contains(needed)
        assert needed.expanded(align_px - 1).contains(tile.read)
        for edge in (tile.read.x0 - frame.x0, tile.read.width, tile.read.y0 - frame.y0):
            assert edge % align_px == 0
        assert tile.read.height % align_px == 0


@given(cuts())
def test_inner_edges_are_aligned_to_the_frame_and_tiles_are_near_even(
    cut: tuple[Box, Box, int, int, int],
) -> None:
    region, frame, tile_px, _, align_px = cut
    tiles = plan_tiles(region, frame=frame, tile_px=tile_px, halo_px=0, align_px=align_px)
    for tile in tiles:
        assert max(tile.core.width, tile.core.height) <= tile_px + align_px
        assert tile.core.x0 == region.x0 or (tile.core.x0 - frame.x0) % align_px == 0
        assert tile.core.y0 == region.y0 or (tile.core.y0 - frame.y0) % align_px == 0
    columns, rows = {t.core.x0 for t in tiles}, {t.core.y0 for t in tiles}
    assert len(columns) <= -(-region.width // tile_px)
    assert len(rows) <= -(-region.height // tile_px)
    if align_px == 1:
        widths, heights = {t.core.width for t in tiles}, {t.core.height for t in tiles}
        assert max(widths) - min(widths) <= 1
        assert max(heights) - min(heights) <= 1


def test_a_4k_frame_is_cut_into_even_aligned_tiles() -> None:
    frame = Box.from_size(4096, 2160)
    tiles = plan_tiles(frame, frame=frame, tile_px=512, halo_px=64, align_px=8)
    assert len(tiles) == 8 * 5
    assert {tile.core.width for tile in tiles} == {512}
    assert {tile.core.height for tile in tiles} == {432}
    assert tiles[0].read == Box(-64, -64, 576, 496)
    assert tiles[1].core == Box(512, 0, 1024, 432)


def test_a_frame_that_fits_is_one_tile() -> None:
    frame = Box(-20, -10, 100, 50)
    (tile,) = plan_tiles(frame, frame=frame, tile_px=512, halo_px=3, align_px=8)
    assert tile.core == frame
    assert tile.read == Box(-28, -18, 108, 54)


def test_a_region_is_read_in_the_same_phase_as_the_whole() -> None:
    frame = Box(-5, 3, 995, 803)
    region = Box(101, 77, 333, 222)
    whole = plan_tiles(frame, frame=frame, tile_px=256, halo_px=9, align_px=16)
    part = plan_tiles(region, frame=frame, tile_px=256, halo_px=9, align_px=16)
    phases = {((t.read.x0 - frame.x0) % 16, (t.read.y0 - frame.y0) % 16) for t in (*whole, *part)}
    assert phases == {(0, 0)}


def test_a_region_outside_the_frame_is_refused() -> None:
    frame = Box.from_size(10, 10)
    with pytest.raises(ImageError, match="outside the frame"):
        plan_tiles(Box(5, 5, 11, 9), frame=frame, tile_px=4, halo_px=0, align_px=1)


@pytest.mark.parametrize(("tile_px", "halo_px", "align_px"), [(0, 0, 1), (4, -1, 1), (4, 0, 0)])
def test_senseless_sizes_are_refused(tile_px: int, halo_px: int, align_px: int) -> None:
    frame = Box.from_size(10, 10)
    with pytest.raises(SettingsError):
        plan_tiles(frame, frame=frame, tile_px=tile_px, halo_px=halo_px, align_px=align_px)


@given(st.integers(-300, 300), st.integers(0, 300), st.integers(1, 60))
def test_mirrored_indices_are_in_range_periodic_and_symmetric(
    start: int, count: int, size: int
) -> None:
    found = mirrored_indices(start, start + count, size)
    period = 2 * (size - 1)
    assert len(found) == count
    assert all(0 <= index < size for index in found)
    assert found == mirrored_indices(start + period, start + count + period, size)
    assert found == mirrored_indices(-start - count + 1, -start + 1, size)[::-1]
    last = size - 1
    around_last = mirrored_indices(2 * last - start - count + 1, 2 * last - start + 1, size)
    assert found == around_last[::-1]


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 40))
def test_mirroring_is_what_numpy_calls_reflect(before: int, behind: int, size: int) -> None:
    padded = np.pad(np.arange(size), (before, behind), mode="reflect")
    assert mirrored_indices(-before, size + behind, size) == padded.tolist()


def test_one_sample_stands_everywhere_and_none_cannot_be_mirrored() -> None:
    assert mirrored_indices(-2, 3, 1) == [0, 0, 0, 0, 0]
    assert mirrored_indices(5, 5, 1) == mirrored_indices(5, 2, 4) == []
    with pytest.raises(ImageError):
        mirrored_indices(0, 1, 0)
