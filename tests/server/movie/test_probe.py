"""The first look at a movie: its number of frames and its tags."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kwaflux_core.errors import FrameMissing, ImageUnreadable, ImageUnsupported
from kwaflux_server.movie.probe import probe_movie
from kwaflux_testing.movies import Shot, write_movie

SHOT = Shot(count=5)
LARGEST = 1 << 26


def test_the_facts_of_a_movie_are_its_frames_and_its_tags(tmp_path: Path) -> None:
    facts = probe_movie(str(write_movie(tmp_path, SHOT)), frame_bytes_max=LARGEST)
    assert facts.frames == range(1, 6)
    assert facts.interop_id == "g24_rec709_display"


def test_what_is_wrong_with_a_movie_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(FrameMissing):
        probe_movie(str(tmp_path / "none.mov"), frame_bytes_max=LARGEST)
    path = write_movie(tmp_path, replace(SHOT, options={"params": "interlaced=1"}))
    with pytest.raises(ImageUnsupported, match="interlaced"):
        probe_movie(str(path), frame_bytes_max=LARGEST)
    path.write_bytes(b"no movie")
    with pytest.raises(ImageUnreadable):
        probe_movie(str(path), frame_bytes_max=LARGEST)


def test_a_first_frame_that_is_damaged_does_not_cost_the_others(tmp_path: Path) -> None:
    shot = Shot("prores_ks", "yuv422p10le", ".mov", count=4)
    path = write_movie(tmp_path, shot)
    data = path.read_bytes()
    start = data.index(b"icpf")
    path.write_bytes(data[:start] + bytes(60) + data[start + 60 :])
    assert probe_movie(str(path), frame_bytes_max=LARGEST).frame_count == 4


def test_the_gateway_and_the_command_line_load_no_decoder() -> None:
    code = (
        "import sys, kwaflux_server.gateway.gateway, kwaflux_server.cli.main; "
        "print('av' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout.strip() == "False"
