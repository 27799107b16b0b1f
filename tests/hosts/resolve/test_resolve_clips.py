"""Which clips Resolve's user means, which are refused and why; and which Resolve is fit at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.clip_request import ClipRequest
from kwaflux_hosting.timeline_host.enhance import enhance
from kwaflux_hosting.timeline_host.task_runner import run_task
from kwaflux_resolve.clips import Shot, chosen, look
from kwaflux_resolve.entry_points import ResolveTimelineHost
from kwaflux_resolve.host import find_host
from kwaflux_testing.fake_resolve.model import Clip, Placed, Quirks
from kwaflux_testing.fake_resolve.scenes import Scene, scene


def _look(found: Scene, item: Placed | None = None) -> Shot:
    host = find_host(found.names)
    if item is not None:
        found.cut.tracks[0].items = [item]
        found.cut.selected = [item]
    (shown,) = chosen(host)
    return look(host, shown, timeline=host.timeline)


def test_the_selected_clips_are_meant(tmp_path: Path) -> None:
    found = scene(tmp_path)
    other = Placed(found.clip, 0, 90000, 3)
    found.cut.tracks[0].items.append(other)
    found.cut.selected = [other, found.item]
    items = chosen(find_host(found.names))
    assert [item.GetUniqueId() for item in items] == [other.uid, found.item.uid]


@pytest.mark.parametrize("version", [(19, 1, 3, 7), (20, 3, 2, 9), (21, 0, 3, 7)])
def test_before_21_0_4_it_is_the_clip_under_the_playhead(
    tmp_path: Path, version: tuple[int, ...]
) -> None:
    found = scene(tmp_path)
    other = Placed(found.clip, 0, 90000, 3)
    found.cut.tracks[0].items.append(other)
    found.cut.selected = [other]
    found.world.version = version
    host = find_host(found.names)
    assert "GetSelectedClips" not in dir(host.timeline)
    assert hasattr(host.timeline, "GetSelectedClips"), "hasattr is no proof of anything"
    (shown,) = chosen(host)
    assert shown.GetUniqueId() == found.item.uid


def test_nothing_selected_and_nothing_under_the_playhead_is_said(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.cut.selected, found.cut.playhead = [], 99999
    with pytest.raises(HostError, match="no clip is selected"):
        chosen(find_host(found.names))


def test_a_shot_knows_its_media_and_its_place(tmp_path: Path) -> None:
    shot = _look(scene(tmp_path))
    assert (shot.media.first, shot.media.last) == (1001, 1012)
    assert (shot.cut.start, shot.cut.count) == (86500, 6)
    assert (shot.media.fps, shot.media.size_px) == (24.0, (24, 16))
    assert shot.cut.used(base=0) == (1003, 1008)


def test_a_source_start_that_is_one_off_is_no_retime(tmp_path: Path) -> None:
    """``GetSourceStartFrame`` was measured one off on clips that were placed right."""
    found = scene(tmp_path)
    found.item.source_shift = 1
    assert _look(found).cut.used(base=0) == (1003, 1008)


@pytest.mark.parametrize(
    ("speed", "why"),
    [
        (2.0, "is retimed: 12 source frames in 6"),
        (0.5, "is retimed: 3 source frames in 6"),
        (-1.0, "plays in reverse"),
        (0, "reports no source frames"),
    ],
)
def test_retimes_and_reverses_are_refused_with_the_reason(
    tmp_path: Path, speed: float, why: str
) -> None:
    found = scene(tmp_path, first=0)
    with pytest.raises(HostError, match=why):
        _look(found, Placed(found.clip, 0, 86500, 6, speed=speed))


def test_a_generator_is_refused_with_the_reason(tmp_path: Path) -> None:
    found = scene(tmp_path)
    with pytest.raises(HostError, match="title, a generator or a compound"):
        _look(found, Placed(None, 0, 86500, 6))
    compound = Clip("Compound", "", 0, 6, 0, (24, 16), is_generator=True)
    with pytest.raises(HostError, match="title, a generator or a compound"):
        _look(found, Placed(compound, 0, 86500, 6))


@pytest.mark.parametrize("fps", [23.976, 25.0, 48.0])
def test_mixed_frame_rates_are_refused_with_the_reason(tmp_path: Path, fps: float) -> None:
    found = scene(tmp_path)
    found.clip.fps = fps
    with pytest.raises(HostError, match=f"{fps:g} frames a second and its timeline 24"):
        _look(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PAR", "CinemaScope"), ("H-FLIP", "On"), ("V-FLIP", "On"), ("Input LUT", "film.cube")],
)
def test_attributes_that_change_pixels_on_their_way_out_are_refused(
    tmp_path: Path, name: str, value: str
) -> None:
    found = scene(tmp_path)
    found.clip.properties[name] = value
    with pytest.raises(HostError, match=f"has {name} = {value}"):
        _look(found)


def test_a_still_is_refused_with_the_reason(tmp_path: Path) -> None:
    found = scene(tmp_path, count=1)
    with pytest.raises(HostError, match="is a still"):
        _look(found, Placed(found.clip, 0, 86500, 120))


def test_a_clip_of_one_frame_is_no_still(tmp_path: Path) -> None:
    found = scene(tmp_path, count=1)
    assert _look(found, Placed(found.clip, 0, 86500, 1)).cut.used(base=0) == (1001, 1001)


# --- which Resolve ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ((21, 1, 0, 14), "no Python scripting since 21.1"),
        ((21, 0, 4, 5), "in Studio only"),
    ],
)
def test_the_free_edition_is_refused_in_plain_words_before_anything_is_called(
    tmp_path: Path, version: tuple[int, ...], why: str
) -> None:
    found = scene(tmp_path)
    found.world.product, found.world.version = "DaVinci Resolve", version
    with pytest.raises(HostError, match=why) as error:
        find_host(found.names)
    assert "Kwaflux needs DaVinci Resolve Studio" in error.value.hint
    assert found.world.calls == []


def test_a_resolve_that_is_too_old_is_refused(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.world.version = (18, 1, 4, 9)
    with pytest.raises(HostError, match=r"18\.1\.4") as error:
        find_host(found.names)
    assert "18.5 or later" in error.value.hint


@pytest.mark.parametrize("has_ui", [True, False])
def test_a_project_that_was_never_saved_is_refused_for_a_save_could_hang(
    tmp_path: Path, has_ui: bool
) -> None:
    found = scene(tmp_path, quirks=Quirks(has_ui=has_ui))
    found.world.project = "Untitled Project"
    with pytest.raises(HostError, match="never saved"):
        find_host(found.names)


def test_no_project_and_no_timeline_are_said(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.world.cut = None
    with pytest.raises(HostError, match="no timeline is open"):
        _ = find_host(found.names).timeline
    found.world.project = ""
    with pytest.raises(HostError, match="no project is open"):
        find_host(found.names)


def test_where_every_clip_is_refused_the_error_names_each_reason(tmp_path: Path) -> None:
    found = scene(tmp_path)
    retimed = Placed(found.clip, 0, 87000, 4, speed=2.0)
    backward = Placed(found.clip, 4, 88000, 4, speed=-1.0)
    found.cut.tracks[0].items += [retimed, backward]
    found.cut.selected = [retimed, backward]
    host = find_host(found.names, say=found.world.calls.append)
    request = ClipRequest(flow="identity", colorspace="scene_linear")
    with pytest.raises(HostError, match=r"is retimed.*plays in reverse"):
        run_task(enhance(ResolveTimelineHost(host), request), tick_s=0)
    assert len(found.world.calls) == 2
