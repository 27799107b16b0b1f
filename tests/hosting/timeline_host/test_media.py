"""Clips as plain numbers: the frames they show, and the clips that are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.media import ClipRange, FrameSpan, MediaInfo, first_file, rate_of

MEDIA = MediaInfo(name="a", path="/a.exr", first=1001, last=1012, fps=24.0, size_px=(24, 16))


def _cut(
    media: MediaInfo = MEDIA,
    *,
    span: tuple[int | None, int | None] = (86500, 86506),
    shown: tuple[int | None, int | None] = (1003, 1009),
    fps: float = 24.0,
    changed: dict[str, str] | None = None,
) -> ClipRange:
    return ClipRange.of_media(media, span=span, left=2, shown=shown, fps=fps, changed=changed or {})


@pytest.mark.parametrize("base", [0, 1001])
def test_a_cut_shows_the_same_frames_however_a_host_counts(base: int) -> None:
    cut = replace(_cut(), left=base + 2)
    assert cut.used(base=base) == (1003, 1008)
    assert cut.on_timeline() == FrameSpan(first=86500, last=86505, used=(86500, 86505))
    assert cut.is_shown_at(86500, 6)
    assert not cut.is_shown_at(86500, 5)


@given(handles=st.integers(0, 40), left=st.integers(0, 6))
def test_handles_never_reach_beyond_the_media(handles: int, left: int) -> None:
    plan = replace(_cut(), left=left).planned(0, handles=handles)
    assert 1001 <= plan.first <= plan.used[0] <= plan.used[1] <= plan.last <= 1012
    assert plan.head == min(handles, left)
    assert plan.count == plan.last - plan.first + 1


def test_the_whole_media_is_planned_with_what_is_shown() -> None:
    assert _cut().planned(0, is_whole=True) == FrameSpan(first=1001, last=1012, used=(1003, 1008))


def test_a_cut_that_shows_more_than_its_media_is_refused() -> None:
    with pytest.raises(HostError, match="1010-1015"):
        replace(_cut(), left=9).planned(0)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"span": (None, 5)}, "cannot be read"),
        ({"fps": 25.0}, "24 frames a second and its timeline 25"),
        ({"changed": {"PAR": "2.0"}}, "has PAR = 2.0"),
        ({"shown": (None, None)}, "reports no source frames"),
        ({"shown": (0, 0)}, "reports no source frames"),
        ({"shown": (9, 3)}, "plays in reverse"),
        ({"shown": (0, 12)}, "is retimed: 12 source frames in 6"),
        ({"media": replace(MEDIA, last=1001)}, "is a still"),
        ({"media": replace(MEDIA, fps=0.0)}, "0 frames a second"),
    ],
)
def test_every_refusal_says_why_and_what_else(given: dict[str, object], why: str) -> None:
    with pytest.raises(HostError, match=why) as error:
        _cut(**given)  # type: ignore[arg-type]
    assert str(error.value).startswith("a ")
    assert error.value.hint


def test_a_span_that_is_one_off_is_no_retime() -> None:
    assert _cut(shown=(1004, 1009)).count == 6


def test_media_is_read_of_texts_and_refused_where_they_say_none() -> None:
    texts = {"path": "/a.exr", "first": "1001", "last": "1012", "fps": "29.97 DF"}
    media = MediaInfo.of_texts("a", size="24 x 16", **texts)
    assert media == replace(MEDIA, fps=29.97)
    assert media.whole == FrameSpan(first=1001, last=1012, used=(1001, 1012))
    for lacking in ({"path": ""}, {"first": ""}, {"last": "end"}, {"size": "big"}):
        with pytest.raises(HostError, match="title, a generator or a compound"):
            MediaInfo.of_texts("a", **{**texts, "size": "24x16", **lacking})


def test_a_rate_that_is_none_is_zero() -> None:
    assert [rate_of(text) for text in ("23.976", "24", "", ".", "x")] == [23.976, 24.0, 0, 0, 0]


def test_a_sequence_is_known_by_its_first_file() -> None:
    assert first_file(r"C:\a\x.[1001-1050].exr") == "C:/a/x.1001.exr"
    assert first_file("/a/x.mov") == "/a/x.mov"
    assert FrameSpan(first=7, last=9, used=(7, 9), pattern="/a/x.%04d.exr").first_file.endswith(
        "0007.exr"
    )


def test_the_first_frame_may_be_called_by_its_number_or_from_zero() -> None:
    plates = FrameSpan(first=1001, last=1008, used=(1003, 1008))
    assert plates.starts(1001) == [1003, 2]
    assert plates.starts(0) == [2]
