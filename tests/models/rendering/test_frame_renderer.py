"""The renderer: tiles, regions, windows of frames, what is kept bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import (
    FrameMissing,
    ModelError,
    OutOfMemory,
    RequestError,
    UnknownColorspace,
)
from kwaflux_core.flows.flow import Flow
from kwaflux_core.geometry import Box
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer, RenderedFrame
from kwaflux_models.rendering.plate import Plate
from kwaflux_testing.effects import FakeEffect, Loader, blur, card, enlarge, neighbors, nothing

CARDS = {
    "blur": card("blur"),
    "bare": card("bare", identity_when={}, halo_px=0),
    "double": card("double", scale=2, halo_px=8),
    "around": card("around", frames_before=1, frames_after=1, halo_px=0),
}
CONFIG = ColorConfig.load()
TOLERANCE = 5e-6
"""Of the promised 1e-5 in the working curve: vector code rounds a tile's tail otherwise."""
Planes = npt.NDArray[np.float32]


def effects() -> dict[str, FakeEffect]:
    return {
        "blur": FakeEffect(blur),
        "bare": FakeEffect(nothing),
        "double": FakeEffect(enlarge),
        "around": FakeEffect(neighbors),
    }


def plate(planes: Planes, *, x0: int = 0, y0: int = 0, colorspace: str = "scene_linear") -> Plate:
    window = Box.from_size(planes.shape[2], planes.shape[1], x0=x0, y0=y0)
    alpha = planes[3] if len(planes) == 4 else None
    return Plate((planes[0], planes[1], planes[2]), alpha, window, colorspace)


def picture(seed: int = 0, *, height: int = 61, width: int = 83, count: int = 3) -> Planes:
    planes = np.random.default_rng(seed).random((count, height, width), np.float32) * 1.5 - 0.1
    if count == 4:
        planes[3] = np.clip(planes[3], 0.0, 1.0)
    return planes


def allocate(height: int, width: int) -> tuple[Planes, Planes, Planes]:
    planes = np.full((3, height, width), np.nan, np.float32)
    return planes[0], planes[1], planes[2]


def render(
    flow: str,
    plates: Mapping[int, Plate],
    *,
    frame: int = 1,
    tile_px: int = 32,
    region: Box | None = None,
    fakes: Mapping[str, FakeEffect] | None = None,
) -> RenderedFrame:
    renderer = FrameRenderer(
        Loader(fakes or effects()), device=Device("cpu"), config=CONFIG, tile_px=tile_px
    )
    bound = Flow.parse(flow).bind(CARDS)
    return renderer.render(
        bound, plates, frame=frame, scratch=allocate, final=allocate, region=region
    )


def stacked(frame: RenderedFrame) -> Planes:
    return np.stack(frame.color)


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    tile_px=st.integers(16, 90),
    align_px=st.sampled_from([1, 4, 8]),
    x0=st.integers(-20, 20),
    y0=st.integers(-20, 20),
)
def test_a_tile_seam_is_invisible_for_any_split(
    tile_px: int, align_px: int, x0: int, y0: int
) -> None:
    CARDS["aligned"] = card("aligned", align_px=align_px)
    fakes = {"aligned": FakeEffect(blur)}
    source = {1: plate(picture(), x0=x0, y0=y0)}
    whole = render("aligned", source, tile_px=4096, fakes=fakes)
    tiled = render("aligned", source, tile_px=tile_px, fakes=fakes)
    assert tiled.window == whole.window == source[1].window
    np.testing.assert_allclose(stacked(tiled), stacked(whole), rtol=0, atol=TOLERANCE)


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(data=st.data())
def test_a_region_equals_the_crop_of_the_whole_even_behind_another_effect(
    data: st.DataObject,
) -> None:
    x0 = data.draw(st.integers(0, 80))
    y0 = data.draw(st.integers(0, 58))
    region = Box(x0, y0, data.draw(st.integers(x0 + 1, 83)), data.draw(st.integers(y0 + 1, 61)))
    source = {1: plate(picture())}
    for flow, scale in (("blur | blur(strength=0.5)", 1), ("blur | double", 2)):
        whole = stacked(render(flow, source, tile_px=40))
        part = render(flow, source, tile_px=24, region=region)
        assert part.window == region.scaled(scale)
        box = part.window
        crop = whole[:, box.y0 : box.y1, box.x0 : box.x1]
        np.testing.assert_allclose(stacked(part), crop, rtol=0, atol=TOLERANCE)


def test_strength_zero_keeps_every_bit_and_computes_nothing() -> None:
    planes = picture()
    planes[0, 0, 0], planes[1, 1, 1], planes[2, 2, 2] = np.nan, -np.inf, -0.0
    fakes = effects()
    frame = render("blur(strength=0)", {1: plate(planes)}, fakes=fakes)
    assert not frame.is_touched
    assert fakes["blur"].calls == 0
    assert (stacked(frame).view(np.uint32) == planes.view(np.uint32)).all()


def test_an_effect_that_touches_nothing_gives_the_plates_own_planes() -> None:
    source = plate(picture())
    frame = render("bare", {1: source})
    assert all(one is other for one, other in zip(frame.color, source.color, strict=True))
    assert not frame.is_touched


def test_tiles_left_alone_keep_their_bits_beside_tiles_that_change() -> None:
    def only_dark(pictures: object, values: object) -> torch.Tensor | None:
        tile = pictures.picture  # type: ignore[attr-defined]
        return None if float(tile.mean()) > 0.5 else torch.full_like(tile, 0.1)

    planes = np.zeros((3, 64, 64), np.float32)
    planes[:, :, 32:] = 3.0
    CARDS["dark"] = card("dark", halo_px=0)
    frame = render("dark", {1: plate(planes)}, fakes={"dark": FakeEffect(only_dark)})
    result = stacked(frame)
    assert (result[:, :, 32:] == 3.0).all()
    assert (result[:, :, :32] > 0.0).all()


def test_nan_and_inf_come_back_where_they_were_and_do_not_spread() -> None:
    planes = picture()
    planes[0, 30, 40], planes[1, 31, 41], planes[2, 5, 5] = np.nan, np.inf, -np.inf
    frame = render("blur", {1: plate(planes)})
    result = stacked(frame)
    assert np.isnan(result[0, 30, 40])
    assert result[1, 31, 41] == np.inf
    assert result[2, 5, 5] == -np.inf
    assert np.isfinite(result).sum() == result.size - 3
    assert frame.receipt.nan_count == 1
    assert frame.receipt.inf_count == 2


def test_far_above_the_trained_range_every_bit_passes_and_between_it_fades() -> None:
    planes = np.full((3, 32, 32), 5000.0, np.float32)
    planes[:, ::2, ::2] = 65504.0 * 4
    frame = render("blur", {1: plate(planes)})
    assert (stacked(frame) == planes).all()
    assert frame.receipt.beyond_trained == 1.0
    assert frame.receipt.max_out == 65504.0 * 4


def test_a_working_colorspace_of_other_primaries_keeps_untouched_pixels_exactly() -> None:
    planes = picture(count=4)
    planes[:3, :, 40:] = 0.25
    planes[3, :, 40:] = 0.5
    frame = render("blur", {1: plate(planes, colorspace="ACES2065-1")}, tile_px=4096)
    flat = stacked(frame)[:, :, 46:]
    assert np.abs(flat - 0.25).max() < 1e-6


def test_a_log_plate_is_led_through_its_curve_and_back() -> None:
    planes = np.full((3, 24, 24), 0.4, np.float32)
    planes[:, 12, 12] = 0.5
    frame = render("blur", {1: plate(planes, colorspace="ACEScct")})
    result = stacked(frame)
    assert (result[:, :8, :8] == np.float32(0.4)).all()
    assert 0.4 < result[0, 12, 12] < 0.5


def test_premultiplied_color_is_divided_for_the_network_and_multiplied_again() -> None:
    planes = np.empty((4, 16, 16), np.float32)
    planes[3] = np.linspace(0.2, 1.0, 16, dtype=np.float32)
    planes[:3] = 0.5 * planes[3]
    frame = render("blur", {1: plate(planes)})
    np.testing.assert_allclose(stacked(frame), planes[:3], atol=1e-6)


def test_a_scaling_effect_scales_windows_exactly_and_alpha_with_them() -> None:
    frame = render("double", {1: plate(picture(count=4), x0=-7, y0=3)}, tile_px=30)
    assert frame.window == Box(-14, 6, 152, 128)
    assert stacked(frame).shape == (3, 122, 166)
    assert np.isfinite(stacked(frame)).all()


def test_frames_are_mirrored_at_the_ends_of_the_clip() -> None:
    levels = {frame: np.full((3, 8, 8), 0.1 * frame, np.float32) for frame in (1, 2, 3)}
    plates = {frame: plate(planes) for frame, planes in levels.items()}
    first = stacked(render("around", plates, frame=1))
    middle = stacked(render("around", plates, frame=2))
    # Frame 1 sees 2, 1, 2: its mean lies nearer to 2 than that of a held first frame would.
    curve = np.log1p(64 * np.array([0.1, 0.2, 0.3]))
    expected = np.expm1((2 * curve[1] + curve[0]) / 3) / 64
    np.testing.assert_allclose(first, expected, rtol=1e-4)
    np.testing.assert_allclose(middle, np.expm1(curve.mean()) / 64, rtol=1e-4)


def test_a_missing_neighbor_is_named() -> None:
    plates = {frame: plate(picture(frame)) for frame in (1, 3)}
    with pytest.raises(FrameMissing, match="frame 2"):
        render("around", plates, frame=1)
    with pytest.raises(FrameMissing):
        render("around", plates, frame=7)


def test_nan_that_a_network_makes_is_an_error_and_no_frame() -> None:
    fakes = {"blur": FakeEffect(lambda pictures, values: pictures.picture * float("nan"))}
    with pytest.raises(ModelError, match="NaN"):
        render("blur", {1: plate(picture())}, fakes=fakes)


def test_memory_that_runs_out_halves_the_tile_and_says_so() -> None:
    fakes = effects()
    small = FakeEffect(blur)

    def greedy(pictures: object, values: Mapping[str, object]) -> torch.Tensor:
        tile = pictures.picture  # type: ignore[attr-defined]
        if tile.shape[-1] > 300:
            raise torch.OutOfMemoryError("no")
        return small.residual(torch.nn.Identity(), pictures, values)  # type: ignore[arg-type,return-value]

    fakes["blur"] = FakeEffect(greedy)
    source = {1: plate(picture(height=90, width=600))}
    frame = render("blur", source, tile_px=512, fakes=fakes)
    assert frame.fallbacks == ("tile 256",)
    assert frame.tile_px == 256
    np.testing.assert_allclose(stacked(frame), stacked(render("blur", source)), atol=TOLERANCE)


def test_memory_that_never_suffices_is_a_typed_error_that_says_how_much() -> None:
    def greedy(pictures: object, values: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("no")

    with pytest.raises(OutOfMemory) as caught:
        render("blur", {1: plate(picture())}, fakes={"blur": FakeEffect(greedy)}, tile_px=512)
    assert caught.value.fields["needed_bytes"] == 3 * 61 * 83 * 4


def test_a_region_outside_and_an_unknown_colorspace_are_refused() -> None:
    with pytest.raises(RequestError):
        render("blur", {1: plate(picture())}, region=Box(500, 500, 600, 600))
    with pytest.raises(UnknownColorspace):
        render("blur", {1: plate(picture(), colorspace="ACESgc")})


def test_the_same_frame_has_the_same_bits_twice() -> None:
    source = {1: plate(picture())}
    first, second = (stacked(render("blur", source)) for _ in range(2))
    assert (first.view(np.uint32) == second.view(np.uint32)).all()
