"""Effects that look at a frame before they render it: where, how often, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import OutOfMemory
from kwaflux_core.flows.flow import Flow
from kwaflux_core.geometry import Box
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.effect_api import SAMPLE_PX, Measured, Samples, TileInput, Value
from kwaflux_models.rendering.frame_renderer import FrameRenderer, RenderedFrame
from kwaflux_models.rendering.measure_samples import lone_tile_input, sample_places, source_place
from kwaflux_models.rendering.plate import Plate
from kwaflux_testing.effects import (
    FakeEffect,
    Loader,
    MeasuringFake,
    blur,
    card,
    enlarge,
    neighbors,
    to_mean,
)

Planes = npt.NDArray[np.float32]
CARDS = {
    "blur": card("blur"),
    "double": card("double", scale=2, halo_px=8),
    "mean": card("mean", halo_px=0, align_px=4, measures=True),
    "grow": card("grow", scale=2, halo_px=8, measures=True),
    "around": card("around", frames_before=2, frames_after=2, halo_px=0),
}
CONFIG = ColorConfig.load()
TOLERANCE = 5e-6


def mean_of(samples: Samples, values: Mapping[str, Value]) -> Measured:
    level = float(samples.pictures.mean())
    return Measured({"level": level, "nothing": math.nan}, data=level)


def refuses(samples: Samples, values: Mapping[str, Value]) -> Measured:
    return Measured({"blur_px": 9.0}, refusal="it is too soft")


def picture(height: int = 230, width: int = 310, *, seed: int = 0) -> Planes:
    planes = np.random.default_rng(seed).random((3, height, width), np.float32)
    return planes + np.linspace(0.0, 0.5, width, dtype=np.float32)


def plate(planes: Planes, *, x0: int = 0, y0: int = 0) -> Plate:
    window = Box.from_size(planes.shape[2], planes.shape[1], x0=x0, y0=y0)
    return Plate((planes[0], planes[1], planes[2]), None, window, "Linear Rec.709 (sRGB)")


def allocate(height: int, width: int) -> tuple[Planes, Planes, Planes]:
    planes = np.full((3, height, width), np.nan, np.float32)
    return planes[0], planes[1], planes[2]


def render(
    flow: str,
    plates: Mapping[int, Plate] | Plate,
    fakes: Mapping[str, FakeEffect],
    *,
    frame: int = 1,
    region: Box | None = None,
    tile_px: int = 96,
) -> RenderedFrame:
    given_plates = {1: plates} if isinstance(plates, Plate) else plates
    renderer = FrameRenderer(Loader(fakes), device=Device("cpu"), config=CONFIG, tile_px=tile_px)
    return renderer.render(
        Flow.parse(flow).bind(CARDS),
        given_plates,
        frame=frame,
        scratch=allocate,
        final=allocate,
        region=region,
    )


def fakes_with(measuring: MeasuringFake, *, name: str = "mean") -> dict[str, FakeEffect]:
    return {
        "blur": FakeEffect(blur),
        "double": FakeEffect(enlarge),
        "around": FakeEffect(neighbors),
        name: measuring,
    }


def stacked(frame: RenderedFrame) -> Planes:
    return np.stack(frame.color)


# --- the places -----------------------------------------------------------------------------


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 3000),
    x0=st.integers(-50, 50),
    y0=st.integers(-50, 50),
    align_px=st.sampled_from([1, 2, 8, 16]),
    scale=st.sampled_from([1, 2, 3, 4]),
)
def test_places_are_few_aligned_inside_and_reach_the_corners(
    width: int, height: int, x0: int, y0: int, align_px: int, scale: int
) -> None:
    window = Box.from_size(width, height, x0=x0 * scale, y0=y0 * scale)
    places = sample_places(window, align_px=align_px, scale=scale)
    step = math.lcm(align_px, scale)
    assert 1 <= len(places) <= 16
    assert len(set(places)) == len(places)
    for place in places:
        assert (place.width, place.height) == (SAMPLE_PX, SAMPLE_PX)
        assert (place.x0 - window.x0) % step == 0
        assert (place.y0 - window.y0) % step == 0
        assert place.x0 >= window.x0
        assert place.x1 <= max(window.x1, window.x0 + SAMPLE_PX)
        own = source_place(place, scale=scale)
        assert (own.x0 * scale, own.y0 * scale) == (place.x0, place.y0)
    assert places[0].as_tuple()[:2] == window.as_tuple()[:2]
    if min(width, height) >= SAMPLE_PX:
        last = places[-1]
        assert window.contains(last)
        assert window.x1 - last.x1 < step
        assert window.y1 - last.y1 < step
    if min(width, height) >= 4 * SAMPLE_PX:
        assert len(places) == 16


# --- what is measured -----------------------------------------------------------------------


def test_a_frame_is_measured_once_and_whole_however_it_is_tiled() -> None:
    fake = MeasuringFake(to_mean, mean_of)
    planes = picture()
    frame = render("mean", plate(planes, x0=-7, y0=3), fakes_with(fake))
    assert len(fake.samples) == 1
    assert fake.calls > 4
    (samples,) = fake.samples
    assert samples.pictures.shape == (6, 3, SAMPLE_PX, SAMPLE_PX)
    assert samples.pictures.dtype == torch.float32
    assert samples.pictures.is_inference()
    assert samples.sources is samples.pictures
    curve = working_curves.encode(torch.from_numpy(planes))
    assert torch.equal(samples.pictures[0], curve[:, :SAMPLE_PX, :SAMPLE_PX])
    assert torch.equal(samples.pictures[-1], curve[:, 100:228, 180:308])
    assert frame.measured == {"mean.level": pytest.approx(float(samples.pictures.mean()))}
    assert frame.skip_reasons == frame.fallbacks == ()


def test_behind_other_effects_the_plate_as_it_came_is_shown_beside() -> None:
    fake = MeasuringFake(to_mean, mean_of)
    planes = picture()
    render("double | blur | mean", plate(planes), fakes_with(fake))
    (samples,) = fake.samples
    assert samples.scale == 2
    assert samples.pictures.shape == (16, 3, SAMPLE_PX, SAMPLE_PX)
    assert samples.sources.shape == (16, 3, SAMPLE_PX // 2, SAMPLE_PX // 2)
    curve = working_curves.encode(torch.from_numpy(planes))
    assert torch.equal(samples.sources[0], curve[:, :64, :64])
    grown, own = (each.mean(dim=(1, 2, 3)) for each in (samples.pictures, samples.sources))
    np.testing.assert_allclose(grown, own, atol=0.02)  # noise down to black is held to it
    assert float(own.max() - own.min()) > 0.1


@pytest.mark.parametrize("flow", ["mean", "blur | mean", "double | mean", "mean | blur | mean"])
@pytest.mark.parametrize("size", [(230, 310), (40, 700), (900, 30)])
def test_a_region_is_measured_like_the_whole_frame_and_equals_its_crop(
    flow: str, size: tuple[int, int]
) -> None:
    whole_fake, part_fake = (MeasuringFake(to_mean, mean_of) for _ in range(2))
    source = plate(picture(*size), x0=5, y0=-3)
    region = Box(11, 2, 11 + size[1] // 3, 2 + size[0] // 3).intersection(source.window)
    whole = render(flow, source, fakes_with(whole_fake))
    part = render(flow, source, fakes_with(part_fake), region=region)
    assert part.measured == pytest.approx(whole.measured, abs=1e-6)
    assert len(part_fake.samples) == len(whole_fake.samples)
    box = part.window.shifted(-whole.window.x0, -whole.window.y0)
    crop = stacked(whole)[:, box.y0 : box.y1, box.x0 : box.x1]
    np.testing.assert_allclose(stacked(part), crop, rtol=0, atol=TOLERANCE)


def test_nan_inf_and_what_lies_far_above_are_held_out_of_the_samples() -> None:
    fake = MeasuringFake(to_mean, mean_of)
    planes = picture()
    planes[0, 5, 5], planes[1, 6, 6], planes[2, 7, 7] = np.nan, np.inf, 1e20
    render("mean", plate(planes), fakes_with(fake))
    (samples,) = fake.samples
    assert bool(torch.isfinite(samples.pictures).all())
    assert float(samples.pictures.max()) < 2.0


def test_what_touches_no_pixel_is_not_measured() -> None:
    fake = MeasuringFake(to_mean, mean_of)
    frame = render("mean(strength=0)", plate(picture(40, 40)), fakes_with(fake))
    assert fake.samples == []
    assert frame.measured == {}


def test_an_effect_that_stands_twice_is_numbered_and_each_measures_what_it_receives() -> None:
    fake = MeasuringFake(to_mean, mean_of)
    frame = render("mean | blur | mean", plate(picture()), fakes_with(fake))
    assert list(frame.measured) == ["mean#1.level", "mean#2.level"]
    assert len(fake.samples) == 2
    assert fake.samples[1].pictures.std() < fake.samples[0].pictures.std()


def test_a_lone_tile_is_measured_on_itself() -> None:
    fake = MeasuringFake(to_mean, mean_of)
    tile = torch.full((1, 3, 20, 30), 0.25)
    pictures = lone_tile_input(
        fake, fake.build(()), tile=tile, card=CARDS["around"], values={"strength": 1.0}
    )
    assert pictures.measured is not None
    assert pictures.measured.data == 0.25
    assert len(pictures.tiles) == len(pictures.frames) == 5
    assert pictures.picture is tile


# --- refusing -------------------------------------------------------------------------------


def test_a_refused_frame_keeps_every_bit_and_says_why() -> None:
    fake = MeasuringFake(to_mean, refuses)
    planes = picture()
    planes[0, 0, 0] = np.nan
    frame = render("mean", plate(planes), fakes_with(fake))
    assert not frame.is_touched
    assert fake.calls == 0
    assert (stacked(frame).view(np.uint32) == planes.view(np.uint32)).all()
    assert frame.skip_reasons == ("mean left the frame as it came: it is too soft",)
    assert frame.fallbacks == frame.skip_reasons
    assert frame.measured == {"mean.blur_px": 9.0}


def test_the_other_effects_of_a_flow_do_their_work_beside_one_that_refuses() -> None:
    fake = MeasuringFake(to_mean, refuses)
    source = plate(picture())
    alone = render("blur | blur(strength=0.5)", source, fakes_with(fake))
    for flow in ("blur | mean | blur(strength=0.5)", "blur | blur(strength=0.5) | mean"):
        beside = render(flow, source, fakes_with(fake))
        assert (stacked(beside) == stacked(alone)).all()
        assert len(beside.skip_reasons) == 1


def test_an_enlargement_that_is_refused_still_has_its_size() -> None:
    fake = MeasuringFake(lambda pictures, values: None, refuses)
    source = plate(picture(60, 50))
    frame = render("grow", source, fakes_with(fake, name="grow"))
    plain = render("double", source, fakes_with(fake))
    assert fake.calls == 0
    np.testing.assert_array_equal(stacked(frame), stacked(plain))
    assert frame.skip_reasons == ("grow did no more than enlarge it: it is too soft",)


# --- when memory is short -------------------------------------------------------------------


@pytest.mark.parametrize("error", [MemoryError("no"), torch.OutOfMemoryError("no")])
def test_a_look_that_does_not_fit_is_tried_once_more_then_it_is_a_typed_error(
    error: Exception,
) -> None:
    tries: list[int] = []

    def first_fails(samples: Samples, values: Mapping[str, Value]) -> Measured:
        tries.append(1)
        if len(tries) == 1:
            raise error
        return mean_of(samples, values)

    def always_fails(samples: Samples, values: Mapping[str, Value]) -> Measured:
        raise error

    source = plate(picture(40, 40))
    assert render("mean", source, fakes_with(MeasuringFake(to_mean, first_fails))).measured
    with pytest.raises(OutOfMemory) as caught:
        render("mean", source, fakes_with(MeasuringFake(to_mean, always_fails)))
    assert caught.value.fields["needed_bytes"] == 3 * SAMPLE_PX**2 * 4


def test_a_tile_that_does_not_fit_does_not_cost_a_second_look() -> None:
    def greedy(pictures: TileInput, values: Mapping[str, Value]) -> torch.Tensor:
        if pictures.picture.shape[-1] > 200:
            raise torch.OutOfMemoryError("no")
        return to_mean(pictures, values)

    fake = MeasuringFake(greedy, mean_of)
    source = plate(picture(100, 600))
    frame = render("mean", source, fakes_with(fake), tile_px=512)
    assert frame.fallbacks == ("tile 256",)
    assert len(fake.samples) == 1


# --- where and when a tile is ---------------------------------------------------------------


def by_place(pictures: TileInput, values: Mapping[str, Value]) -> torch.Tensor:
    """Add a pattern that depends on a pixel's own place and on the frame's number."""
    _, _, height, width = pictures.picture.shape
    x0, y0 = pictures.origin
    x = torch.arange(x0, x0 + width, dtype=torch.float32)[None, :]
    y = torch.arange(y0, y0 + height, dtype=torch.float32)[:, None]
    pattern = torch.sin(x * 0.7 + pictures.frame) * torch.cos(y * 0.9)
    return (0.1 * pattern).expand(1, 3, height, width)


def test_a_tile_knows_its_place_in_the_whole_frame_whatever_part_is_rendered() -> None:
    CARDS["grain"] = card("grain", halo_px=8, align_px=8, measures=True)
    fakes = {"blur": FakeEffect(blur), "grain": FakeEffect(by_place)}
    source, region = plate(picture(), x0=31, y0=-20), Box(60, 11, 205, 97)
    for flow in ("grain", "blur | grain"):
        whole = render(flow, source, fakes)
        part = render(flow, source, fakes, region=region)
        crop = stacked(whole)[:, region.y0 + 20 : region.y1 + 20, region.x0 - 31 : region.x1 - 31]
        np.testing.assert_allclose(stacked(part), crop, rtol=0, atol=TOLERANCE)
    moved = render(
        "grain", Plate(source.color, None, source.window.shifted(9, 9), source.colorspace), fakes
    )
    assert moved.is_touched


def test_the_numbers_of_the_window_are_told_and_a_frame_that_stands_in_repeats_its_own() -> None:
    seen: list[tuple[int, ...]] = []

    def noted(pictures: TileInput, values: Mapping[str, Value]) -> torch.Tensor:
        seen.append(pictures.frames)
        assert len(pictures.tiles) == len(pictures.frames)
        for number, tile in zip(pictures.frames, pictures.tiles, strict=True):
            level = float(working_curves.decode(tile).mean())
            assert level == pytest.approx(0.1 * (number - 1000), rel=1e-3)
        return torch.zeros_like(pictures.picture)

    plates = {1000 + n: plate(np.full((3, 8, 8), 0.1 * n, np.float32)) for n in range(1, 7)}
    fakes = {"around": FakeEffect(noted)}
    for frame in (1001, 1002, 1003, 1005, 1006):
        render("around", plates, fakes, frame=frame)
    render("around", {1004: plates[1004]}, fakes, frame=1004)
    assert seen == [
        (1003, 1002, 1001, 1002, 1003),
        (1002, 1001, 1002, 1003, 1004),
        (1001, 1002, 1003, 1004, 1005),
        (1003, 1004, 1005, 1006, 1005),
        (1004, 1005, 1006, 1005, 1004),
        (1004,) * 5,
    ]
