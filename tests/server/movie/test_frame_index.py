"""Which picture has which number: by the time it is shown, and said when it cannot be known."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwaflux_core.errors import FrameMissing, ImageUnreadable, ImageUnsupported
from kwaflux_server.movie.frame_index import KeyPicture, PacketTime, PictureIndex
from kwaflux_server.movie.header import TimecodeStart


def packets(
    *shown: int, keys: tuple[int, ...] = (), hidden: tuple[int, ...] = ()
) -> list[PacketTime]:
    """Return packets in stored order; the first is a key."""
    return [
        PacketTime(time, at - 2, is_key=at == 0 or time in keys, is_hidden=time in hidden)
        for at, time in enumerate(shown)
    ]


def build(found: list[PacketTime], **how: object) -> PictureIndex:
    return PictureIndex.build(found, path="clip.mov", **how)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.permutations(range(1, 12)), st.integers(-50, 50), st.integers(1, 9))
def test_frame_n_is_the_nth_that_is_shown_in_whatever_order_they_are_stored(
    order: list[int], start: int, step: int
) -> None:
    index = build(packets(*(start + step * place for place in (0, *order))))
    assert [index.time_of(n + 1) for n in range(12)] == [start + step * n for n in range(12)]
    assert index.frame_count == 12
    assert index.notes == ()


def test_what_an_edit_list_hides_is_not_counted_but_can_be_decoded_from() -> None:
    index = build(packets(0, 1, 2, 3, 4, keys=(0,), hidden=(0, 1)))
    assert index.shown == (2, 3, 4)
    assert index.keys_before(2) == (KeyPicture(0, -2),)


def test_pictures_before_the_first_key_are_left_out_and_told() -> None:
    index = build(packets(10, 8, 9, 11))
    assert index.shown == (10, 11)
    assert "first 2 pictures" in index.notes[0]


def test_uneven_pictures_are_numbered_and_told_but_rounded_times_are_no_news() -> None:
    assert build(packets(0, 42, 83, 125, 167, 208)).notes == ()
    assert "variable frame rate" in build(packets(0, 42, 83, 208, 250)).notes[0]


def test_frames_behind_a_cut_are_counted_and_named() -> None:
    index = build(packets(0, 1, 2, 3, 4), promised_packets=9)
    assert index.frame_count == 9
    assert index.time_of(5) == 4
    with pytest.raises(ImageUnreadable, match=r"frame 6 .* after frame 5 of 9") as caught:
        index.time_of(6)
    assert caught.value.fields["frame"] == 6
    for number in (0, 10, -3):
        with pytest.raises(FrameMissing, match=f"no frame {number} ") as missing:
            index.time_of(number)
        assert "1-9" in missing.value.hint


def test_a_cut_in_stored_order_shifts_no_number() -> None:
    # The picture of 6 was stored before that of 5, which is gone.
    index = build(packets(0, 3, 1, 2, 6, 4), promised_packets=9)
    assert index.shown == (0, 1, 2, 3, 4)
    assert index.frame_count == 9
    by_length = build(packets(0, 3, 1, 2, 6, 4), promised_length=Fraction(9))
    assert (by_length.shown, by_length.frame_count) == (index.shown, 9)


def test_holes_are_a_cut_where_the_movie_was_even_for_long_and_else_its_way() -> None:
    even = tuple(range(60))
    hole = build(packets(*even, 64, 61), promised_length=Fraction(65))
    assert (len(hole.shown), hole.frame_count) == (60, 65)
    uneven = build(packets(0, 1, 2, 5, 6, 7), promised_length=Fraction(8))
    assert (len(uneven.shown), uneven.frame_count) == (6, 6)
    assert "variable frame rate" in uneven.notes[0]


def test_a_length_that_is_off_by_one_is_believed_only_where_times_are_counted() -> None:
    short = packets(*range(8))
    assert build(short, promised_length=Fraction(9)).frame_count == 8
    with pytest.raises(ImageUnreadable, match=r"8 pictures.* 9"):
        build(short, promised_length=Fraction(9), is_timed=False)
    assert build(short, promised_length=Fraction(8), is_timed=False).frame_count == 8


@pytest.mark.parametrize("rounding_s", [Fraction(1, 1000), Fraction(1, 90000)])
def test_rounded_times_promise_no_frame_that_is_not_there(rounding_s: Fraction) -> None:
    rate = Fraction(24000, 1001)
    times = [round(n / rate / rounding_s) for n in range(5000)]
    length = Fraction(round(5000 / rate / rounding_s))
    index = build(packets(*times), promised_length=length)
    assert index.frame_count == 5000


def test_movies_without_times_and_with_fields_are_refused() -> None:
    untimed = PacketTime(None, 3, is_key=False)
    with pytest.raises(ImageUnsupported, match="times"):
        build([*packets(0, 1), untimed])
    with pytest.raises(ImageUnsupported, match="two pictures"):
        build(packets(0, 1, 1, 2))


def test_a_movie_without_a_whole_picture_is_unreadable() -> None:
    with pytest.raises(ImageUnreadable):
        build([PacketTime(0, 0, is_key=False)])
    with pytest.raises(ImageUnreadable):
        build([])


def test_ways_back_are_tried_from_the_nearest_to_the_first() -> None:
    index = build(packets(*range(40), keys=tuple(range(0, 40, 2))))
    keys = [key.shown for key in index.keys_before(31)]
    assert keys == [30, 28, 24, 16, 0]
    assert index.pictures_between(3, 9) == 6


# --- timecode -------------------------------------------------------------------------------


def said(start: TimecodeStart, frame: int) -> tuple[int, int, int, int]:
    found = start.at(frame)
    return found.hours, found.minutes, found.seconds, found.frame


@pytest.mark.parametrize(
    ("text", "rate", "frame", "expected"),
    [
        ("01:00:00:00", Fraction(24), 1, (1, 0, 0, 0)),
        ("01:00:00:00", Fraction(24), 26, (1, 0, 1, 1)),
        ("00:59:59:24", Fraction(25), 2, (1, 0, 0, 0)),
        ("23:59:59:23", Fraction(24000, 1001), 2, (0, 0, 0, 0)),
        ("00:00:59:28", Fraction(30000, 1001), 3, (0, 1, 0, 0)),
        ("00:00:59;28", Fraction(30000, 1001), 2, (0, 0, 59, 29)),
        ("00:00:59;28", Fraction(30000, 1001), 3, (0, 1, 0, 2)),
        ("00:09:59;29", Fraction(30000, 1001), 2, (0, 10, 0, 0)),
        ("01:00:00;00", Fraction(30000, 1001), 17982 + 1, (1, 10, 0, 0)),
        ("01:00:00;00", Fraction(30000, 1001), 107892 + 1, (2, 0, 0, 0)),
    ],
)
def test_the_timecode_of_a_frame_counts_from_the_first(
    text: str, rate: Fraction, frame: int, expected: tuple[int, int, int, int]
) -> None:
    start = TimecodeStart.parse(text, rate=rate)
    assert start is not None
    assert said(start, frame) == expected
    assert start.at(frame).dropFrame == (";" in text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("24:00:00:00", 24), ("00:00:00:24", 24), ("00:61:00:00", 24), ("now", 24),
     ("00:00:00:00", 60), ("00:00:00:00", 0)],
)  # fmt: skip
def test_what_is_no_timecode_is_left_out(text: str, rate: int) -> None:
    assert TimecodeStart.parse(text, rate=Fraction(rate)) is None
