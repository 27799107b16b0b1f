"""One decision a shot: the same for every frame, however a job is cut up, and told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core import read_image, write_image
from kwaflux_core.errors import RequestError
from kwaflux_core.frames.shot_profile import Shot, ShotProfile
from kwaflux_core.images.image import Image
from kwaflux_core.protocol.messages import JobEvent, RenderOptions, Submit
from kwaflux_server.worker.embedded import EmbeddedJob, judge_here
from kwaflux_server.worker.process import WorkerOptions

OPTIONS = WorkerOptions("cpu", precision="float32", threads=1)
FRAMES = 9
UNEVEN = (0.06, 0.0, 0.06, 0.06, 0.0, 0.06, 0.06, 0.06, 0.0)
"""Noise of each frame, display codes: every third frame is clean, as a codec's may be."""


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a shot whose noise is uneven from frame to frame."""
    folder = tmp_path_factory.mktemp("shot")
    for number, sigma in enumerate(UNEVEN, start=1):
        write_image(folder / f"plate.{number:04d}.exr", noisy(sigma, seed=number))
    return folder


def noisy(sigma: float, *, seed: int, level: float = 0.5) -> Image:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:96, 0:96] / 96.0
    code = level * (0.6 + 0.3 * np.sin(5.0 * rows) * np.cos(4.0 * columns))
    planes = np.stack([code + sigma * rng.normal(size=code.shape) for _ in range(3)])
    light = np.sign(planes) * np.abs(planes) ** 2.2
    return Image.from_channels(dict(zip("RGB", light.astype(np.float32), strict=True)))


def enhanced(
    folder: Path, name: str, *, frames: str = "", profile: str = "", flow: str = "denoise"
) -> dict[int, JobEvent]:
    """Render a job in this process; return the last event of each frame."""
    submit = Submit(
        str(folder / "plate.####.exr"),
        str(folder / f"{name}.####.exr"),
        flow,
        frames,
        RenderOptions(),
        profile=profile,
    )
    job = EmbeddedJob(submit, options=OPTIONS, frames_in_flight=2)
    return {event.frame: event for event in job.events() if event.state != "started"}


def decisions_of(events: dict[int, JobEvent]) -> set[tuple[str, ...]]:
    return {event.report.decisions for event in events.values() if event.report is not None}


def test_every_frame_of_a_shot_gets_the_same_correction(shot: Path) -> None:
    events = enhanced(shot, "all")
    (told,) = decisions_of(events)
    assert told[0].startswith("denoise: noise 0.")
    assert told[0].endswith("removed")
    records = [read_image(shot / f"all.{n:04d}.exr").part.attributes for n in range(1, 10)]
    assert len({str(each["kwaflux/profile"]) for each in records}) == 1
    assert len({str(each["kwaflux/measured"]) for each in records}) == 1


def test_a_frame_alone_is_the_frame_of_the_range(shot: Path) -> None:
    enhanced(shot, "whole")
    enhanced(shot, "one", frames="5")
    whole, one = (read_image(shot / f"{name}.0005.exr") for name in ("whole", "one"))
    assert one.part.attributes["kwaflux/hash"] == whole.part.attributes["kwaflux/hash"]
    assert all(np.array_equal(one.part.channels[n], whole.part.channels[n]) for n in "RGB")


def test_the_profile_lies_beside_the_results_and_is_used_as_it_is(shot: Path) -> None:
    enhanced(shot, "made")
    made = ShotProfile.parse((shot / "made.profile.json").read_text(encoding="utf-8"))
    (found,) = made.shots
    assert (found.first, found.last) == (1, FRAMES)
    assert len(found.judged) == 5
    record = dict(found.effects["denoise"]) | {"share": 0.25}
    edited = ShotProfile((Shot(1, FRAMES, (), {"denoise": record}),))
    events = enhanced(shot, "edited", frames="3", profile=edited.to_text())
    ((told,),) = decisions_of(events)
    assert "25 % removed; noise=" in told


def test_params_of_a_person_override_the_profile(shot: Path) -> None:
    told = ShotProfile((Shot(1, FRAMES, (), {"denoise": {"level": 0.5, "share": 1.0}}),))
    enhanced(shot, "told", frames="3", profile=told.to_text(), flow="denoise(noise=0.03)")
    enhanced(shot, "bare", frames="3", flow="denoise(noise=0.03)")
    first, second = (
        read_image(shot / f"{name}.0003.exr").part.channels for name in ("told", "bare")
    )
    assert all(np.array_equal(first[n], second[n]) for n in "RGB")
    assert not (shot / "bare.profile.json").exists()


def test_another_profile_is_another_result_for_verify(shot: Path) -> None:
    def run(share: float) -> JobEvent:
        record = {"level": 0.05, "share": share}
        profile = ShotProfile((Shot(1, FRAMES, (), {"denoise": record}),)).to_text()
        submit = Submit(
            str(shot / "plate.####.exr"),
            str(shot / "v.####.exr"),
            "denoise",
            "4",
            RenderOptions(existing="verify"),
            profile=profile,
        )
        (event,) = (
            e
            for e in EmbeddedJob(submit, options=OPTIONS, frames_in_flight=1).events()
            if e.state != "started"
        )
        return event

    assert [run(share).state for share in (1.0, 1.0, 0.5)] == ["done", "skipped", "done"]


def test_a_damaged_frame_is_left_out_of_the_judgment(shot: Path, tmp_path: Path) -> None:
    for number in range(1, FRAMES + 1):
        data = (shot / f"plate.{number:04d}.exr").read_bytes()
        (tmp_path / f"plate.{number:04d}.exr").write_bytes(data if number != 5 else data[:300])
    events = enhanced(tmp_path, "c")
    states = {number: event.state for number, event in events.items()}
    assert states[5] == "failed"
    assert states[1] == states[9] == "done"
    assert len(decisions_of(events)) == 1


def test_shots_on_both_sides_of_a_cut_are_judged_apart(tmp_path: Path) -> None:
    for number in range(1, 13):
        sigma, level = (0.06, 0.3) if number <= 6 else (0.0, 1.0)
        path = tmp_path / f"plate.{number:04d}.exr"
        write_image(path, noisy(sigma, seed=number, level=level))
    profile = judge_here(
        Submit(str(tmp_path / "plate.####.exr"), str(tmp_path / "x.####.exr"), "denoise"),
        file=str(tmp_path / "noise.json"),
        options=OPTIONS,
    )
    assert [(shot.first, shot.last) for shot in profile.shots] == [(1, 6), (7, 12)]
    noisy_shot, clean_shot = (shot.effects["denoise"] for shot in profile.shots)
    assert noisy_shot["share"] == 1.0
    assert clean_shot["share"] == 0.0
    assert json.loads((tmp_path / "noise.json").read_text())["flow"].startswith("denoise(")


@pytest.mark.parametrize("record", [{}, {"level": "strong", "share": 1.0}])
def test_a_record_that_is_not_the_effects_is_refused(shot: Path, record: dict[str, object]) -> None:
    profile = ShotProfile((Shot(1, FRAMES, (), {"denoise": record}),)).to_text()
    events = enhanced(shot, "bad", frames="2", profile=profile)
    assert events[2].error is not None
    assert events[2].error.code == RequestError.code


def test_a_text_that_is_no_profile_is_refused_before_anything_is_rendered(shot: Path) -> None:
    with pytest.raises(RequestError):
        enhanced(shot, "bad", profile="{}")


def test_the_grain_of_a_shot_is_the_same_in_every_frame(shot: Path) -> None:
    events = enhanced(shot, "grain", flow="denoise(noise=0.08) | regrain")
    (told,) = decisions_of(events)
    assert told[-1].startswith("regrain: grain 0.0")
    measured = {
        tuple(sorted(event.report.measured.items()))
        for event in events.values()
        if event.report is not None
    }
    assert len(measured) == 1
    first, second = (read_image(shot / f"grain.{n:04d}.exr").part.channels["G"] for n in (3, 4))
    assert not np.array_equal(first, second), "the grain is new in every frame"
