"""Frame numbers as timecode: the clock is kept where numbers are dropped."""

from __future__ import annotations

import pytest

from kwaflux_core.frames.timecode import timecode


@pytest.mark.parametrize(
    ("frame", "fps", "is_drop", "expected"),
    [
        (0, 24.0, False, "00:00:00:00"),
        (1001, 24.0, False, "00:00:41:17"),
        (86400, 24.0, False, "01:00:00:00"),
        (1001, 23.976, False, "00:00:41:17"),
        (0, 29.97, True, "00:00:00;00"),
        (1799, 29.97, True, "00:00:59;29"),
        (1800, 29.97, True, "00:01:00;02"),
        (17982, 29.97, True, "00:10:00;00"),
        (107892, 29.97, True, "01:00:00;00"),
        (3600, 59.94, True, "00:01:00;04"),
    ],
)
def test_a_frame_number_has_its_timecode(
    frame: int, fps: float, is_drop: bool, expected: str
) -> None:
    assert timecode(frame, fps=fps, is_drop=is_drop) == expected


@pytest.mark.parametrize("rate", [30, 60])
def test_drop_frame_timecode_never_repeats_and_skips_only_what_it_must(rate: int) -> None:
    fps = rate * 1000 / 1001
    codes = [timecode(frame, fps=fps, is_drop=True) for frame in range(25 * rate * 60)]
    assert codes == sorted(set(codes))
    firsts = [code for code in codes if code.endswith(":00;00")]
    assert [code[3:5] for code in firsts] == ["00", "10", "20"]
