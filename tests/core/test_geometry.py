"""Boxes, and the converters to and from the windows of OpenEXR."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import ImageError
from kwaflux_core.geometry import (
    Box,
    box_from_exr_inclusive,
    box_to_exr_inclusive,
)

COORDINATES = st.integers(-5000, 5000)
SIZES = st.integers(1, 3000)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    return Box.from_size(draw(SIZES), draw(SIZES), x0=draw(COORDINATES), y0=draw(COORDINATES))


@st.composite
def small_boxes(draw: st.DrawFn) -> Box:
    near, size = st.integers(-6, 6), st.integers(1, 6)
    return Box.from_size(draw(size), draw(size), x0=draw(near), y0=draw(near))


def pixels(box: Box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box.x0, box.x1) for y in range(box.y0, box.y1)}


@pytest.mark.parametrize("edges", [(0, 0, 0, 1), (0, 0, 1, 0), (3, 0, 2, 9), (0, 5, 9, 4)])
def test_a_box_without_a_pixel_is_refused(edges: tuple[int, int, int, int]) -> None:
    with pytest.raises(ImageError, match="is empty"):
        Box(*edges)


def test_an_exr_window_counts_its_last_pixel() -> None:
    assert box_from_exr_inclusive(0, 0, 1919, 1079) == Box.from_size(1920, 1080)
    assert box_from_exr_inclusive(-5, -3, -5, -3).area_px == 1


@given(boxes())
def test_exr_windows_and_boxes_are_inverse(box: Box) -> None:
    window = box_to_exr_inclusive(box)
    assert box_from_exr_inclusive(*window) == box
    assert (window[2] - window[0] + 1, window[3] - window[1] + 1) == (box.width, box.height)


@given(boxes(), st.integers(1, 8))
def test_a_scaled_box_has_scale_times_the_size_and_the_same_origin_scaled(
    box: Box, scale: int
) -> None:
    scaled = box.scaled(scale)
    assert (scaled.width, scaled.height) == (scale * box.width, scale * box.height)
    assert (scaled.x0, scaled.y0) == (scale * box.x0, scale * box.y0)


@given(boxes(), COORDINATES, COORDINATES)
def test_a_shifted_box_comes_back(box: Box, dx: int, dy: int) -> None:
    assert box.shifted(dx, dy).shifted(-dx, -dy) == box


@given(boxes(), st.integers(0, 100))
def test_an_expanded_box_holds_the_box_with_the_margin_on_every_side(box: Box, px: int) -> None:
    grown = box.expanded(px)
    assert grown.contains(box)
    assert (grown.width, grown.height) == (box.width + 2 * px, box.height + 2 * px)
    assert (grown.x0, grown.y0) == (box.x0 - px, box.y0 - px)


@given(small_boxes(), small_boxes())
def test_contains_and_intersection_mean_the_pixels_themselves(one: Box, other: Box) -> None:
    assert one.contains(other) == (pixels(other) <= pixels(one))
    shared = one.intersection(other)
    assert (set() if shared is None else pixels(shared)) == pixels(one) & pixels(other)
    assert one.area_px == len(pixels(one))


@given(boxes())
def test_the_tuple_of_a_box_makes_the_box(box: Box) -> None:
    assert Box(*box.as_tuple()) == box
