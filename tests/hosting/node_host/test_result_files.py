"""Where results lie, which are shown, and an enhancement whose frames a host renders."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import Cancelled, HostError
from kwaflux_hosting.batch.file_patterns import next_version
from kwaflux_hosting.batch.results_index import FrameRecord, RenderRequest, ResultsIndex
from kwaflux_hosting.node_host.enhance import EnhanceRequest, NodeEnhance, State
from kwaflux_hosting.node_host.result_files import (
    check_pattern,
    chosen_views,
    default_pattern,
    shown_frames,
    step_keys,
    told,
)


def _value_at(keys: dict[int, int], frame: int) -> int:
    before = [at for at in keys if at <= frame]
    return keys[max(before)] if before else keys[min(keys)]


@given(st.sets(st.integers(-50, 50)))
def test_a_step_curve_is_one_at_its_frames_and_nowhere_else(frames: set[int]) -> None:
    keys = step_keys(frames, is_still=False)
    assert all(_value_at(keys, frame) == (frame in frames) for frame in range(-60, 61))


def test_a_still_is_shown_everywhere_once_it_is_there() -> None:
    assert step_keys({1001}, is_still=True) == {0: 1}
    assert step_keys((), is_still=True) == {0: 0}


def test_views_are_those_that_are_named_or_all() -> None:
    assert chosen_views("", ("left", "right")) == ("left", "right")
    assert chosen_views("right, left", ("left", "right")) == ("right", "left")
    with pytest.raises(HostError, match="'middle'"):
        chosen_views("middle", ("left", "right"))


def test_a_pattern_that_would_overwrite_itself_is_refused() -> None:
    check_pattern("a.%V.####.exr", ("left", "right"))
    for pattern in ("a.####.exr", "a.%V.exr", "a.%V.####.dpx", "a.%V.@@@@.exr", "a.%V.1-5#.exr"):
        with pytest.raises(HostError):
            check_pattern(pattern, ("left", "right"))


def test_results_lie_beside_the_project_and_a_version_counts_for_all_views(tmp_path: Path) -> None:
    project = str(tmp_path / "shot.nk")
    pattern = default_pattern(project, "K", is_stereo=True)
    assert pattern == f"{tmp_path.as_posix()}/kwaflux/shot/K_v001/K_v001.%V.%04d.exr"
    assert default_pattern("", "K", is_stereo=False, home=tmp_path).startswith(
        f"{tmp_path.as_posix()}/kwaflux/unsaved/"
    )
    right = next_version(pattern, ("left", "right"))
    assert right.endswith("K_v002/K_v002.%V.%04d.exr")
    record = Path(ResultsIndex.path_for(right.replace("%V", "right")))
    record.parent.mkdir(parents=True)
    record.touch()
    assert next_version(pattern, ("left", "right")).endswith("K_v003/K_v003.%V.%04d.exr")


def test_what_is_known_becomes_a_sentence_and_what_is_shown() -> None:
    found = {"main": {1: "ready", 2: "attention", 3: "stale", 4: "failed"}}
    assert shown_frames(found) == {"main": {1, 2}}  # type: ignore[arg-type]
    assert told(found) == "1 ready, 3 out of date"  # type: ignore[arg-type]
    assert told({}) == "no frame ready"
    assert FrameRecord(state="good", order_key="x").reason == ""


def _asked(tmp_path: Path, frames: range) -> EnhanceRequest:
    return EnhanceRequest(
        order=RenderRequest(flow="identity"),
        pattern=f"{tmp_path.as_posix()}/out.%04d.exr",
        todo={"main": list(frames)},
        total=len(frames),
        span=frames,
        around=(0, 0),
        source_key="key",
    )


def test_frames_that_cannot_be_rendered_are_told_and_no_server_is_asked(tmp_path: Path) -> None:
    def render(frame: int, *, pattern: str, view: str) -> None:
        raise HostError(f"no frame {frame}")

    def no_server(say: object, cancel: threading.Event) -> object:
        raise AssertionError("nobody needs a server")

    looks: list[State] = []
    work = NodeEnhance(
        _asked(tmp_path, range(1, 6)),
        render=render,
        look=lambda state: bool(looks.append(state)),  # type: ignore[func-returns-value]
        open_client=no_server,  # type: ignore[arg-type]
    )
    work.run()
    assert work.summary() == (
        "0 of 5 frames are ready, 5 failed (1: no frame 1; 2: no frame 2; 3: no frame 3; ...)"
    )
    assert work.exit_status == 2
    assert [look.ended for look in looks][-1] == 4
    assert not list(tmp_path.glob(".kwaflux-exchange-*"))


def test_cancel_in_the_hosts_render_ends_it_and_removes_the_frames(tmp_path: Path) -> None:
    def render(frame: int, *, pattern: str, view: str) -> None:
        if frame == 3:
            raise Cancelled("the person pressed Cancel")
        Path(pattern % frame).touch()

    work = NodeEnhance(
        _asked(tmp_path, range(1, 6)),
        render=render,
        look=lambda state: False,
        open_client=lambda say, cancel: 1 / 0,  # type: ignore[arg-type, return-value]
    )
    work.run()
    assert work.summary() == "0 of 5 frames are ready, cancelled"
    assert not list(tmp_path.glob(".kwaflux-exchange-*"))
