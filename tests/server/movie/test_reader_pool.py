"""The movies a worker holds open: once each, anew when they change, given back when idle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import FrameMissing
from kwaflux_server.movie.frame_image import frame_digest
from kwaflux_server.movie.reader import Movie
from kwaflux_server.movie.reader_pool import MovieShelf
from kwaflux_testing.movies import Shot, write_movie

CONFIG = ColorConfig.default()
H264 = Shot(options={"crf": "12"}, count=9)


def test_a_movie_is_opened_once_for_all_its_frames_and_anew_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_movie(tmp_path, H264)
    made: list[str] = []
    init = Movie.__init__

    def counted(self: Movie, path: str, *, frame_bytes_max: int, cache_bytes: int) -> None:
        made.append(path)
        init(self, path, frame_bytes_max=frame_bytes_max, cache_bytes=cache_bytes)

    monkeypatch.setattr(Movie, "__init__", counted)
    shelf = MovieShelf(CONFIG, frame_bytes_max=1 << 26)
    first = shelf.picture(str(path), 3, colorspace="")
    shelf.picture(str(path), 4, colorspace="")
    digest = shelf.digest(str(path), 3)
    assert len(made) == 1
    write_movie(tmp_path, replace(H264, options={"qp": "0"}))
    again = shelf.picture(str(path), 3, colorspace="")
    assert len(made) == 2
    assert not np.array_equal(first.part.channels["G"], again.part.channels["G"])
    assert shelf.digest(str(path), 3) != digest
    shelf.close()


def test_movies_are_given_back_when_nobody_reads_them(tmp_path: Path) -> None:
    now_s = [0.0]
    shelf = MovieShelf(CONFIG, frame_bytes_max=1 << 26, open_max=2, clock=lambda: now_s[0])
    paths = [str(write_movie(tmp_path, replace(H264, count=2), name=f"m{n}")) for n in range(3)]
    for path in paths:
        shelf.picture(path, 1, colorspace="")
    shelf.close_idle()
    assert list(shelf._held) == paths[1:]
    now_s[0] = 61.0
    shelf.close_idle()
    assert not shelf._held
    with pytest.raises(FrameMissing, match="cannot be opened"):
        shelf.picture(str(tmp_path / "none.mov"), 1, colorspace="")
    shelf.close()


def test_the_digest_is_of_the_frame_and_not_of_the_file(tmp_path: Path) -> None:
    shot = replace(H264, options={"qp": "0"})
    one, other = (
        write_movie(tmp_path, shot),
        write_movie(tmp_path, replace(shot, suffix=".mkv"), name="again"),
    )
    first, second = (
        Movie(str(path), frame_bytes_max=1 << 26, cache_bytes=0) for path in (one, other)
    )
    digests = [frame_digest(first, n, path=str(one)) for n in range(1, 9)]
    assert len(set(digests)) == 8
    assert frame_digest(second, 5, path=str(other)) == digests[4]
    first.close()
    second.close()
