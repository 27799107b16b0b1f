"""Numbered pictures: patterns, ranges, plans, and the window in time."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import FrameMissing, RequestError
from kwaflux_core.frames.frame_range import MAX_FRAMES, FrameRange, format_frames
from kwaflux_core.frames.sequence import (
    FrameTask,
    Sequence,
    plan,
    temporal_window,
)


def write_frames(folder: Path, pattern: str, *frames: int) -> Sequence:
    """Make an empty file for each frame; return the sequence."""
    folder.mkdir(parents=True, exist_ok=True)
    sequence = Sequence.parse(str(folder / pattern))
    for frame in frames:
        Path(sequence.path(frame)).touch()
    return sequence


# --- ranges ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("1001", (1001,)),
        ("1001-1004", (1001, 1002, 1003, 1004)),
        ("1001-1100x2", tuple(range(1001, 1101, 2))),
        ("1001-1003,1020", (1001, 1002, 1003, 1020)),
        ("-5", (-5,)),
        ("-5--3", (-5, -4, -3)),
        ("-2-2x2", (-2, 0, 2)),
        ("10-7", (10, 9, 8, 7)),
        ("10-1x-3", (10, 7, 4, 1)),
        ("20,1-3", (20, 1, 2, 3)),
        ("1-5,3-8", (1, 2, 3, 4, 5, 6, 7, 8)),
        ("0998-1002", (998, 999, 1000, 1001, 1002)),
        ("1-10y3", (2, 3, 5, 6, 8, 9)),
        ("1-10:3", (1, 4, 7, 10, 3, 5, 9, 2, 6, 8)),
        ("3-1:9", (3, 1, 2)),
        (" 1, 3-4 ", (1, 3, 4)),
    ],
)
def test_a_range_names_its_frames_in_order(text: str, frames: tuple[int, ...]) -> None:
    assert FrameRange.parse(text).frames == frames


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        "1-",
        "1..5",
        "1-10x0",
        "1.5",
        "1-2.5",
        "1,,2",
        "1-5x",
        "1-2-3",
        "\u0661",
        "1e3",
    ],
)
def test_what_is_no_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        FrameRange.parse(text)
    assert "1001-1100x2" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["1-9999999999", "-9999999999-9999999999x7", "1-1000001", ",".join(["1-1000000"] * 500)],
)
def test_a_range_of_more_than_a_million_frames_is_refused_before_it_is_spelled_out(
    text: str,
) -> None:
    with pytest.raises(RequestError, match="1000000 frames"):
        FrameRange.parse(text)


def test_a_million_frames_are_a_range_and_a_million_and_one_are_not() -> None:
    assert len(FrameRange.parse(f"1-{MAX_FRAMES}")) == MAX_FRAMES
    with pytest.raises(RequestError):
        FrameRange(tuple(range(MAX_FRAMES + 1)))


def test_a_range_of_ten_thousand_commas_is_read_in_linear_time() -> None:
    assert len(FrameRange.parse(",".join(str(2 * n) for n in range(10_000)))) == 10_000


def test_a_range_holds_each_frame_once_and_at_least_one() -> None:
    with pytest.raises(RequestError, match="twice"):
        FrameRange((1, 2, 1))
    with pytest.raises(RequestError, match="no frame"):
        FrameRange(())


@given(st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=60, unique=True))
def test_a_range_written_out_is_read_back_in_the_same_order(frames: list[int]) -> None:
    written = FrameRange(tuple(frames))
    assert FrameRange.parse(str(written)) == written
    assert list(written) == frames


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ((), ""),
        ((7,), "7"),
        ((1, 2), "1-2"),
        ((1, 3), "1,3"),
        ((1, 3, 5), "1-5x2"),
        ((3, 2, 1, 9), "3-1,9"),
        ((1, 3, 4, 5), "1,3-5"),
        ((-4, -3, 1001, 1002, 1003, 1010), "-4--3,1001-1003,1010"),
    ],
)
def test_frames_are_written_as_the_shortest_range(frames: tuple[int, ...], text: str) -> None:
    assert format_frames(frames) == text


# --- patterns -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("plate.####.exr", "plate.1001.exr"),
        ("plate.######.exr", "plate.001001.exr"),
        ("plate.#.exr", "plate.1001.exr"),
        ("plate.%04d.exr", "plate.1001.exr"),
        ("plate.%06d.exr", "plate.001001.exr"),
        ("plate.%d.exr", "plate.1001.exr"),
        ("plate.$F4.exr", "plate.1001.exr"),
        ("plate.@@@@@.exr", "plate.01001.exr"),
        ("plate.1001-1050#.exr", "plate.1001.exr"),
        ("plate.1001-1050####.exr", "plate.1001.exr"),
        ("plate.1001-1010,1020####.exr", "plate.1001.exr"),
        ("plate.[1001-1010].exr", "plate.1001.exr"),
        ("plate.[001001-001010].exr", "plate.001001.exr"),
        ("a_####_L.exr", "a_1001_L.exr"),
        ("####.exr", "1001.exr"),
        ("/shots/C#4/%04d/plate.####.exr", "/shots/C#4/%04d/plate.1001.exr"),
        ("take2####.exr", "take21001.exr"),
        ("sh010-####.exr", "sh010-1001.exr"),
        ("sh_v001.####.exr", "sh_v001.1001.exr"),
        ("plate 100%.####.exr", "plate 100%.1001.exr"),
        ("plate.####", "plate.1001"),
    ],
)
def test_a_pattern_names_the_file_of_a_frame(pattern: str, path: str) -> None:
    sequence = Sequence.parse(pattern)
    assert not sequence.is_single
    assert sequence.path(1001) == path


def test_a_hash_is_one_digit_as_in_nuke() -> None:
    assert Sequence.parse("plate.#.exr").path(7) == "plate.7.exr"
    assert Sequence.parse("plate.####.exr").path(7) == "plate.0007.exr"


def test_frames_beyond_the_padding_and_below_zero_keep_all_their_digits() -> None:
    sequence = Sequence.parse("plate.####.exr")
    assert sequence.path(12345) == "plate.12345.exr"
    assert sequence.path(-3) == "plate.-003.exr"
    assert sequence.path(-12345) == "plate.-12345.exr"


@pytest.mark.parametrize(
    ("pattern", "frames"),
    [
        ("plate.1001-1003#.exr", (1001, 1002, 1003)),
        ("plate.1001-1005x2####.exr", (1001, 1003, 1005)),
        ("plate.1001,1020####.exr", (1001, 1020)),
        ("plate.1001####.exr", None),
        ("plate.1001-1002,1020####.exr", (1001, 1002, 1020)),
        ("plate.-2-1####.exr", (-2, -1, 0, 1)),
        ("1-3%04d.exr", (1, 2, 3)),
        ("plate.[0998-1001].exr", (998, 999, 1000, 1001)),
        ("plate.####.exr", None),
        ("sh010-020####.exr", None),
        ("plate.1001.exr", None),
    ],
)
def test_a_range_inside_the_pattern_is_the_default_range(
    pattern: str, frames: tuple[int, ...] | None
) -> None:
    default = Sequence.parse(pattern).default_range
    assert (default and default.frames) == frames


@pytest.mark.parametrize("name", ["plate.1001.exr", "a_0001_L.exr", "plate.exr", "plate", "v-1"])
def test_a_name_without_padding_is_a_single_file(name: str) -> None:
    sequence = Sequence.parse(f"/shots/{name}")
    assert sequence.is_single
    assert sequence.path(1) == sequence.path(99) == sequence.pattern == f"/shots/{name}"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "names no file"),
        ("/shots/", "names no file"),
        ("..", "names no file"),
        ("a\0####.exr", "names no file"),
        ("plate.##.####.exr", "more than one padding"),
        ("shot_##_plate.%04d.exr", "more than one padding"),
        ("take##.1-5####.exr", "more than one padding"),
        ("plate.[1-2].[1-2].exr", "more than one padding"),
        ("plate.{frame:04d}.exr", "no frame padding"),
        ("plate.{:04d}.####.exr", "no frame padding"),
        ("plate.%4d.exr", "no frame padding"),
        ("plate.<UDIM>.exr", "no frame padding"),
        ("plate.%V.####.exr", "no frame padding"),
        ("plate.*.exr", "no frame padding"),
        ("plate.0001-0050#.exr", "writes its range with 4 digits"),
        ("plate.000998-001001####.exr", "writes its range with 6 digits"),
        ("plate.1-9999999999####.exr", "more than 1000000 frames"),
        ("plate.%099999999d.exr", "padding of 99999999 digits"),
        ("#" * 500 + ".exr", "padding of 500 digits"),
        ("x" * 100_000 + "####.exr", "100008 characters"),
    ],
)
def test_padding_mistakes_and_other_programs_spellings_are_refused(pattern: str, why: str) -> None:
    with pytest.raises(RequestError, match=why) as caught:
        Sequence.parse(pattern)
    assert caught.value.hint
    assert len(str(caught.value)) < 400


@given(st.text(max_size=40))
def test_any_text_is_a_sequence_or_a_request_error(text: str) -> None:
    try:
        sequence = Sequence.parse(text)
    except RequestError:
        return
    assert os.path.dirname(sequence.path(1001)) == os.path.dirname(text)


@given(st.integers(1, 8), st.integers(-(10**9), 10**9))
def test_no_two_frames_share_a_file(digits: int, frame: int) -> None:
    sequence = Sequence.parse(f"plate.{'#' * digits}.exr")
    name = sequence.path(frame)
    assert int(name.removeprefix("plate.").removesuffix(".exr")) == frame
    assert len(name) >= len("plate..exr") + digits


# --- on disk --------------------------------------------------------------------------------


def test_the_frames_on_disk_are_found_in_order_with_gaps_and_negatives(tmp_path: Path) -> None:
    sequence = write_frames(tmp_path, "plate.####.exr", 1003, 1001, -2, 12345, 7)
    for other in ("plate.1001.exr.tmp", "plate.1002.jpg", "plate..exr", "xplate.1009.exr"):
        (tmp_path / other).touch()
    assert sequence.frames_on_disk() == (-2, 7, 1001, 1003, 12345)
    assert sequence.missing((1001, 1002, 12345, 8)) == (1002, 8)


def test_files_of_another_padding_are_another_sequence(tmp_path: Path) -> None:
    write_frames(tmp_path, "plate.######.exr", 1001)
    write_frames(tmp_path, "plate.#.exr", 7)
    assert Sequence.parse(str(tmp_path / "plate.####.exr")).frames_on_disk() == ()
    assert Sequence.parse(str(tmp_path / "plate.#.exr")).frames_on_disk() == (7,)


def test_a_name_with_regular_expression_signs_is_plain_text(tmp_path: Path) -> None:
    sequence = write_frames(tmp_path, "pla+te(1).####.exr", 1001)
    assert sequence.frames_on_disk() == (1001,)


@pytest.mark.parametrize(
    ("name", "frame"),
    [("plate.1001.exr", 1001), ("plate_0007.exr", 7), ("plate_v003.exr", 1), ("plate.exr", 1)],
)
def test_a_single_file_is_the_frame_that_its_name_says(
    tmp_path: Path, name: str, frame: int
) -> None:
    single = Sequence.parse(str(tmp_path / name))
    assert single.frames_on_disk() == ()
    assert single.missing((frame,)) == (frame,)
    (tmp_path / name).touch()
    assert single.frames_on_disk() == (frame,)
    assert single.missing((frame,)) == ()


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(FrameMissing, match="/no/such/folder"):
        Sequence.parse("/no/such/folder/plate.####.exr").frames_on_disk()


# --- plans ----------------------------------------------------------------------------------


def test_without_a_range_all_frames_on_disk_are_planned(tmp_path: Path) -> None:
    source = write_frames(tmp_path / "in", "plate.####.exr", 1001, 1003)
    target = Sequence.parse(str(tmp_path / "out" / "clean.%05d.exr"))
    assert plan(source, target) == (
        FrameTask(1001, f"{tmp_path}/in/plate.1001.exr", f"{tmp_path}/out/clean.01001.exr"),
        FrameTask(1003, f"{tmp_path}/in/plate.1003.exr", f"{tmp_path}/out/clean.01003.exr"),
    )


def test_the_range_of_the_pattern_is_the_default_and_a_given_range_overrules_it(
    tmp_path: Path,
) -> None:
    write_frames(tmp_path, "plate.####.exr", 1001, 1002, 1003)
    source = Sequence.parse(str(tmp_path / "plate.1001-1002####.exr"))
    target = Sequence.parse(str(tmp_path / "clean.####.exr"))
    assert [task.frame for task in plan(source, target)] == [1001, 1002]
    given_range = FrameRange.parse("1003,1001")
    assert [task.frame for task in plan(source, target, given_range)] == [1003, 1001]


def test_a_plan_is_made_from_text_as_from_what_was_read_from_it(tmp_path: Path) -> None:
    source = write_frames(tmp_path, "plate.####.exr", 1001, 1002)
    text = (source.pattern, str(tmp_path / "clean.%04d.exr"))
    assert plan(*text) == plan(source, Sequence.parse(text[1]))
    assert plan(*text, "1002") == plan(source, Sequence.parse(text[1]), FrameRange((1002,)))
    with pytest.raises(RequestError, match="no frame range"):
        plan(*text, "last")


def test_missing_frames_of_a_given_range_stay_in_the_plan(tmp_path: Path) -> None:
    source = write_frames(tmp_path, "plate.####.exr", 1001, 1003)
    target = Sequence.parse(str(tmp_path / "clean.####.exr"))
    tasks = plan(source, target, FrameRange.parse("1001-1004"))
    assert [task.frame for task in tasks] == [1001, 1002, 1003, 1004]


def test_a_pattern_without_any_file_names_the_folder_and_the_nearest_pattern(
    tmp_path: Path,
) -> None:
    write_frames(tmp_path, "plate.####.exr", 1001, 1002)
    target = Sequence.parse(str(tmp_path / "clean.####.exr"))
    for wrong in ("plaet.####.exr", "plate.######.exr", "plate.#.jpg"):
        with pytest.raises(FrameMissing) as caught:
            plan(Sequence.parse(str(tmp_path / wrong)), target, FrameRange.parse("1001-1002"))
        assert str(tmp_path) in caught.value.message
        assert "'plate.####.exr'" in caught.value.hint


def test_a_missing_single_file_names_the_nearest_file(tmp_path: Path) -> None:
    (tmp_path / "plate.1001.exr").touch()
    with pytest.raises(FrameMissing) as caught:
        plan(Sequence.parse(str(tmp_path / "plate1001.exr")), Sequence.parse("out.exr"))
    assert "'plate.1001.exr'" in caught.value.hint


def test_an_empty_folder_gives_a_hint_too(tmp_path: Path) -> None:
    with pytest.raises(FrameMissing) as caught:
        plan(Sequence.parse(str(tmp_path / "plate.####.exr")), Sequence.parse("out.####.exr"))
    assert "number of digits" in caught.value.hint


def test_one_file_is_planned_to_one_file_or_to_a_sequence(tmp_path: Path) -> None:
    source = write_frames(tmp_path, "plate.1001.exr", 1001)
    single = plan(source, Sequence.parse(str(tmp_path / "clean.exr")))
    assert single == (FrameTask(1001, source.path(0), str(tmp_path / "clean.exr")),)
    numbered = plan(source, Sequence.parse(str(tmp_path / "clean.####.exr")))
    assert numbered[0].target_path == str(tmp_path / "clean.1001.exr")
    other = plan(source, Sequence.parse(str(tmp_path / "c.####.exr")), FrameRange((7,)))
    assert other == (FrameTask(7, source.path(0), str(tmp_path / "c.0007.exr")),)


def test_several_frames_do_not_go_into_or_come_from_a_single_file(tmp_path: Path) -> None:
    source = write_frames(tmp_path, "plate.####.exr", 1001, 1002)
    single = Sequence.parse(str(tmp_path / "clean.exr"))
    with pytest.raises(RequestError, match=r"target .*clean\.exr' is one file, and 2 frames"):
        plan(source, single)
    assert len(plan(source, single, FrameRange((1001,)))) == 1
    still = write_frames(tmp_path, "still.exr", 1)
    numbered = Sequence.parse(str(tmp_path / "clean.####.exr"))
    with pytest.raises(RequestError, match="source"):
        plan(still, numbered, FrameRange.parse("1-3"))


def test_a_target_that_names_other_frames_is_refused(tmp_path: Path) -> None:
    source = write_frames(tmp_path, "plate.####.exr", 1001, 1002)
    same = Sequence.parse(str(tmp_path / "clean.1001-1002####.exr"))
    assert len(plan(source, same)) == 2
    other = Sequence.parse(str(tmp_path / "clean.1001-1003####.exr"))
    with pytest.raises(RequestError, match="1001-1003"):
        plan(source, other)


@pytest.mark.parametrize(
    "spelling",
    ["in/plate.####.exr", "in/../in/./plate.%04d.exr", "link/plate.#.exr", "in/plate.1001.exr"],
)
def test_a_target_that_is_the_source_is_refused_under_any_spelling(
    tmp_path: Path, spelling: str
) -> None:
    source = write_frames(tmp_path / "in", "plate.####.exr", 1001)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    target = Sequence.parse(str(tmp_path / spelling))
    with pytest.raises(RequestError, match="the target is the source: frame 1001"):
        plan(source, target)


@pytest.mark.parametrize("folder", ["in", "link"])
def test_a_target_that_is_the_source_is_refused_though_its_frames_are_missing(
    tmp_path: Path, folder: str
) -> None:
    source = write_frames(tmp_path / "in", "plate.####.exr", 1001)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    target = Sequence.parse(str(tmp_path / folder / "plate.####.exr"))
    with pytest.raises(RequestError, match="the target is the source: frame 1002"):
        plan(source, target, FrameRange((1002,)))


def test_a_relative_target_that_is_the_absolute_source_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_frames(tmp_path, "plate.####.exr", 1001)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="the target is the source"):
        plan(source, Sequence.parse("plate.####.exr"))
    assert plan(Sequence.parse("plate.####.exr"), Sequence.parse("clean.####.exr"))


@pytest.mark.parametrize("is_hard", [True, False])
def test_a_target_that_is_linked_to_any_frame_of_the_source_is_refused(
    tmp_path: Path, *, is_hard: bool
) -> None:
    source = write_frames(tmp_path / "in", "plate.####.exr", 1001, 1002)
    target = write_frames(tmp_path / "out", "clean.####.exr")
    if is_hard:
        os.link(source.path(1002), target.path(1001))
    else:
        os.symlink(source.path(1002), target.path(1001))
    with pytest.raises(RequestError, match="the target is the source: frame 1001"):
        plan(source, target)


def test_targets_that_stand_there_and_dangling_links_are_no_collision(tmp_path: Path) -> None:
    source = write_frames(tmp_path / "in", "plate.####.exr", 1001, 1002)
    target = write_frames(tmp_path / "out", "plate.####.exr", 1001)
    os.symlink(tmp_path / "gone.exr", target.path(1002))
    assert len(plan(source, target)) == 2


def test_a_collision_of_a_single_frame_is_found_across_paddings(tmp_path: Path) -> None:
    source = write_frames(tmp_path, "plate.####.exr", 999, 1000)
    target = Sequence.parse(str(tmp_path / "plate.#.exr"))
    assert len(plan(source, target, FrameRange((999,)))) == 1
    with pytest.raises(RequestError, match="frame 1000"):
        plan(source, target)


def test_a_host_without_numpy_has_ranges_patterns_and_the_window_in_time() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from kwaflux_core.frames.sequence import Sequence, temporal_window\n"
        "assert Sequence.parse('a.1-9x4####.exr').path(5) == 'a.0005.exr'\n"
        "assert temporal_window(1, radius=1, first=1, last=2) == (2, 1, 2)"
    )
    environ = {"PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True, env=environ)


# --- the window in time ---------------------------------------------------------------------


def test_the_window_is_mirrored_at_the_ends_without_repeating_the_edge() -> None:
    assert temporal_window(1005, radius=2, first=1001, last=1010) == (1003, 1004, 1005, 1006, 1007)
    assert temporal_window(1001, radius=2, first=1001, last=1010) == (1003, 1002, 1001, 1002, 1003)
    assert temporal_window(1009, radius=3, first=1001, last=1010)[-2:] == (1009, 1008)
    assert temporal_window(1, radius=4, first=1, last=3) == (1, 2, 3, 2, 1, 2, 3, 2, 1)
    assert temporal_window(5, radius=2, first=5, last=5) == (5, 5, 5, 5, 5)
    assert temporal_window(7, radius=0, first=1, last=9) == (7,)


@given(st.integers(-500, 500), st.integers(0, 40), st.integers(0, 40), st.data())
def test_a_window_stays_inside_the_clip_and_steps_by_one(
    first: int, length: int, radius: int, data: st.DataObject
) -> None:
    last = first + length
    frame = data.draw(st.integers(first, last))
    window = temporal_window(frame, radius=radius, first=first, last=last)
    assert len(window) == 2 * radius + 1
    assert window[radius] == frame
    assert all(first <= number <= last for number in window)
    step = 1 if length else 0
    assert all(abs(a - b) == step for a, b in pairwise(window))
    for offset in range(-radius, radius + 1):
        if first <= frame + offset <= last:
            assert window[radius + offset] == frame + offset


@given(st.integers(-500, 500), st.integers(0, 40), st.integers(0, 40), st.data())
def test_a_reversed_clip_has_the_reversed_window(
    first: int, length: int, radius: int, data: st.DataObject
) -> None:
    last = first + length
    frame = data.draw(st.integers(first, last))
    window = temporal_window(frame, radius=radius, first=first, last=last)
    mirrored = temporal_window(-frame, radius=radius, first=-last, last=-first)
    assert tuple(-number for number in reversed(mirrored)) == window


@pytest.mark.parametrize(("frame", "radius"), [(0, 1), (11, 1), (5, -1)])
def test_a_window_around_a_frame_outside_the_clip_is_refused(frame: int, radius: int) -> None:
    with pytest.raises(RequestError, match="clip 1-10"):
        temporal_window(frame, radius=radius, first=1, last=10)


# --- movies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["clip.mov", "take#2.mov", "a[1-9].mp4", "b.%04d.mkv", "c.1001.mov"]
)
def test_a_movie_is_one_file_with_many_frames_whatever_its_name(name: str, tmp_path: Path) -> None:
    movie, target = str(tmp_path / name), str(tmp_path / "clean.####.exr")
    tasks = plan(movie, target, movie_frames=range(1, 4))
    assert [(task.frame, task.source_path) for task in tasks] == [(n, movie) for n in (1, 2, 3)]
    assert tasks[2].target_path == str(tmp_path / "clean.0003.exr")
    some = plan(movie, target, "2-9x4", movie_frames=range(1, 4))
    assert [task.frame for task in some] == [2, 6], "what is beyond the end fails by itself"


def test_several_frames_of_a_movie_are_not_written_to_one_file(tmp_path: Path) -> None:
    movie = str(tmp_path / "clip.mov")
    with pytest.raises(RequestError, match=r"the target .* one file"):
        plan(movie, str(tmp_path / "clean.exr"), movie_frames=range(1, 4))
    (task,) = plan(movie, str(tmp_path / "clean.exr"), "2", movie_frames=range(1, 4))
    assert task.frame == 2
    with pytest.raises(FrameMissing):
        plan(movie, str(tmp_path / "clean.####.exr"), movie_frames=range(1, 1))
