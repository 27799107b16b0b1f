"""Results of a flow's first steps, shared by the frames of a shot."""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from torch import Tensor

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.flows.flow import Flow
from kwaflux_core.geometry import Box
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value
from kwaflux_models.rendering.frame_renderer import FrameRenderer, RenderedFrame
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.step_cache import CachedStep, StepCache
from kwaflux_models.rendering.step_renderer import StepResult
from kwaflux_testing.effects import (
    FakeEffect,
    Loader,
    MeasuringFake,
    blur,
    card,
    neighbors,
    to_mean,
)

Planes = npt.NDArray[np.float32]
CARDS = {
    "blur": card("blur"),
    "mean": card("mean", halo_px=0, measures=True),
    "around": card("around", frames_before=2, frames_after=2, halo_px=0),
}
CONFIG = ColorConfig.load()
FRAMES = range(1001, 1013)


def plate(seed: int, *, size: tuple[int, int] = (24, 32)) -> Plate:
    planes = np.random.default_rng(seed).random((3, *size), np.float32)
    return Plate((planes[0], planes[1], planes[2]), None, Box.from_size(size[1], size[0]), "ACEScg")


def allocate(height: int, width: int) -> tuple[Planes, Planes, Planes]:
    planes = np.full((3, height, width), np.nan, np.float32)
    return planes[0], planes[1], planes[2]


def level(samples: Samples, values: Mapping[str, Value]) -> Measured:
    found = float(samples.pictures.mean())
    return Measured({"level": found}, data=found)


class Shot:
    """A shot whose frames are rendered with their neighbors, two or more under way at a time."""

    def __init__(self) -> None:
        self.blur, self.mean = FakeEffect(blur), MeasuringFake(to_mean, level)
        fakes = {"blur": self.blur, "mean": self.mean, "around": FakeEffect(neighbors)}
        self.renderer = FrameRenderer(
            Loader(fakes), device=Device("cpu"), config=CONFIG, tile_px=512
        )
        self.plates = {frame: plate(frame) for frame in FRAMES}

    def around(self, frame: int) -> dict[int, Plate]:
        """Return what a job hands in for a frame: the two frames on each side that are there."""
        return {at: self.plates[at] for at in range(frame - 2, frame + 3) if at in self.plates}

    def render(self, flow: str, frame: int, *, region: Box | None = None) -> RenderedFrame:
        return self.renderer.render(
            Flow.parse(flow).bind(CARDS),
            self.around(frame),
            frame=frame,
            scratch=allocate,
            final=allocate,
            region=region,
        )


def bits(frame: RenderedFrame) -> npt.NDArray[np.uint32]:
    return np.stack(frame.color).view(np.uint32)


def test_a_step_before_a_temporal_one_is_rendered_once_for_each_frame_of_the_shot() -> None:
    shot = Shot()
    for frame in FRAMES:
        shot.render("blur | around", frame)
    assert shot.blur.calls == len(FRAMES)


def test_a_frame_is_the_same_alone_and_in_the_middle_of_a_shot_in_any_order() -> None:
    flow = "blur | mean | around | blur"
    shot, backwards = Shot(), Shot()
    inside = {frame: shot.render(flow, frame) for frame in FRAMES}
    for frame in reversed(FRAMES):
        again, alone = backwards.render(flow, frame), Shot().render(flow, frame)
        for found in (again, alone):
            assert (bits(found) == bits(inside[frame])).all()
            assert found.receipt == inside[frame].receipt
            assert found.measured == inside[frame].measured
            assert found.precisions == inside[frame].precisions
    assert len({frame.measured["mean.level"] for frame in inside.values()}) == len(FRAMES)
    assert inside[1005].precisions == ("float32",) * 4


def test_a_frame_that_was_made_as_a_neighbor_is_measured_once_and_still_shows_it() -> None:
    shot = Shot()
    for frame in FRAMES:
        assert shot.render("mean | around", frame).measured
    assert len(shot.mean.samples) == len(FRAMES)


def test_other_values_other_plates_other_regions_and_other_steps_are_rendered_anew() -> None:
    shot = Shot()
    first = shot.render("blur | around", 1005)
    calls = shot.blur.calls
    assert calls == 5
    shot.render("blur(strength=0.5) | around", 1005)
    assert shot.blur.calls == 10
    shot.render("blur | around", 1005, region=Box(3, 3, 9, 9))
    assert shot.blur.calls == 15
    shot.plates[1007] = plate(99)
    assert (bits(shot.render("blur | around", 1005)) != bits(first)).any()
    assert shot.blur.calls == 16
    shot.render("blur | blur", 1005)
    assert shot.blur.calls == 18, "nothing is kept where no frame reads another"


def test_nothing_is_kept_longer_than_the_plates_are_held() -> None:
    shot = Shot()
    for frame in FRAMES:
        shot.render("blur | around", frame)
    assert 0 < len(shot.renderer.context.cache) <= 10
    shot.plates.clear()
    gc.collect()
    assert len(shot.renderer.context.cache) == 0


def test_no_more_is_kept_than_a_few_windows() -> None:
    shot = Shot()
    for frame in FRAMES:
        shot.render("blur | blur(strength=0.5) | around", frame)
    assert len(shot.renderer.context.cache) <= 2 * 2 * 5


def test_an_effect_that_touches_nothing_keeps_no_plate_alive() -> None:
    shot = Shot()
    shot.blur = FakeEffect(lambda pictures, values: None)
    fakes = {"blur": shot.blur, "around": FakeEffect(neighbors)}
    shot.renderer = FrameRenderer(Loader(fakes), device=Device("cpu"), config=CONFIG)
    shot.render("blur | around", 1005)
    assert len(shot.renderer.context.cache) == 0


def test_a_result_that_is_kept_is_not_the_one_that_is_handed_out() -> None:
    flow = "blur | idle"
    shot, idle = Shot(), {"idle": FakeEffect(lambda pictures, values: None)}
    CARDS["idle"] = card("idle", frames_before=2, frames_after=2, halo_px=0)
    load = Loader({"blur": shot.blur, **idle})
    shot.renderer = FrameRenderer(load, device=Device("cpu"), config=CONFIG)
    for frame in FRAMES:
        found, expected = shot.render(flow, frame), Shot().render("blur", frame)
        assert (bits(found) == bits(expected)).all()
        part = shot.render(flow, frame, region=Box(3, 3, 9, 9))
        assert (bits(part) == bits(Shot().render("blur", frame, region=part.window))).all()
        for plane in (*found.color, *part.color):  # as whoever gets it may do with it
            plane[:] = np.nan


def test_what_is_kept_is_let_go_when_memory_is_short() -> None:
    shot = Shot()
    shot.render("blur | around", 1005)
    tries: list[int] = []

    def greedy(pictures: TileInput, values: Mapping[str, Value]) -> Tensor:
        tries.append(len(shot.renderer.context.cache))
        if len(tries) == 1:
            raise MemoryError
        return blur(pictures, values)

    CARDS["greedy"] = card("greedy")
    lend = Loader({"greedy": FakeEffect(greedy)})
    shot.renderer.context = replace(shot.renderer.context, lend=lend)
    assert shot.render("greedy", 1005).fallbacks == ("tile 256",)
    assert tries == [5, 0]


@pytest.mark.parametrize("threads", [1, 4])
def test_plates_may_be_let_go_by_another_thread(threads: int) -> None:
    shelf = StepCache()

    def come_and_go(seed: int) -> None:
        for number in range(200):
            source, made = plate(seed, size=(2, 2)), plate(seed + 1, size=(2, 2))
            sources = ((number, source),)
            kept = CachedStep(StepResult(made, is_touched=True), {}, {})
            shelf.put("step", made.window, sources, kept, limit=5)
            found = shelf.find("step", made.window, sources)
            assert found is None or found is kept
            del source, sources

    running = [threading.Thread(target=come_and_go, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(30)
        assert not thread.is_alive()
    gc.collect()
    assert len(shelf) == 0
