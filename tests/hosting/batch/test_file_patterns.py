"""Patterns as hosts write them: views, versions, slashes; the paddings are the server's."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwaflux_core.errors import RequestError
from kwaflux_hosting.batch.file_patterns import (
    expand_view,
    frame_path,
    has_frame_number,
    literal_name,
    next_version,
)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a/clean.%04d.exr", "/a/clean.0007.exr"),
        ("/a/clean.####.exr", "/a/clean.0007.exr"),
        ("/a/clean.%d.exr", "/a/clean.7.exr"),
        ("C:\\shots\\clean.%03d.exr", "C:/shots/clean.007.exr"),
        ("/a/%V/clean_%v.%04d.exr", "/a/left/clean_l.0007.exr"),
        ("/a#1/still.exr", "/a#1/still.exr"),
        ("/clean.%04d.exr", "/clean.0007.exr"),
        ("clean.#.exr", "clean.7.exr"),
        ("/a/clean.@@@@.exr", "/a/clean.0007.exr"),
        ("/a/clean.$F4.exr", "/a/clean.0007.exr"),
        ("/a/clean.1-9####.exr", "/a/clean.0007.exr"),
        ("/a/clean.[0001-0009].exr", "/a/clean.0007.exr"),
    ],
)
def test_a_pattern_names_the_file_of_a_frame(pattern: str, path: str) -> None:
    assert frame_path(pattern, 7, view="left") == path


def test_a_negative_frame_has_its_sign_before_the_zeros() -> None:
    assert frame_path("a.%04d.exr", -3) == "a.-003.exr"


def test_only_the_name_has_a_frame_number_and_views_are_filled_in() -> None:
    assert has_frame_number("/a/b.%04d.exr")
    assert not has_frame_number("/a.%04d/b.exr")
    assert has_frame_number("/a/%V/b.%v.[1-5].exr")
    assert expand_view("/a/%V/b.%v.%04d.exr", "right") == "/a/right/b.r.%04d.exr"
    assert expand_view("/a/%Vary.exr", "right") == "/a/%Vary.exr"


def test_a_name_of_any_clip_is_plain_text_in_a_pattern() -> None:
    stem = literal_name("shot #3 @ 50% [x]")
    assert frame_path(f"{stem}_v001.%04d.exr", 7) == "shot _3 _ 50_ _x__v001.0007.exr"


def test_a_pattern_that_the_server_refuses_is_refused() -> None:
    with pytest.raises(RequestError):
        frame_path("a.##.%04d.exr", 7)


def test_the_next_version_is_one_that_nothing_stands_under(tmp_path: Path) -> None:
    pattern = f"{tmp_path}/v001/clean_v001.%04d.exr"
    assert next_version(pattern) == f"{tmp_path}/v002/clean_v002.%04d.exr"
    for version in ("v002", "v003"):
        (tmp_path / version).mkdir()
        (tmp_path / version / f"clean_{version}.1001.exr").touch()
    assert next_version(pattern) == f"{tmp_path}/v004/clean_v004.%04d.exr"


def test_a_version_counts_up_only_what_is_that_version(tmp_path: Path) -> None:
    assert next_version(f"{tmp_path}/v12/sh_v003.exr") == f"{tmp_path}/v12/sh_v004.exr"
    assert next_version(f"{tmp_path}/sh.%04d.exr") == f"{tmp_path}/sh_v002.%04d.exr"
    assert next_version(f"{tmp_path}/sh_v009.####.exr") == f"{tmp_path}/sh_v010.####.exr"
    (tmp_path / "still_v002.exr").touch()
    assert next_version(f"{tmp_path}/still.exr") == f"{tmp_path}/still_v003.exr"


def test_a_version_is_taken_when_any_view_has_files_of_it(tmp_path: Path) -> None:
    pattern = f"{tmp_path}/sh_v001.%V.%04d.exr"
    (tmp_path / "sh_v002.right.00001.exr").touch()
    assert next_version(pattern, ("left", "right")) == f"{tmp_path}/sh_v003.%V.%04d.exr"
    assert next_version(pattern, ("left",)) == f"{tmp_path}/sh_v002.%V.%04d.exr"
