"""Timecode: the clock is kept where numbers are dropped, and bits, text and count say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.frames.timecode import Timecode


@pytest.mark.parametrize(
    ("frame", "per_second", "is_drop", "expected"),
    [
        (0, 24, False, "00:00:00:00"),
        (1001, 24, False, "00:00:41:17"),
        (86400, 24, False, "01:00:00:00"),
        (0, 30, True, "00:00:00;00"),
        (1799, 30, True, "00:00:59;29"),
        (1800, 30, True, "00:01:00;02"),
        (17982, 30, True, "00:10:00;00"),
        (107892, 30, True, "01:00:00;00"),
        (3600, 60, True, "00:01:00;04"),
    ],
)
def test_a_frame_number_has_its_timecode(
    frame: int, per_second: int, is_drop: bool, expected: str
) -> None:
    code = Timecode.of_count(frame, per_second=per_second, is_drop=is_drop)
    assert str(code) == expected
    assert code.count(per_second=per_second) == frame
    assert Timecode.parse(expected, per_second=per_second) == code


@pytest.mark.parametrize("rate", [30, 60])
def test_drop_frame_timecode_never_repeats_and_skips_only_what_it_must(rate: int) -> None:
    codes = [
        str(Timecode.of_count(frame, per_second=rate, is_drop=True))
        for frame in range(25 * rate * 60)
    ]
    assert codes == sorted(set(codes))
    firsts = [code for code in codes if code.endswith(":00;00")]
    assert [code[3:5] for code in firsts] == ["00", "10", "20"]


def test_a_day_after_midnight_it_is_midnight_again() -> None:
    assert str(Timecode.of_count(86400 * 24 + 1, per_second=24)) == "00:00:00:01"
    assert str(Timecode.of_count(144 * 17982 + 1, per_second=30, is_drop=True)) == "00:00:00;01"


@pytest.mark.parametrize("text", ["", "24:00:00:00", "00:60:00:00", "00:00:00:24", "1:00:00:00"])
def test_what_is_no_time_is_no_timecode(text: str) -> None:
    assert Timecode.parse(text, per_second=24) is None


def test_only_rates_that_drop_numbers_read_a_semicolon() -> None:
    codes = {rate: Timecode.parse("00:00:01;02", per_second=rate) for rate in (24, 25, 30, 60)}
    assert [rate for rate, code in codes.items() if code and code.is_drop] == [30, 60]


def test_the_bits_are_those_of_smpte_12m() -> None:
    code = Timecode(23, 59, 58, 23, is_drop=True, user_bits=0x87654321)
    assert code.to_bits() == (0x23595863, 0x87654321)


@given(
    st.builds(
        Timecode,
        st.integers(0, 23),
        st.integers(0, 59),
        st.integers(0, 59),
        st.integers(0, 29),
        st.booleans(),
        st.tuples(*[st.booleans()] * 5),
        st.integers(0, 2**32 - 1),
    )
)
def test_bits_give_the_same_timecode_back(code: Timecode) -> None:
    assert Timecode.from_bits(*code.to_bits()) == code
