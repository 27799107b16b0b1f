"""A job as a feed of frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import KwafluxError, RequestError, SettingsError
from kwaflux_core.frames.sequence import FrameTask, temporal_window
from kwaflux_core.frames.shot_profile import Shot, ShotProfile
from kwaflux_core.protocol.messages import (
    Failed,
    FrameReport,
    JobAccepted,
    JobDone,
    JobEvent,
    Judge,
    Judged,
    PathPixels,
    PathTarget,
    RangeReceipt,
    Render,
    Rendered,
    Source,
    Submit,
    Timings,
)
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_server.jobs.job_feed import JobFeed, neighbor_frames

RECEIPT = RangeReceipt(0.0, 1.0, 0.0, 1.0, 0.0, 0, 0)
TIMINGS = Timings(0.1, 0.2, 0.3)
CANCELLED = Failed("cancelled", "the request was cancelled by its client")
UNREADABLE = Failed("image_unreadable", "plate.1002.exr is truncated")
SUBMIT = Submit("plate.####.exr", "clean.####.exr", "denoise", urgency="batch")


def feed_of(
    frames: range = range(1001, 1005),
    *,
    clip: range = range(990, 1100),
    window: int = 2,
    submit: Submit = SUBMIT,
    frames_before: int = 0,
    frames_after: int = 0,
    judge: Judge | None = None,
) -> JobFeed:
    return JobFeed(
        "j1",
        submit,
        tasks=[FrameTask(at, f"plate.{at}.exr", f"clean.{at}.exr") for at in frames],
        clip={at: f"plate.{at}.exr" for at in clip},
        window=window,
        frames_before=frames_before,
        frames_after=frames_after,
        judge=judge,
    )


def rendered(frame: int, *, is_skipped: bool = False) -> Rendered:
    return Rendered(
        frame,
        PathPixels(f"clean.{frame}.exr"),
        FrameReport(
            RECEIPT,
            TIMINGS,
            warnings=("read as scene_linear",),
        ),
        state="skipped" if is_skipped else "done",
    )


def looked_at(frame: int, *, is_skipped: bool = False) -> Rendered:
    """Return the answer for a frame that an effect left alone."""
    answer = rendered(frame, is_skipped=is_skipped)
    report = replace(answer.report, measured={"deblur.blur_px": 9.0}, attention=("too soft",))
    return replace(answer, report=report)


def taken(feed: JobFeed) -> list[int]:
    """Take all that is handed out now."""
    frames = []
    while (request := feed.next_request()) is not None:
        assert isinstance(request, Render)
        frames.append(request.frame)
    return frames


def numbers_of(request: Render | Judge | None) -> list[int]:
    assert isinstance(request, Render)
    return [source.frame for source in request.sources]


# --- handing out ----------------------------------------------------------------------------


def test_a_job_is_accepted_with_all_its_frames_in_order() -> None:
    assert feed_of().accepted() == JobAccepted("j1", (1001, 1002, 1003, 1004))


def test_frames_go_out_in_order_and_no_more_than_the_window_at_a_time() -> None:
    feed = feed_of(window=2)
    assert taken(feed) == [1001, 1002]
    feed.finished(1002, rendered(1002))
    assert taken(feed) == [1003]
    feed.finished(1001, UNREADABLE)
    feed.finished(1003, CANCELLED)
    assert taken(feed) == [1004]


def test_a_frame_is_asked_for_as_the_client_asked() -> None:
    submit = Submit(
        "plate.####.exr",
        "clean.####.exr",
        "denoise(strength=0.5)",
        options=RenderOptions(
            colorspace="ACEScg",
            alpha="straight",
            layer="beauty",
            half=True,
            compression="zips",
            existing="skip",
        ),
        urgency="sequence",
    )
    assert feed_of(submit=submit).next_request() == Render(
        "denoise(strength=0.5)",
        1001,
        (Source(1001, PathPixels("plate.1001.exr")),),
        PathTarget("clean.1001.exr"),
        options=RenderOptions(
            colorspace="ACEScg",
            alpha="straight",
            layer="beauty",
            half=True,
            existing="skip",
            compression="zips",
        ),
        urgency="sequence",
    )


def test_a_frame_that_is_not_on_disk_is_asked_for_and_fails_by_itself() -> None:
    feed = feed_of(range(1001, 1003), clip=range(1002, 1003))
    assert numbers_of(feed.next_request()) == [1001]


def test_handles_outside_the_range_are_read() -> None:
    feed = feed_of(range(1001, 1003), clip=range(1000, 1004), frames_before=1, frames_after=1)
    assert numbers_of(feed.next_request()) == [1000, 1001, 1002]
    assert numbers_of(feed.next_request()) == [1001, 1002, 1003]


def test_a_job_without_frames_is_done_at_once() -> None:
    feed = feed_of(range(0))
    assert feed.next_request() is None
    assert feed.done() == JobDone("j1", 0, 0, 0, 0)


def test_a_frame_twice_is_refused() -> None:
    task = FrameTask(1, "a", "b")
    with pytest.raises(RequestError, match="twice"):
        JobFeed("j1", SUBMIT, tasks=[task, task], clip={}, window=1)


def test_a_window_that_lets_no_frame_out_is_refused() -> None:
    with pytest.raises(SettingsError, match="0 frames"):
        feed_of(window=0)


# --- how frames end -------------------------------------------------------------------------


def test_a_started_frame_is_told_with_the_counts_so_far() -> None:
    feed = feed_of()
    taken(feed)
    assert feed.started(1001) == JobEvent("j1", 1001, "started", done=0, total=4)
    feed.finished(1001, rendered(1001))
    assert feed.started(1002) == JobEvent("j1", 1002, "started", done=1, total=4)


def test_a_frame_that_is_done_says_where_it_lies_and_what_was_measured() -> None:
    feed = feed_of()
    taken(feed)
    assert feed.finished(1001, rendered(1001)) == JobEvent(
        "j1",
        1001,
        "done",
        path="clean.1001.exr",
        done=1,
        total=4,
        report=rendered(1001).report,
    )


def test_a_frame_that_failed_carries_its_error() -> None:
    feed = feed_of()
    taken(feed)
    event = feed.finished(1002, UNREADABLE)
    assert event == JobEvent("j1", 1002, "failed", done=1, total=4, error=UNREADABLE)


def test_a_job_is_done_when_its_last_frame_ended_with_the_right_totals() -> None:
    feed = feed_of(window=4)
    taken(feed)
    feed.finished(1001, rendered(1001))
    feed.finished(1002, rendered(1002, is_skipped=True))
    feed.finished(1003, UNREADABLE)
    assert feed.done() is None
    feed.finished(1004, rendered(1004))
    assert feed.done() == JobDone("j1", done=2, skipped=1, failed=1, cancelled=0)


def test_frames_that_are_there_and_need_attention_are_told_and_counted_apart() -> None:
    feed = feed_of(window=4)
    taken(feed)
    event = feed.finished(1001, looked_at(1001))
    assert (event.state, event.report) == ("done", looked_at(1001).report)
    again = feed.finished(1002, looked_at(1002, is_skipped=True))
    assert again.report == looked_at(1002).report
    feed.finished(1003, rendered(1003))
    feed.finished(1004, UNREADABLE)
    assert feed.done() == JobDone("j1", done=2, skipped=1, failed=1, cancelled=0, attention=2)


def test_a_frame_ends_once_and_only_if_it_was_handed_out() -> None:
    feed = feed_of()
    taken(feed)
    feed.finished(1001, rendered(1001))
    for frame in (1001, 1003, 7):
        with pytest.raises(KwafluxError, match=f"frame {frame} of job 'j1'"):
            feed.finished(frame, rendered(frame))
        with pytest.raises(KwafluxError, match="not being rendered"):
            feed.started(frame)
    assert feed.finished(1002, rendered(1002)).done == 2


# --- cancel ---------------------------------------------------------------------------------


def test_to_cancel_ends_what_was_not_handed_out_at_once_and_the_rest_with_its_answers() -> None:
    feed = feed_of(window=2)
    taken(feed)
    assert feed.cancel() == [
        JobEvent("j1", 1003, "cancelled", done=1, total=4),
        JobEvent("j1", 1004, "cancelled", done=2, total=4),
    ]
    assert feed.next_request() is None
    assert feed.done() is None
    cancelled = JobEvent("j1", 1001, "cancelled", done=3, total=4)
    assert feed.finished(1001, CANCELLED) == cancelled
    feed.finished(1002, rendered(1002))
    assert feed.done() == JobDone("j1", done=1, skipped=0, failed=0, cancelled=3)


def test_to_cancel_twice_is_to_cancel_once() -> None:
    feed = feed_of()
    assert len(feed.cancel()) == 4
    assert feed.cancel() == []
    assert feed.done() == JobDone("j1", 0, 0, 0, cancelled=4)


@given(
    total=st.integers(0, 12),
    window=st.integers(1, 4),
    answers=st.lists(st.sampled_from(("done", "skipped", "failed", "cancelled")), max_size=12),
    cancel_after=st.none() | st.integers(0, 12),
)
def test_every_frame_is_counted_once_however_the_job_goes(
    total: int, window: int, answers: list[str], cancel_after: int | None
) -> None:
    feed = feed_of(range(1, total + 1), window=window)
    events: list[JobEvent] = []
    out: list[int] = []
    for step in range(2 * total + 1):
        if step == cancel_after:
            events += feed.cancel()
        out += taken(feed)
        assert len(out) <= window
        if not out:
            break
        how = answers[step] if step < len(answers) else "done"
        frame = out.pop(step % len(out))
        failures = {"failed": UNREADABLE, "cancelled": CANCELLED}
        answer = failures.get(how) or rendered(frame, is_skipped=how == "skipped")
        events.append(feed.finished(frame, answer))
    assert sorted(event.frame for event in events) == list(range(1, total + 1))
    assert [event.done for event in events] == list(range(1, total + 1))
    states = [event.state for event in events]
    assert feed.done() == JobDone(
        "j1",
        done=states.count("done"),
        skipped=states.count("skipped"),
        failed=states.count("failed"),
        cancelled=states.count("cancelled"),
    )


# --- neighbors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "before", "after", "expected"),
    [
        (1005, 0, 0, ()),
        (1005, 2, 1, (1003, 1004, 1006)),
        (1001, 2, 2, (1002, 1003)),
        (1001, 2, 0, (1002, 1003)),
        (1002, 2, 0, (1001,)),
        (1010, 0, 2, (1008, 1009)),
        (1010, 1, 3, (1007, 1008, 1009)),
        (1005, 99, 0, tuple(f for f in range(1001, 1011) if f != 1005)),
    ],
)
def test_neighbors_in_a_clip_of_1001_to_1010(
    frame: int, before: int, after: int, expected: tuple[int, ...]
) -> None:
    found = neighbor_frames(
        frame, frames_before=before, frames_after=after, all_frames=range(1001, 1011)
    )
    assert found == expected


def test_a_clip_ends_at_a_hole() -> None:
    clip = {1001, 1002, 1003, 1005, 1006}
    found = neighbor_frames(1003, frames_before=1, frames_after=2, all_frames=clip)
    assert found == (1001, 1002)


@given(
    run=st.tuples(st.integers(-20, 20), st.integers(1, 12)),
    at=st.integers(0, 11),
    before=st.integers(0, 6),
    after=st.integers(0, 6),
)
def test_the_window_mirrored_among_the_neighbors_is_the_window_mirrored_in_the_clip(
    run: tuple[int, int], at: int, before: int, after: int
) -> None:
    first, length = run
    last, frame = first + length - 1, first + at % length
    clip = set(range(first, last + 1)) | {first - 2, last + 2}  # other shots, beyond a hole
    around = neighbor_frames(frame, frames_before=before, frames_after=after, all_frames=clip)
    read = sorted((*around, frame))
    radius = max(before, after)
    window = slice(radius - before, radius + after + 1)
    in_clip = temporal_window(frame, radius=radius, first=first, last=last)[window]
    in_read = temporal_window(frame, radius=radius, first=read[0], last=read[-1])[window]
    assert in_read == in_clip
    assert read == list(range(read[0], read[-1] + 1))


# --- the shot profile -----------------------------------------------------------------------


JUDGE = Judge(SUBMIT, "{}", "clean.profile.json")
PROFILE = ShotProfile(
    (
        Shot(1001, 1002, (1001,), {"denoise": {"level": 0.1}}),
        Shot(1003, 1009, (1005,), {"denoise": {"level": 0.2}}),
    )
)


def test_a_job_is_judged_before_its_first_frame() -> None:
    feed = feed_of(judge=JUDGE)
    assert feed.next_request() is JUDGE
    assert feed.next_request() is None
    assert feed.judged(Judged(PROFILE.to_text())) == []
    first = feed.next_request()
    assert isinstance(first, Render)
    assert ShotProfile.parse(first.profile).shots == PROFILE.shots[:1]


def test_each_frame_carries_the_estimates_of_its_own_shot() -> None:
    feed = feed_of(judge=JUDGE, window=9)
    feed.next_request()
    feed.judged(Judged(PROFILE.to_text()))
    requests = [request for _ in range(4) if isinstance(request := feed.next_request(), Render)]
    shots = [ShotProfile.parse(request.profile).shots[0].first for request in requests]
    assert shots == [1001, 1001, 1003, 1003]


@pytest.mark.parametrize(("answer", "state"), [(UNREADABLE, "failed"), (CANCELLED, "cancelled")])
def test_where_judging_fails_every_frame_says_so(answer: Failed, state: str) -> None:
    feed = feed_of(judge=JUDGE)
    feed.next_request()
    events = feed.judged(answer)
    assert [(event.frame, event.state) for event in events] == [
        (frame, state) for frame in range(1001, 1005)
    ]
    assert feed.next_request() is None
    done = feed.done()
    assert done is not None
    assert done.failed + done.cancelled == 4


def test_a_job_that_is_cancelled_while_it_is_judged_ends_at_once() -> None:
    feed = feed_of(judge=JUDGE)
    feed.next_request()
    assert len(feed.cancel()) == 4
    assert feed.done() is not None
    assert feed.judged(CANCELLED) == []


def test_a_neighbor_beyond_a_cut_is_none() -> None:
    feed = feed_of(judge=JUDGE, window=9, frames_before=2, frames_after=2)
    feed.next_request()
    feed.judged(Judged(PROFILE.to_text()))
    read = [numbers_of(feed.next_request()) for _ in range(4)]
    assert read == [
        [1001, 1002],
        [1001, 1002],
        [1003, 1004, 1005],
        [1003, 1004, 1005, 1006],
    ]
