"""The same engine inside one process."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from kwaflux_core import read_image, write_image
from kwaflux_core.errors import (
    FrameMissing,
    ParamError,
    RequestError,
    SettingsError,
    UnknownEffect,
)
from kwaflux_core.protocol.messages import JobEvent, Submit
from kwaflux_server.worker.embedded import EmbeddedJob
from kwaflux_server.worker.process import WorkerOptions
from kwaflux_testing.pictures import plate, same_bits

OPTIONS = WorkerOptions("cpu", precision="float32", tile_px=32, threads=1)


def _shoot(folder: Path, count: int) -> Submit:
    for number in range(1, 1 + count):
        write_image(folder / f"plate.{number:04d}.exr", plate(24, 32, seed=number))
    return Submit(str(folder / "plate.####.exr"), str(folder / "c.####.exr"), "identity")


def _job(submit: Submit, *, options: WorkerOptions = OPTIONS) -> EmbeddedJob:
    return EmbeddedJob(submit, options=options, frames_in_flight=2)


def _threads() -> set[str]:
    return {
        thread.name.split("_")[0]
        for thread in threading.enumerate()
        if thread.name.startswith(("compute", "read", "write"))
    }


def test_every_frame_is_rendered_told_and_counted(tmp_path: Path) -> None:
    job = _job(_shoot(tmp_path, 4))
    assert job.frames == (1, 2, 3, 4)
    events = list(job.events())
    assert sorted(event.frame for event in events if event.state == "done") == [1, 2, 3, 4]
    assert {event.state for event in events} == {"started", "done"}
    done = job.result()
    assert (done.done, done.skipped, done.failed, done.cancelled) == (4, 0, 0, 0)
    first, second = read_image(tmp_path / "plate.0003.exr"), read_image(tmp_path / "c.0003.exr")
    assert all(same_bits(first.part.channels[n], second.part.channels[n]) for n in "RGBA")
    assert _threads() == set()


def test_a_broken_frame_costs_the_others_nothing(tmp_path: Path) -> None:
    submit = _shoot(tmp_path, 3)
    (tmp_path / "plate.0002.exr").write_bytes(b"no picture")
    job = _job(submit)
    failed = [event for event in job.events() if event.state == "failed"]
    assert [event.frame for event in failed] == [2]
    assert (job.result().done, job.result().failed) == (2, 1)


def test_a_cancelled_job_runs_its_events_to_the_end(tmp_path: Path) -> None:
    job = _job(_shoot(tmp_path, 12))
    events: list[JobEvent] = []
    for event in job.events():
        events.append(event)
        if event.state == "done" and event.done == 1:
            job.cancel()
            job.cancel()
    done = job.result()
    assert done.done + done.cancelled == 12
    assert done.cancelled >= 6
    ends = [event.frame for event in events if event.state != "started"]
    assert sorted(ends) == list(range(1, 13))


def test_events_that_are_given_up_leave_no_thread(tmp_path: Path) -> None:
    events = _job(_shoot(tmp_path, 6)).events()
    next(events)
    assert _threads()
    events.close()  # type: ignore[attr-defined]
    assert _threads() == set()


def test_a_result_before_the_end_is_an_error(tmp_path: Path) -> None:
    job = _job(_shoot(tmp_path, 1))
    with pytest.raises(RequestError, match="not ended"):
        job.result()
    list(job.events())
    assert job.result().done == 1


def test_what_cannot_begin_is_said_before_anything_is_rendered(tmp_path: Path) -> None:
    submit = _shoot(tmp_path, 1)
    cases = [
        (Submit(submit.source, submit.target, "sharpen"), OPTIONS, UnknownEffect),
        (Submit(submit.source, submit.target, "denoise(strength=7)"), OPTIONS, ParamError),
        (Submit(submit.source, submit.source, "identity"), OPTIONS, RequestError),
        (Submit(f"{tmp_path}/no.####.exr", submit.target, "identity"), OPTIONS, FrameMissing),
        (submit, WorkerOptions("abacus"), SettingsError),
    ]
    for asked, options, error in cases:
        with pytest.raises(error):
            _job(asked, options=options)
    assert not list(tmp_path.glob("c.*"))
    assert _threads() == set()
