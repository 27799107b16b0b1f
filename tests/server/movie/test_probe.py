"""The first look at a movie: in a process of its own, never waited for, whatever happens to it."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kwaflux_core.errors import (
    DeadlineExceeded,
    FrameMissing,
    ImageUnreadable,
    ImageUnsupported,
    PathNotAllowed,
    RequestError,
)
from kwaflux_core.flows.flow import Flow
from kwaflux_core.protocol.messages import Submit
from kwaflux_server.gateway.path_guard import PathGuard
from kwaflux_server.jobs import open_jobs
from kwaflux_server.jobs.pending_probes import Looks, Waiting
from kwaflux_server.movie.probe import Look, MovieFacts
from kwaflux_server.movie.probe_process import looked_at
from kwaflux_testing.effects import card
from kwaflux_testing.movies import Shot, write_movie

SHOT = Shot(count=5)
LARGEST = 1 << 26


def python(folder: Path, script: str) -> str:
    """Return an interpreter that does something else than asked."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_facts_of_a_movie_come_from_another_process(tmp_path: Path) -> None:
    path = write_movie(tmp_path, SHOT)
    facts = Look(str(path), frame_bytes_max=LARGEST).result()
    assert facts == looked_at(str(path), frame_bytes_max=LARGEST)
    assert facts.frames == range(1, 6)
    assert facts.interop_id == "g24_rec709_display"


def test_what_is_wrong_with_a_movie_is_the_same_error_here(tmp_path: Path) -> None:
    with pytest.raises(FrameMissing):
        Look(str(tmp_path / "none.mov"), frame_bytes_max=LARGEST).result()
    path = write_movie(tmp_path, replace(SHOT, options={"params": "interlaced=1"}))
    with pytest.raises(ImageUnsupported, match="interlaced"):
        Look(str(path), frame_bytes_max=LARGEST).result()
    path.write_bytes(b"no movie")
    with pytest.raises(ImageUnreadable):
        Look(str(path), frame_bytes_max=LARGEST).result()


def test_a_first_frame_that_is_damaged_does_not_cost_the_others(tmp_path: Path) -> None:
    shot = Shot("prores_ks", "yuv422p10le", ".mov", count=4)
    path = write_movie(tmp_path, shot)
    data = path.read_bytes()
    start = data.index(b"icpf")
    path.write_bytes(data[:start] + bytes(60) + data[start + 60 :])
    assert looked_at(str(path), frame_bytes_max=LARGEST).frame_count == 4


def test_a_movie_that_breaks_the_decoder_breaks_only_the_look(tmp_path: Path) -> None:
    crashing = python(tmp_path, "kill -SEGV $$")
    with pytest.raises(ImageUnreadable, match="broke on it"):
        Look("/a.mov", frame_bytes_max=LARGEST, python=crashing).result()


def test_a_look_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    now_s = [0.0]
    slow = python(tmp_path, "exec sleep 60")
    look = Look("/a.mov", frame_bytes_max=1, clock=lambda: now_s[0], limit_s=5.0, python=slow)
    assert not look.is_done()
    now_s[0] = 5.0
    assert look.is_done()
    with pytest.raises(DeadlineExceeded, match="more than 5 s"):
        look.result()
    assert look._process.returncode is not None


def test_a_look_without_pyav_says_how_to_install_it(tmp_path: Path) -> None:
    blocked = f"exec {sys.executable} -c \"import sys; sys.modules['av'] = None; "
    blocked += "from kwaflux_server.movie.probe_process import main; main(['/a.mov', '9999'])\""
    with pytest.raises(RequestError, match="PyAV is not installed"):
        Look("/a.mov", frame_bytes_max=1, python=python(tmp_path, blocked)).result()


# --- submissions that wait ------------------------------------------------------------------


def waiting(session: str, request_id: int) -> Waiting:
    flow = Flow.parse("soft").bind({"soft": card("soft")})
    return Waiting(session, request_id, Submit("/a.mov", "/b.#.exr", "soft"), flow)


def test_submissions_are_handed_out_when_their_look_ended_and_not_before(tmp_path: Path) -> None:
    looks, path = Looks(), str(write_movie(tmp_path, SHOT))
    slow = python(tmp_path, "exec sleep 60")
    looks.begin(waiting("s1", 1), Look(path, frame_bytes_max=LARGEST))
    looks.begin(waiting("s1", 2), Look(path, frame_bytes_max=LARGEST, python=slow))
    looks.begin(waiting("s2", 1), Look(path + ".mov", frame_bytes_max=LARGEST))
    found: dict[tuple[str, int], object] = {}
    deadline_s = time.monotonic() + 60.0
    while len(found) < 2 and time.monotonic() < deadline_s:
        found |= {(w.session, w.request_id): result for w, result in looks.ended()}
        time.sleep(0.01)
    assert isinstance(found["s1", 1], MovieFacts)
    assert isinstance(found["s2", 1], FrameMissing)
    assert looks.is_waiting("s1", 2)
    assert not looks.is_waiting("s1", 1)
    assert looks.cancel("s1", 2)
    assert not looks.cancel("s1", 2)


def test_a_session_that_leaves_takes_its_looks_along(tmp_path: Path) -> None:
    looks, slow = Looks(), python(tmp_path, "exec sleep 60")
    begun = [Look("/a.mov", frame_bytes_max=1, python=slow) for _ in range(3)]
    for number, look in enumerate(begun):
        looks.begin(waiting("s1" if number else "s2", number), look)
    assert looks.drop("s1") == [1, 2]
    assert [look._process.poll() is None for look in begun] == [True, False, False]
    looks.drop("s2")
    assert looks.ended() == []


def test_a_movie_outside_the_roots_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    outside = write_movie(tmp_path, replace(SHOT, count=1))
    (inside / "link.mp4").symlink_to(outside)
    (inside / "own.mp4").write_bytes(outside.read_bytes())
    begun: list[str] = []
    monkeypatch.setattr(open_jobs, "Look", lambda path, *, frame_bytes_max: begun.append(path))
    jobs = open_jobs.JobDesk(PathGuard([str(inside)]), window=2, frame_bytes_max=LARGEST)
    for source in (outside, inside / "link.mp4"):
        with pytest.raises(PathNotAllowed):
            jobs.look(Submit(str(source), str(inside / "c.#.exr"), "soft"))
    with pytest.raises(PathNotAllowed):
        jobs.look(Submit(str(inside / "own.mp4"), str(tmp_path / "c.#.exr"), "soft"))
    jobs.look(Submit(str(inside / "own.mp4"), str(inside / "c.#.exr"), "soft"))
    assert begun == [str(inside / "own.mp4")]
    assert jobs.look(Submit(str(inside / "p.#.exr"), str(inside / "c.#.exr"), "soft")) is None


def test_the_gateway_and_the_command_line_load_no_decoder() -> None:
    code = (
        "import sys, kwaflux_server.gateway.gateway, kwaflux_server.cli.main; "
        "print('av' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.strip() == "False"
