"""Movies to scene-linear EXRs: through a server, and in one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from kwaflux_core import read_image
from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import (
    Cancelled,
    FrameMissing,
    ImageUnreadable,
    ImageUnsupported,
    KwafluxError,
    RequestError,
    UnknownColorspace,
)
from kwaflux_core.protocol.messages import Cancel, Failed, JobEvent, Ping, Pong, Submit
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_server.movie.reader import Movie
from kwaflux_server.movie.reader_pool import MovieShelf
from kwaflux_server.worker.embedded import EmbeddedJob
from kwaflux_server.worker.process import WorkerOptions
from kwaflux_testing.movies import Shot, drawn_number, read_planes, write_movie
from kwaflux_testing.pictures import same_bits
from kwaflux_testing.rasters import write_png, write_with_library
from kwaflux_testing.raw_client import RawClient
from kwaflux_testing.servers import RunningServer

OPTIONS = WorkerOptions("cpu", precision="float32", tile_px=32, threads=1)
CONFIG = ColorConfig.default()
MOVIE = Shot(
    layout="yuv420p10le",
    count=6,
    options={"qp": "0", "params": "keyint=4:bframes=2"},
    first=5,
    suffix=".mov",
    metadata={"timecode": "10:00:00:00"},
    muxing={"movflags": "+faststart"},
)


def ends(events: list[JobEvent]) -> dict[int, str]:
    return {event.frame: event.state for event in events if event.state != "started"}


def in_process(submit: Submit) -> list[JobEvent]:
    return list(EmbeddedJob(submit, options=OPTIONS, frames_in_flight=2).events())


def target(folder: Path, name: str = "c") -> str:
    return str(folder / f"{name}.####.exr")


def scene_linear(path: Path, number: int, *, colorspace: str = "") -> npt.NDArray[np.float32]:
    """Return what a frame should be in an EXR, as (3, H, W)."""
    shelf = MovieShelf(CONFIG, frame_bytes_max=1 << 26)
    found = shelf.picture(str(path), number, colorspace=colorspace)
    shelf.close()
    stack = np.stack([found.part.channels[name].astype(np.float32) for name in "RGB"])
    CONFIG.converter(found.colorspace, "scene_linear").apply(stack)
    return stack


def test_a_movie_becomes_a_sequence_of_scene_linear_exrs(tmp_path: Path) -> None:
    source = write_movie(tmp_path, MOVIE)
    submit = Submit(str(source), target(tmp_path), "identity")
    events = in_process(submit)
    assert ends(events) == dict.fromkeys(range(1, 7), "done")
    for number in range(1, 7):
        found = read_image(tmp_path / f"c.{number:04d}.exr")
        expected = scene_linear(source, number)
        for plane, name in zip(expected, "RGB", strict=True):
            assert found.part.channels[name].dtype == np.float32
            assert same_bits(found.part.channels[name], plane)
        assert found.colorspace in ("scene_linear", "ACEScg")
        assert found.part.attributes["timeCode"].frame == number - 1  # type: ignore[attr-defined]
        assert found.part.attributes["framesPerSecond"] == 24
        assert "matrix BT.709" in str(found.part.attributes["kwaflux/decoded"])
        assert str(found.part.attributes["kwaflux/source"]).startswith("sha256:")
    black, white = scene_linear(source, 1)[:, 4, 12], scene_linear(source, 1)[:, 4, 4]
    assert white.mean() > 10 * black.mean()


def test_a_served_movie_is_the_same_as_one_in_this_process_and_a_frame_alone(
    server: RunningServer,
    effects_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, flow = write_movie(tmp_path, MOVIE), "around"
    with server.client() as client:
        job = client.submit(source, target(tmp_path, "served"), flow=flow, timeout_s=60)
        assert job.frames == (1, 2, 3, 4, 5, 6)
        assert set(ends(list(job.events(timeout_s=60))).values()) == {"done"}
        alone = client.submit(
            source, target(tmp_path, "alone"), flow=flow, frames="4", timeout_s=60
        )
        assert ends(list(alone.events(timeout_s=60))) == {4: "done"}
    monkeypatch.syspath_prepend(str(effects_folder))
    in_process(Submit(str(source), target(tmp_path, "local"), flow))
    for number in range(1, 7):
        served = read_image(tmp_path / f"served.{number:04d}.exr").part
        local = read_image(tmp_path / f"local.{number:04d}.exr").part
        assert all(same_bits(served.channels[n], local.channels[n]) for n in "RGB")
        assert served.attributes["kwaflux/hash"] == local.attributes["kwaflux/hash"]
        if number == 4:
            single = read_image(tmp_path / "alone.0004.exr").part
            assert all(same_bits(served.channels[n], single.channels[n]) for n in "RGB")


def test_frames_that_stand_are_verified_by_the_frame_of_the_movie(tmp_path: Path) -> None:
    source = write_movie(tmp_path, MOVIE)
    submit = Submit(
        str(source), target(tmp_path), "identity", options=RenderOptions(existing="verify")
    )
    assert set(ends(in_process(submit)).values()) == {"done"}
    assert set(ends(in_process(submit)).values()) == {"skipped"}
    # The same movie, wrapped anew: other bytes, the same frames.
    source.write_bytes(source.read_bytes() + b"\0\0\0\x08free")
    assert set(ends(in_process(submit)).values()) == {"skipped"}
    write_movie(tmp_path, replace(MOVIE, layout="yuv420p"))
    assert set(ends(in_process(submit)).values()) == {"done"}


def test_a_range_of_a_movie_is_rendered_and_a_frame_beyond_it_fails_alone(tmp_path: Path) -> None:
    source = write_movie(tmp_path, MOVIE)
    events = in_process(Submit(str(source), target(tmp_path), "identity", frames="2-8x3"))
    assert ends(events) == {2: "done", 5: "done", 8: "failed"}
    (error,) = (event.error for event in events if event.error is not None)
    assert error.code == FrameMissing.code
    assert "1-6" in error.hint


def test_a_cut_movie_fails_frame_by_frame_and_the_others_are_done(
    server: RunningServer, tmp_path: Path
) -> None:
    shot = replace(MOVIE, count=16)
    source = write_movie(tmp_path, shot)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    with server.client() as client:
        job = client.submit(source, target(tmp_path), flow="identity", timeout_s=60)
        events = list(job.events(timeout_s=60))
        done = job.result(timeout_s=5)
    assert done.done + done.failed == 16
    assert done.done > 2
    assert done.failed > 2
    failed = {event.frame: event.error for event in events if event.state == "failed"}
    for number, error in failed.items():
        assert error is not None
        assert error.code == ImageUnreadable.code
        assert f"frame {number} " in error.message


@pytest.mark.parametrize(
    ("change", "problem", "words"),
    [
        ({"tags": (2, 2, 2, 0)}, UnknownColorspace, "--colorspace"),
        ({"options": {"params": "interlaced=1"}, "layout": "yuv420p"}, ImageUnsupported, "deinter"),
    ],
)
def test_a_movie_that_cannot_be_read_as_meant_is_refused_once_before_its_frames(
    change: dict[str, object],
    problem: type[KwafluxError],
    words: str,
    server: RunningServer,
    tmp_path: Path,
) -> None:
    source = write_movie(tmp_path, replace(MOVIE, **change))  # type: ignore[arg-type]
    with server.client() as client, pytest.raises(problem) as caught:
        client.submit(source, target(tmp_path), flow="identity", timeout_s=60)
    assert words in caught.value.hint
    assert not list(tmp_path.glob("*.exr"))


def test_what_the_user_says_of_the_colors_is_taken(tmp_path: Path) -> None:
    source = write_movie(tmp_path, replace(MOVIE, count=1, tags=(2, 2, 2, 0)))
    events = in_process(
        Submit(
            str(source),
            str(tmp_path / "c.exr"),
            "identity",
            options=RenderOptions(colorspace="sRGB - Display"),
        )
    )
    warnings = [text for event in events if event.report for text in event.report.warnings]
    assert any("matrix" in text for text in warnings)
    found = read_image(tmp_path / "c.exr").part.channels
    expected = scene_linear(source, 1, colorspace="sRGB - Display")
    assert same_bits(found["G"], expected[1])


def test_a_movie_is_no_target_and_a_name_with_signs_is_a_name(
    server: RunningServer, tmp_path: Path
) -> None:
    source = write_movie(tmp_path, replace(MOVIE, count=2), name="take#2 [1-9]")
    with server.client() as client:
        with pytest.raises(ImageUnsupported, match="image sequence"):
            client.submit(source, tmp_path / "out.mov", flow="identity", timeout_s=60)
        with pytest.raises(RequestError, match="one file"):
            client.submit(source, tmp_path / "out.exr", flow="identity", timeout_s=60)
        with pytest.raises(FrameMissing):
            client.submit(tmp_path / "no.mov", target(tmp_path), flow="identity", timeout_s=60)
        job = client.submit(source, target(tmp_path), flow="identity", timeout_s=60)
        assert ends(list(job.events(timeout_s=60))) == {1: "done", 2: "done"}


def test_one_frame_of_a_movie_can_be_asked_for_by_its_number(
    server: RunningServer, tmp_path: Path
) -> None:
    source = write_movie(tmp_path, MOVIE)
    with server.client() as client:
        client.render_file(source, tmp_path / "one.exr", "identity", frame=5, timeout_s=60)
    found = read_image(tmp_path / "one.exr").part.channels
    assert same_bits(found["R"], scene_linear(source, 5)[0])
    movie = Movie(str(source), frame_bytes_max=1 << 26, cache_bytes=0)
    assert drawn_number(read_planes(movie.frame(5), 10)[0], 10) == 5
    movie.close()


# --- stills ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_sequence_of_8_bit_stills_becomes_scene_linear_exrs(suffix: str, tmp_path: Path) -> None:
    codes = np.full((16, 16, 3), 188, np.uint8)
    for number in (7, 8):
        path = tmp_path / f"p.{number:04d}{suffix}"
        if suffix == ".png":
            write_png(path, codes)  # OpenImageIO would tag it
        else:
            write_with_library(path, codes)
    source = str(tmp_path / f"p.####{suffix}")
    untagged = in_process(Submit(source, target(tmp_path), "identity"))
    assert set(ends(untagged).values()) == {"failed"}
    assert {event.error.code for event in untagged if event.error} == {UnknownColorspace.code}
    said = Submit(
        source, target(tmp_path), "identity", options=RenderOptions(colorspace="sRGB - Display")
    )
    assert ends(in_process(said)) == {7: "done", 8: "done"}
    found = read_image(tmp_path / "c.0008.exr").part.channels["G"]
    np.testing.assert_allclose(found, ((188 / 255 + 0.055) / 1.055) ** 2.4, rtol=0.01)


def test_a_still_that_unpacks_to_too_much_is_refused_by_its_header(tmp_path: Path) -> None:
    # 400 MB of float32 in a file of some kilobytes.
    write_png(tmp_path / "bomb.png", np.zeros((4000, 8000, 3), np.uint8), tags=[(b"sRGB", b"\0")])
    options = replace(OPTIONS, frame_bytes_max=1 << 20)
    submit = Submit(str(tmp_path / "bomb.png"), str(tmp_path / "c.exr"), "identity")
    (event,) = EmbeddedJob(submit, options=options, frames_in_flight=1).events()
    assert event.error is not None
    assert event.error.code == "frame_too_large"
    assert "384000000 bytes" in event.error.message


def test_while_a_movie_is_looked_at_the_server_answers_and_the_job_can_be_cancelled(
    server: RunningServer, tmp_path: Path
) -> None:
    source = write_movie(tmp_path, MOVIE)
    with RawClient(server.endpoint) as raw:
        raw.hello()
        # Sent in one go: all are there before a child process can have planned the job.
        request = raw.send(Submit(str(source), target(tmp_path), "identity"))
        raw.send(Ping())
        raw.send(Submit(str(source), target(tmp_path), "identity"), request_id=request)
        raw.send(Cancel(request))
        pong, again, answer = (raw.receive() for _ in range(3))
        assert pong is not None
        assert isinstance(pong.message, Pong), "planning blocks nobody"
        assert again is not None
        assert isinstance(again.message, Failed)
        assert again.message.code == "protocol"
        assert answer is not None
        assert isinstance(answer.message, Failed)
        assert answer.request_id == request
        assert answer.message.code == Cancelled.code
    assert not list(tmp_path.glob("*.exr"))
