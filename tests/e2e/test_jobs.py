"""Frame ranges through a real server: what is good is done, what is not is said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kwaflux_core import read_image, write_image
from kwaflux_core.errors import FrameMissing, ImageError, KwafluxError, RequestError, Unavailable
from kwaflux_core.images.atomic_write import TEMPORARY_PREFIX
from kwaflux_core.protocol.messages import JobEvent, Submit
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_server.worker.embedded import EmbeddedJob
from kwaflux_server.worker.process import WorkerOptions
from kwaflux_testing.pictures import plate, same_bits
from kwaflux_testing.servers import RunningServer, StartServer, wait_until

HEIGHT, WIDTH = 48, 64
FIRST = 1001


def _shoot(folder: Path, count: int, *, size: tuple[int, int] = (HEIGHT, WIDTH)) -> str:
    """Write a clip; return its pattern."""
    folder.mkdir(exist_ok=True)
    for number in range(FIRST, FIRST + count):
        write_image(folder / f"plate.{number}.exr", plate(*size, seed=number))
    return str(folder / "plate.####.exr")


def _cut_short(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])


def _ends(events: list[JobEvent]) -> dict[int, str]:
    """Return how each frame ended."""
    return {event.frame: event.state for event in events if event.state != "started"}


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _run(
    server: RunningServer,
    source: str,
    target: str,
    *,
    flow: str = "soften",
    frames: str = "",
    **how: str,
) -> tuple[list[JobEvent], tuple[int, int, int, int]]:
    with server.client() as client:
        options = RenderOptions(**how)  # type: ignore[arg-type]
        job = client.submit(source, target, flow=flow, frames=frames, options=options, timeout_s=60)
        events = list(job.events(timeout_s=60))
        done = job.result(timeout_s=1)
    return events, (done.done, done.skipped, done.failed, done.cancelled)


def test_a_frame_alone_is_the_same_as_in_a_job_and_in_one_process(
    server: RunningServer,
    effects_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two tiles: the denoiser's halo makes each of them cost as much as a frame.
    source = _shoot(tmp_path / "in", 3, size=(24, 40))
    for number in (1001, 1003):  # one shot, not three unrelated pictures
        shutil.copy(tmp_path / "in" / "plate.1002.exr", tmp_path / "in" / f"plate.{number}.exr")
    for out in ("job", "embedded"):
        (tmp_path / out).mkdir()
    flow = "around | denoise(strength=0.5)"
    events, counts = _run(server, source, str(tmp_path / "job" / "c.####.exr"), flow=flow)
    assert counts == (3, 0, 0, 0)
    assert [event.done for event in events if event.state == "done"] == [1, 2, 3]
    monkeypatch.syspath_prepend(str(effects_folder))
    submit = Submit(source, str(tmp_path / "embedded" / "c.####.exr"), flow)
    options = WorkerOptions("cpu", precision="float32", tile_px=32, threads=1)
    embedded = EmbeddedJob(submit, options=options, frames_in_flight=4)
    assert _ends(list(embedded.events())) == dict.fromkeys(range(FIRST, FIRST + 3), "done")
    assert embedded.result().done == 3
    with server.client() as client:
        client.render_file(
            tmp_path / "in" / "plate.1002.exr",
            tmp_path / "alone.exr",
            flow,
            frame=1002,
            neighbors={n: tmp_path / "in" / f"plate.{n}.exr" for n in (1001, 1003)},
            profile=(tmp_path / "job" / "c.profile.json").read_text(encoding="utf-8"),
            timeout_s=60,
        )
    (tmp_path / "one").mkdir()
    one = str(tmp_path / "one" / "c.####.exr")
    _run(server, source, one, flow=flow, frames="1002")
    for number in range(FIRST, FIRST + 3):
        served = read_image(tmp_path / "job" / f"c.{number}.exr")
        local = read_image(tmp_path / "embedded" / f"c.{number}.exr")
        for name in served.part.channels:
            assert same_bits(served.part.channels[name], local.part.channels[name])
        for key in ("hash", "pixels", "flow", "receipt"):
            name = f"kwaflux/{key}"
            assert served.part.attributes[name] == local.part.attributes[name]
    job = read_image(tmp_path / "job" / "c.1002.exr")
    for path in (tmp_path / "alone.exr", tmp_path / "one" / "c.1002.exr"):
        alone = read_image(path)
        assert alone.part.attributes["kwaflux/hash"] == job.part.attributes["kwaflux/hash"]
        for name in job.part.channels:
            assert same_bits(alone.part.channels[name], job.part.channels[name])


def test_a_truncated_frame_fails_and_the_others_are_done(
    server: RunningServer, tmp_path: Path
) -> None:
    source = _shoot(tmp_path / "in", 5)
    _cut_short(tmp_path / "in" / "plate.1003.exr")
    (tmp_path / "out").mkdir()
    events, counts = _run(server, source, str(tmp_path / "out" / "c.####.exr"))
    assert counts == (4, 0, 1, 0)
    (failed,) = (event for event in events if event.state == "failed")
    assert failed.frame == 1003
    assert failed.error is not None
    assert failed.error.code == "image_unreadable"
    assert "plate.1003.exr" in failed.error.message
    assert _names(tmp_path / "out") == {f"c.{n}.exr" for n in (1001, 1002, 1004, 1005)}


def test_missing_frames_fail_and_the_others_are_done(server: RunningServer, tmp_path: Path) -> None:
    source = _shoot(tmp_path / "in", 3)
    (tmp_path / "out").mkdir()
    events, counts = _run(server, source, str(tmp_path / "out" / "c.####.exr"), frames="1000-1004")
    assert counts == (3, 0, 2, 0)
    missing = {e.frame: e.error.code for e in events if e.error is not None}
    assert missing == {1000: "frame_missing", 1004: "frame_missing"}


def test_a_hole_in_the_clip_ends_the_window_of_a_temporal_effect(
    server: RunningServer, tmp_path: Path
) -> None:
    source = _shoot(tmp_path / "in", 5)
    (tmp_path / "in" / "plate.1003.exr").unlink()
    (tmp_path / "out").mkdir()
    _, counts = _run(server, source, str(tmp_path / "out" / "c.####.exr"), flow="around")
    assert counts == (4, 0, 0, 0)
    sources = {n: read_image(tmp_path / "in" / f"plate.{n}.exr") for n in (1004, 1005)}
    with server.client() as client:
        mirrored = client.render(
            sources[1004], "around", frame=1004, neighbors={1005: sources[1005]}, timeout_s=60
        ).image
    found = read_image(tmp_path / "out" / "c.1004.exr")
    for name in "RGB":
        assert same_bits(found.part.channels[name], mirrored.part.channels[name])


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"frames": "2001-2010"}, ImageError, "2001"),
        ({"frames": "1001-"}, RequestError, "1001-"),
        ({"source": "nothing.####.exr"}, FrameMissing, "nothing"),
        ({"flow": "sharpen"}, KwafluxError, "sharpen"),
        ({"flow": "soften(strength=2)"}, KwafluxError, "strength"),
    ],
    ids=["no such frames", "no range", "no such clip", "no such effect", "no such value"],
)
def test_a_job_with_nothing_to_do_is_refused_or_wholly_failed(
    server: RunningServer,
    how: dict[str, str],
    error: type[KwafluxError],
    says: str,
    tmp_path: Path,
) -> None:
    source = _shoot(tmp_path / "in", 2)
    source = str(tmp_path / "in" / how["source"]) if "source" in how else source
    with server.client() as client:

        def do() -> None:
            job = client.submit(
                source,
                tmp_path / "c.####.exr",
                flow=how.get("flow", "soften"),
                frames=how.get("frames", ""),
                timeout_s=60,
            )
            failures = [e.error for e in job.events(timeout_s=60) if e.error is not None]
            assert job.result(timeout_s=1).done == 0
            raise FrameMissing(min(failure.message for failure in failures))

        with pytest.raises(error, match=says):
            do()


def test_a_frame_that_stands_is_kept_verified_or_made_anew_as_asked(
    server: RunningServer, tmp_path: Path
) -> None:
    source = _shoot(tmp_path / "in", 4)
    out = tmp_path / "out"
    out.mkdir()
    target = str(out / "c.####.exr")
    paths = {n: out / f"c.{n}.exr" for n in range(FIRST, FIRST + 4)}
    assert _run(server, source, target)[1] == (4, 0, 0, 0)
    good = {n: read_image(path) for n, path in paths.items()}

    assert _run(server, source, target, existing="skip")[1] == (0, 4, 0, 0)
    assert _run(server, source, target, existing="verify")[1] == (0, 4, 0, 0)
    assert _run(server, source, target, existing="replace")[1] == (4, 0, 0, 0)

    _cut_short(paths[1002])
    altered = good[1003]
    red = altered.part.channels["R"].copy()
    red[3, 3] += 0.5
    plane_of = altered.part.channels
    color = (red, plane_of["G"], plane_of["B"])
    write_image(paths[1003], altered.with_color(altered.find_layer(), color))
    paths[1004].unlink()
    assert _run(server, source, target, existing="skip")[1] == (1, 3, 0, 0)
    events, counts = _run(server, source, target, existing="verify")
    assert counts == (2, 2, 0, 0)
    assert _ends(events) == {1001: "skipped", 1002: "done", 1003: "done", 1004: "skipped"}
    for n, path in paths.items():
        for name in "RGB":
            assert same_bits(read_image(path).part.channels[name], good[n].part.channels[name])
    events, counts = _run(server, source, target, existing="verify", flow="soften(strength=0.5)")
    assert counts == (4, 0, 0, 0), "what another flow made is not what was asked for"


def test_a_cancelled_job_says_what_became_of_every_frame(
    server: RunningServer, tmp_path: Path
) -> None:
    source = _shoot(tmp_path / "in", 12)
    out = tmp_path / "out"
    out.mkdir()
    with server.client() as client:
        job = client.submit(source, out / "c.####.exr", flow="slow(seconds=0.05)", timeout_s=60)
        events: list[JobEvent] = []
        for event in job.events(timeout_s=60):
            events.append(event)
            if len(_ends(events)) == 2 and event.state == "done":
                job.cancel()
        done = job.result(timeout_s=1)
    ends = _ends(events)
    assert set(ends) == set(job.frames)
    states = list(ends.values())
    assert (done.done, done.cancelled) == (states.count("done"), states.count("cancelled"))
    assert (done.skipped, done.failed) == (0, 0)
    assert done.done >= 2
    assert done.cancelled >= 5
    assert events[-1].done == events[-1].total == 12
    assert _names(out) == {f"c.{n}.exr" for n, state in ends.items() if state == "done"}


def test_a_server_that_stops_finishes_what_runs_and_says_what_was_not_done(
    start_server: StartServer, tmp_path: Path
) -> None:
    source = _shoot(tmp_path / "in", 60)
    out = tmp_path / "out"
    out.mkdir()
    own = start_server()
    with own.client() as client, own.client() as other:
        job = client.submit(source, out / "c.####.exr", flow="slow(seconds=0.05)", timeout_s=60)
        events: list[JobEvent] = []

        def read() -> None:
            for event in job.events(timeout_s=60):
                events.append(event)
                if event.state == "done" and event.done == 1:
                    other.shutdown(timeout_s=30)

        with pytest.raises(Unavailable):
            read()
        assert own.process.wait(30) == 0, own.log()
    done = {event.frame for event in events if event.state == "done"}
    assert 1 <= len(done) < 30, "it did the whole job before it stopped"
    assert _names(out) == {f"c.{n}.exr" for n in done}
    assert not [name for name in _names(out) if name.startswith(TEMPORARY_PREFIX)]
    assert not any(event.state == "failed" for event in events)


def test_two_jobs_share_a_server_fairly(server: RunningServer, tmp_path: Path) -> None:
    order: list[str] = []
    log = tmp_path / "log"
    with server.client() as first, server.client() as second:
        jobs = []
        for name, client in (("a", first), ("b", second)):
            source = _shoot(tmp_path / name, 8)
            target = tmp_path / name / "c.####.exr"
            flow = f'slow(seconds=0.01, log="{log}", name="{name}")'
            jobs.append(client.submit(source, target, flow=flow, timeout_s=60))
        for job in jobs:
            assert job.result(timeout_s=60).done == 8
    order = log.read_text(encoding="utf-8").split()
    tiles = len(order) // 16
    frames = order[::tiles]
    first_half = frames[: len(frames) // 2 + 2]
    assert min(first_half.count("a"), first_half.count("b")) >= 2, frames
    # After the head start of the first, neither gets three frames in a row while both wait.
    middle = "".join(frames[6:12])
    assert "aaaa" not in middle, frames
    assert "bbbb" not in middle, frames


def test_a_job_is_not_disturbed_by_a_temporary_of_a_killed_run(
    server: RunningServer, tmp_path: Path
) -> None:
    source = _shoot(tmp_path / "in", 2)
    stale = tmp_path / "in" / f"{TEMPORARY_PREFIX}1-abc.exr"
    stale.write_bytes(b"half a picture")
    _, counts = _run(server, source, str(tmp_path / "in" / "c.####.exr"))
    assert counts == (2, 0, 0, 0)
    wait_until(lambda: os.path.exists(tmp_path / "in" / "c.1002.exr"), what="the last frame")


def test_a_neighbor_that_changed_makes_a_frame_anew_when_verified(
    server: RunningServer, tmp_path: Path
) -> None:
    source = _shoot(tmp_path / "in", 4)
    (tmp_path / "out").mkdir()
    target = str(tmp_path / "out" / "c.####.exr")
    for seed, flow in enumerate(("around", "soften")):
        assert _run(server, source, target, flow=flow)[1] == (4, 0, 0, 0)
        write_image(tmp_path / "in" / "plate.1004.exr", plate(HEIGHT, WIDTH, seed=seed))
        events, _ = _run(server, source, target, flow=flow, existing="verify")
        kept = {frame for frame, state in _ends(events).items() if state == "skipped"}
        assert kept == ({1001, 1002} if flow == "around" else {1001, 1002, 1003})
