"""The plan of a frame is data: which step, which frame, which pixels, in which order."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import FrameMissing
from kwaflux_core.flows.flow import Flow
from kwaflux_core.geometry import Box
from kwaflux_models.rendering.flow_plan import FlowPlan, MeasureTask, PlateTask, RenderTask
from kwaflux_testing.effects import card

CARDS = {
    "blur": card("blur", halo_px=4),
    "around": card("around", frames_before=2, frames_after=2, halo_px=0),
    "judge": card("judge", halo_px=8, align_px=8, measures=True),
    "double": card("double", scale=2, halo_px=8),
}
WINDOW = Box(0, 0, 2000, 1000)


def plan(
    flow: str,
    *,
    frame: int = 5,
    wanted: Box | None = None,
    windows: Mapping[int, Box] | None = None,
) -> FlowPlan:
    bound = Flow.parse(flow).bind(CARDS).without_identities()
    return FlowPlan.of(
        bound,
        frame=frame,
        wanted=wanted or WINDOW.scaled(bound.scale),
        windows=windows or dict.fromkeys(range(1, 10), WINDOW),
    )


def renders(found: FlowPlan) -> list[RenderTask]:
    return [task for task in found.tasks if isinstance(task, RenderTask)]


def test_one_step_of_one_frame_is_its_plate_and_one_render() -> None:
    first, second = plan("blur").tasks
    assert first == PlateTask(5)
    assert isinstance(second, RenderTask)
    assert (second.step, second.frame, second.wanted, second.region) == (1, 5, WINDOW, WINDOW)
    assert (second.inputs, second.frames, second.center) == ((0,), (5,), 0)
    assert not second.sources, "no other frame wants it"


def test_a_step_reads_as_much_of_the_one_before_as_its_halo_needs() -> None:
    found = renders(plan("blur | blur(strength=0.5)", wanted=Box(100, 100, 200, 200)))
    assert [task.wanted for task in found] == [Box(96, 96, 204, 204), Box(100, 100, 200, 200)]


def test_a_region_is_snapped_to_the_alignment_of_the_whole() -> None:
    (first, _) = renders(plan("blur | judge", wanted=Box(101, 101, 199, 199)))[-2:]
    assert all(edge % 8 == 0 for edge in (first.wanted.x0, first.wanted.y0, first.wanted.x1))


def test_a_temporal_step_wants_the_steps_before_it_once_for_each_frame() -> None:
    found = renders(plan("blur | around"))
    assert [(task.step, task.frame) for task in found] == [
        *((1, frame) for frame in (3, 4, 5, 6, 7)),
        (2, 5),
    ]
    assert all(task.sources == (task.frame,) for task in found[:-1])
    assert all(task.readers == 5 for task in found[:-1])


def test_at_the_ends_of_a_clip_the_window_is_mirrored_and_nothing_is_done_twice() -> None:
    found = renders(plan("blur | around", frame=1))
    assert [(task.step, task.frame) for task in found] == [(1, 3), (1, 2), (1, 1), (2, 1)]
    assert found[-1].frames == (3, 2, 1, 2, 3)


def test_a_step_that_measures_does_so_before_it_renders_at_places_of_the_whole_frame() -> None:
    whole, part = plan("judge"), plan("judge", wanted=Box(0, 0, 64, 64))
    for found in (whole, part):
        kinds = [type(task) for task in found.tasks]
        assert kinds == [PlateTask, MeasureTask, RenderTask]
    assert whole.tasks[1] == part.tasks[1]


def test_places_that_a_region_lacks_are_samples_of_the_steps_before() -> None:
    found = plan("blur | judge", wanted=Box(0, 0, 64, 64))
    (measure,) = [task for task in found.tasks if isinstance(task, MeasureTask)]
    samples = [found.tasks[at] for at in measure.samples]
    assert len(samples) == len(measure.places) == 16
    for sample, place in zip(samples, measure.places, strict=True):
        assert isinstance(sample, RenderTask)
        assert (sample.wanted, sample.is_sample, sample.sources) == (place, True, ())


def test_on_a_small_frame_the_samples_are_one_render_of_all_of_it() -> None:
    small = Box(0, 0, 300, 200)
    found = plan("blur | judge", wanted=Box(0, 0, 9, 9), windows={5: small})
    (measure,) = [task for task in found.tasks if isinstance(task, MeasureTask)]
    assert measure.is_whole
    assert len(set(measure.samples)) == 1


def test_a_hole_in_a_clip_is_an_error_and_its_ends_are_not() -> None:
    with pytest.raises(FrameMissing):
        plan("around", windows=dict.fromkeys((3, 5, 6, 7), WINDOW))
    plan("around", windows=dict.fromkeys((4, 5, 6), WINDOW))


def test_a_plan_can_be_read() -> None:
    lines = str(plan("blur | around")).splitlines()
    assert lines[0] == "  0 plate 3"
    assert lines[-1] == " 10 render step 2 of 5, 0,0 to 2000,1000, from 1, 3, 5, 7, 9"


@given(
    st.lists(st.sampled_from(sorted(CARDS)), min_size=1, max_size=3),
    st.integers(1, 9),
    st.integers(0, 900),
    st.integers(1, 100),
)
def test_every_task_comes_after_those_it_needs(
    names: list[str], frame: int, x0: int, width: int
) -> None:
    flow = " | ".join(names)
    scale = Flow.parse(flow).bind(CARDS).scale
    found = plan(flow, frame=frame, wanted=Box(x0, 0, x0 + width, 50).scaled(scale))
    for index, task in enumerate(found.tasks):
        match task:
            case RenderTask():
                needed: tuple[int, ...] = task.inputs
                needed += () if task.measure is None else (task.measure,)
            case MeasureTask():
                needed = (task.input, *task.samples)
            case _:
                needed = ()
        assert all(at < index for at in needed)
    last = found.tasks[-1]
    assert isinstance(last, RenderTask)
    assert (last.step, last.frame) == (len(names), frame)
