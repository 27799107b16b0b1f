"""``kwaflux enhance`` as a person and as a farm call it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kwaflux_core import read_image, write_image
from kwaflux_core.errors import Unavailable
from kwaflux_core.images.atomic_write import TEMPORARY_PREFIX
from kwaflux_testing.pictures import plate, same_bits
from kwaflux_testing.servers import Place, RunningServer, StartServer, wait_until


def _shoot(folder: Path, count: int, *, size: tuple[int, int] = (24, 32)) -> tuple[str, str]:
    """Write a clip; return the patterns of source and target."""
    for number in range(1001, 1001 + count):
        write_image(folder / f"plate.{number}.exr", plate(*size, seed=number))
    return str(folder / "plate.####.exr"), str(folder / "clean.####.exr")


def _lines(stdout: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in stdout.splitlines()]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_all_frames_good_is_status_0_and_one_json_object_a_line(
    server: RunningServer, tmp_path: Path
) -> None:
    source, target = _shoot(tmp_path, 3)
    done = server.place.command("enhance", source, target, "--flow", "soften", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first, *frames, last = _lines(done.stdout)
    assert first == {"event": "accepted", "frames": [1001, 1002, 1003]}
    ends = {line["frame"]: line for line in frames if line["state"] == "done"}
    assert set(ends) == {1001, 1002, 1003}
    assert ends[1003]["path"] == str(tmp_path / "clean.1003.exr")
    assert ends[1003]["receipt"]["nan_count"] == 0  # type: ignore[index]
    assert last == {
        "event": "done",
        "done": 3,
        "skipped": 0,
        "failed": 0,
        "cancelled": 0,
        "attention": 0,
        "exit_status": 0,
    }


def test_a_person_reads_what_became_of_the_frames(server: RunningServer, tmp_path: Path) -> None:
    source, target = _shoot(tmp_path, 3)
    cut = (tmp_path / "plate.1002.exr").read_bytes()[:700]
    (tmp_path / "plate.1002.exr").write_bytes(cut)
    done = server.place.command_in_process("enhance", source, target, "--flow", "soften")
    assert done.returncode == 1
    assert "frame 1002 needs attention" in done.stdout
    assert "2 done, 1 need attention" in done.stdout
    assert "{" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--flow", "sharpen"], "sharpen"),
        (["--flow", "soften(strength=2)"], "strength"),
        (["--flow", "soften", "--frames", "5000-5001"], "5000"),
        (["--flow", "soften", "--existing", "perhaps"], "'replace', 'skip', 'verify'"),
        (["--flow", "soften", "--colour", "x"], "--colour"),
        ([], "--flow"),
    ],
    ids=["effect", "value", "frames", "existing", "option", "no flow"],
)
def test_nothing_done_is_status_2_and_says_why(
    server: RunningServer, arguments: Sequence[str], says: str, tmp_path: Path
) -> None:
    source, target = _shoot(tmp_path, 1)
    done = server.place.command_in_process("enhance", source, target, *arguments)
    assert done.returncode == 2, done.stdout
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert _names(tmp_path) == {"plate.1001.exr"}


def test_what_was_measured_is_told_and_a_frame_that_was_refused_is_status_1(
    server: RunningServer, tmp_path: Path
) -> None:
    source, target = _shoot(tmp_path, 3)
    arguments = ("enhance", source, target, "--flow")
    read = server.place.command_in_process(*arguments, "gauge")
    assert read.returncode == 0, read.stdout
    assert "Measured: gauge.level 0." in read.stdout
    refused = server.place.command_in_process(*arguments, "gauge(limit=0) | soften", "--json")
    assert refused.returncode == 1
    *lines, last = _lines(refused.stdout)
    ends = [line for line in lines if line.get("state") == "done"]
    assert len(ends) == 3
    for line in ends:
        assert "gauge.level" in line["measured"]  # type: ignore[operator]
        assert "gauge left the frame as it came: too bright" in str(line["attention"])
    assert (last["done"], last["attention"], last["exit_status"]) == (3, 3, 1)
    said = read_image(tmp_path / "clean.1001.exr").part.attributes
    assert "gauge.level" in json.loads(str(said["kwaflux/measured"]))
    assert "too bright" in str(said["kwaflux/attention"])
    again = server.place.command_in_process(
        *arguments, "gauge(limit=0) | soften", "--existing", "verify"
    )
    assert again.returncode == 1
    assert "frame 1001 needs attention: gauge left" in again.stdout
    assert "3 kept, 3 need attention" in again.stdout
    log = server.log()
    assert "needs attention: gauge left" in log
    assert "gauge(limit=0.0) | soften(strength=1.0)" in log


def test_an_error_in_json_is_an_object_with_a_code(server: RunningServer, tmp_path: Path) -> None:
    source, target = _shoot(tmp_path, 1)
    done = server.place.command_in_process("enhance", source, target, "--flow", "sharpen", "--json")
    assert done.returncode == 2
    (line,) = _lines(done.stdout)
    assert line["event"] == "error"
    assert line["code"] == "unknown_effect"
    assert done.stderr == ""


def test_frames_that_stand_are_kept_when_asked(server: RunningServer, tmp_path: Path) -> None:
    source, target = _shoot(tmp_path, 2)
    arguments = ("enhance", source, target, "--flow", "soften", "--half")
    assert server.place.command_in_process(*arguments).returncode == 0
    stood = (tmp_path / "clean.1001.exr").stat().st_mtime_ns
    again = server.place.command_in_process(*arguments, "--existing", "verify")
    assert again.returncode == 0
    assert "2 kept" in again.stdout
    assert (tmp_path / "clean.1001.exr").stat().st_mtime_ns == stood


def _run_until_two_are_done(
    place: Place, arguments: Sequence[str]
) -> tuple[subprocess.Popen[str], list[dict[str, object]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kwaflux_server", "enhance", *arguments, "--json"],
        env=dict(place.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[dict[str, object]] = []
    assert process.stdout is not None
    for text in process.stdout:
        lines.append(json.loads(text))
        if sum(line.get("state") == "done" for line in lines) == 2:
            break
    return process, lines


@pytest.mark.parametrize("how", [[], ["--embedded"]], ids=["served", "embedded"])
def test_ctrl_c_cancels_the_rest_and_ends_with_the_counts(
    server: RunningServer, how: list[str], tmp_path: Path
) -> None:
    source, target = _shoot(tmp_path, 30, size=(32, 32))
    process, lines = _run_until_two_are_done(
        server.place, [source, target, "--flow", "slow(seconds=0.1)", *how]
    )
    try:
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    last = (lines + _lines(rest))[-1]
    assert (process.returncode, errors) == (1, "")
    assert last["event"] == "done"
    done, cancelled = last["done"], last["cancelled"]
    assert isinstance(done, int)
    assert isinstance(cancelled, int)
    assert 2 <= done < 30
    assert done + cancelled == 30
    written = {name for name in _names(tmp_path) if name.startswith("clean")}
    assert len(written) == done
    assert not [name for name in _names(tmp_path) if name.startswith(TEMPORARY_PREFIX)]


def test_a_server_that_is_lost_on_the_way_is_status_1_for_some_frames_are_done(
    start_server: StartServer, tmp_path: Path
) -> None:
    own = start_server()
    source, target = _shoot(tmp_path, 30, size=(32, 32))
    process, lines = _run_until_two_are_done(
        own.place, [source, target, "--flow", "slow(seconds=0.1)"]
    )
    try:
        own.process.kill()
        rest, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (1, "")
    last = (lines + _lines(rest))[-1]
    assert (last["event"], last["code"]) == ("error", "unavailable")


def test_embedded_needs_no_server_starts_none_and_gives_the_same_pixels(
    place: Place, server: RunningServer, tmp_path: Path
) -> None:
    source, target = _shoot(tmp_path, 2)
    other = str(tmp_path / "served.####.exr")
    flow = "denoise(strength=0.5)"
    done = place.command("enhance", source, target, "--flow", flow, "--embedded", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert _lines(done.stdout)[-1]["done"] == 2
    assert not list(place.folder.glob("*.sock*")), "a server was started"
    with pytest.raises(Unavailable):
        RunningServer(place, server.process).client()
    served = server.place.command_in_process("enhance", source, other, "--flow", flow)
    assert served.returncode == 0
    for number in (1001, 1002):
        first = read_image(tmp_path / f"clean.{number}.exr").part.channels
        second = read_image(tmp_path / f"served.{number}.exr").part.channels
        assert all(same_bits(first[name], second[name]) for name in first)


def test_enhance_starts_a_server_and_leaves_it_warm(place: Place, tmp_path: Path) -> None:
    source, target = _shoot(tmp_path, 1)
    try:
        first = place.command("enhance", source, target, "--flow", "denoise")
        assert first.returncode == 0, first.stdout + first.stderr
        assert "Started a server" in first.stdout
        status = place.command_in_process("status", "--json")
        assert status.returncode == 0
        (line,) = _lines(status.stdout)
        assert line["status"]["workers"][0]["resident"] == ["denoise"]  # type: ignore[index]
        again = place.command_in_process("enhance", source, target, "--flow", "denoise")
        assert again.returncode == 0
        assert "Started" not in again.stdout
    finally:
        place.command_in_process("stop")
    assert place.command_in_process("status").returncode == 2
    wait_until(lambda: not list(place.folder.glob("*.sock")), what="the sockets are removed")
