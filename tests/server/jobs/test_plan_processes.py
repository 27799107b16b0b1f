"""Jobs are planned in processes of their own: never waited for, whatever happens to them."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import (
    DeadlineExceeded,
    FrameMissing,
    ImageUnreadable,
    KwafluxError,
    PathNotAllowed,
    RequestError,
    Unavailable,
    WorkerError,
)
from kwaflux_core.protocol.messages import Submit
from kwaflux_server.jobs.job_plan import JobPlan, plan_job
from kwaflux_server.jobs.plan_processes import JobPlanner
from kwaflux_server.path_guard import PathGuard
from kwaflux_testing.movies import Shot, write_movie

LARGEST = 1 << 26
SLOW = ("/bin/sleep", "60")


@pytest.fixture
def planner(tmp_path: Path) -> Iterator[JobPlanner]:
    made = JobPlanner([str(tmp_path)], frame_bytes_max=LARGEST)
    yield made
    made.close()


def clip(folder: Path, *frames: int) -> Submit:
    for frame in frames:
        (folder / f"a.{frame:04d}.exr").write_bytes(b"")
    return Submit(str(folder / "a.####.exr"), str(folder / "b.####.exr"), "soft")


@given(st.lists(st.integers(-2000, 2000), unique=True))
def test_a_plan_survives_being_written(frames: list[int]) -> None:
    plan = JobPlan(tuple(frames), tuple(sorted(frames)), is_movie=False)
    assert JobPlan.from_json(plan.to_json()) == plan


def test_a_million_frames_are_a_small_plan() -> None:
    plan = JobPlan(tuple(range(1, 1_000_001, 1)), tuple(range(0, 2_000_000, 2)), is_movie=False)
    assert len(plan.to_json()) < 200


def test_a_sequence_is_planned_as_in_this_process(tmp_path: Path, planner: JobPlanner) -> None:
    submit = clip(tmp_path, 1001, 1002, 1004)
    found = planner.begin(submit).result()
    assert found == plan_job(submit, guard=PathGuard(["/"]), frame_bytes_max=LARGEST)
    assert found.frames == found.clip == (1001, 1002, 1004)
    assert found.tasks(submit)[0].target_path.endswith("b.1001.exr")


def test_a_movie_is_planned_as_one_file(tmp_path: Path, planner: JobPlanner) -> None:
    path = str(write_movie(tmp_path, Shot(count=5)))
    submit = Submit(path, str(tmp_path / "b.####.exr"), "soft")
    found = planner.begin(submit).result()
    assert found.frames == (1, 2, 3, 4, 5)
    assert set(found.clip_paths(submit).values()) == {path}


def test_one_process_answers_one_job_after_the_other(tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = tmp_path / "planner"
    script.write_text(
        f"#!/bin/sh\necho x >> {count}\n"
        f"exec {sys.executable} -m kwaflux_server.jobs.plan_child {LARGEST} /\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    planner = JobPlanner(["/"], frame_bytes_max=LARGEST, command=[str(script)])
    submit = clip(tmp_path, 1)
    for _ in range(3):
        assert planner.begin(submit).result().frames == (1,)
    planner.close()
    assert count.read_text() == "x\n"


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [
        ("none.####.exr", "b.####.exr", FrameMissing),
        ("a.####.exr", "a.####.exr", RequestError),
        ("a.####.exr", "no/b.####.exr", KwafluxError),
        ("../a.####.exr", "b.####.exr", PathNotAllowed),
        ("a.####.exr", "../b.####.exr", PathNotAllowed),
    ],
)
def test_what_is_wrong_with_a_job_is_the_same_error_here(
    source: str, target: str, error: type[KwafluxError], tmp_path: Path, planner: JobPlanner
) -> None:
    clip(tmp_path, 1)
    submit = Submit(f"{tmp_path}/{source}", f"{tmp_path}/{target}", "soft")
    with pytest.raises(error):
        planner.begin(submit).result()


def test_a_movie_outside_the_roots_is_not_opened(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    outside = write_movie(tmp_path, Shot(count=1))
    (inside / "link.mp4").symlink_to(outside)
    for source in (outside, inside / "link.mp4"):
        with pytest.raises(PathNotAllowed):
            plan_job(
                Submit(str(source), str(inside / "c.#.exr"), "soft"),
                guard=PathGuard([str(inside)]),
                frame_bytes_max=LARGEST,
            )


def test_a_movie_that_breaks_the_decoder_breaks_only_its_own_plan(tmp_path: Path) -> None:
    crashing = JobPlanner(["/"], frame_bytes_max=1, command=["/bin/sh", "-c", "kill -SEGV $$"])
    with closing(crashing), pytest.raises(ImageUnreadable):
        crashing.begin(Submit("/a.mov", "/b.#.exr", "soft")).result()
    with closing(crashing), pytest.raises(WorkerError):
        crashing.begin(Submit("/a.#.exr", "/b.#.exr", "soft")).result()


def test_a_plan_that_takes_too_long_is_given_up_and_nothing_is_waited_for() -> None:
    now_s = [0.0]
    planner = JobPlanner(["/"], frame_bytes_max=1, clock=lambda: now_s[0], command=SLOW)
    pending = planner.begin(Submit("/a.#.exr", "/b.#.exr", "soft"))
    assert not pending.is_done()
    now_s[0] = 30.0
    assert pending.is_done()
    with closing(planner), pytest.raises(DeadlineExceeded):
        pending.result()


def test_more_plans_than_processes_are_refused_until_one_ends() -> None:
    planner = JobPlanner(["/"], frame_bytes_max=1, command=SLOW)
    submit = Submit("/a.#.exr", "/b.#.exr", "soft")
    with closing(planner):
        pending = [planner.begin(submit) for _ in range(8)]
        with pytest.raises(Unavailable):
            planner.begin(submit)
        pending.pop().end()
        planner.begin(submit).end()
        for each in (*pending, *pending):
            each.end()


def test_a_process_that_died_while_idle_is_replaced(tmp_path: Path) -> None:
    planner = JobPlanner(["/"], frame_bytes_max=LARGEST)
    submit = clip(tmp_path, 1)
    for _ in range(2):
        pending = planner.begin(submit)
        assert pending.result().frames == (1,)
        pending._process.kill()  # what an operator or the system may do
        deadline_s = time.monotonic() + 10
        while pending._process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.01)
    planner.close()
