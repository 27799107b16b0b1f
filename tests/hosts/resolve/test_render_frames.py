"""The way out of Resolve: exactly the source's frames, looked at, and everything put back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kwaflux_core.errors import FrameMissing, HostError, ImageUnsupported, KwafluxError
from kwaflux_hosting.batch.file_patterns import frame_path
from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.task_runner import run_task
from kwaflux_resolve.clips import Shot, look
from kwaflux_resolve.host import Host, find_host
from kwaflux_resolve.render_frames import render_composite, render_source
from kwaflux_testing.fake_resolve.model import Clip, Placed, Quirks, World
from kwaflux_testing.fake_resolve.scenes import SIZE_PX, Scene, pixels, scene
from kwaflux_testing.pictures import same_bits


def _host(found: Scene) -> Host:
    return find_host(found.names, say=found.world.calls.append)


def _shot(host: Host) -> Shot:
    item = host.timeline.GetCurrentVideoItem()
    assert item is not None
    return look(host, item, timeline=host.timeline)


def _out(host: Host, folder: Path, *, handles: int = 0, is_whole: bool = False) -> FrameSpan:
    frames = folder / "frames"
    frames.mkdir()
    shot = _shot(host)
    with host.kept():
        return run_task(
            render_source(
                host,
                shot,
                lambda base: shot.cut.planned(base, handles=handles, is_whole=is_whole),
                folder=str(frames),
            ),
            tick_s=0,
        )


def _state(world: World) -> tuple[object, ...]:
    cut = None if world.cut is None else world.cut.name
    names = [one.name for one in world.cuts]
    return (
        cut, names, world.bin.name, world.page, dict(world.deliver), world.codec,
        world.render_mode, list(world.presets), list(world.jobs), list(world.rendering),
    )  # fmt: skip


def _same(plates: FrameSpan, clip: Clip) -> bool:
    return all(
        same_bits(color, pixels(frame_path(clip.pattern, number))[name])
        for number in range(plates.first, plates.last + 1)
        for name, color in pixels(frame_path(plates.pattern, number)).items()
    )


@pytest.mark.parametrize("left", ["zero", "file"])
@pytest.mark.parametrize("append", ["zero", "file"])
@pytest.mark.parametrize("first", [1001, 0, 4])
def test_the_source_s_frames_leave_bit_for_bit_under_their_own_numbers(
    tmp_path: Path, left: str, append: str, first: int
) -> None:
    quirks = Quirks(append_numbering=append, left_numbering=left)  # type: ignore[arg-type]
    found = scene(tmp_path, quirks=quirks, first=first)
    plates = _out(_host(found), tmp_path)
    assert (plates.first, plates.last) == (first + 2, first + 7)
    assert plates.used == (first + 2, first + 7)
    assert _same(plates, found.clip)


def test_grades_and_other_tracks_stay_out_of_the_source(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.cut.tracks[0].items[0].gain = 4.0
    assert _same(_out(_host(found), tmp_path), found.clip)


def test_handles_are_read_as_far_as_there_is_media(tmp_path: Path) -> None:
    plates = _out(_host(scene(tmp_path)), tmp_path, handles=3)
    assert (plates.first, plates.last) == (1001, 1011)
    assert plates.used == (1003, 1008)


def test_the_whole_media_leaves_when_it_is_to_be_replaced(tmp_path: Path) -> None:
    plates = _out(_host(scene(tmp_path)), tmp_path, is_whole=True)
    assert (plates.first, plates.last) == (1001, 1012)


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_job_s_end_is_told_by_numbers_not_by_words(tmp_path: Path, language: str) -> None:
    found = scene(tmp_path, quirks=Quirks(language=language))  # type: ignore[arg-type]
    assert _out(_host(found), tmp_path).last == 1008


@pytest.mark.parametrize("version", [(18, 6, 6, 7), (19, 1, 3, 7), (21, 1, 0, 14)])
def test_keys_of_later_versions_are_not_given_to_earlier_ones(
    tmp_path: Path, version: tuple[int, ...]
) -> None:
    found = scene(tmp_path)
    found.world.version = version
    assert _same(_out(_host(found), tmp_path), found.clip)


def test_page_timeline_bin_preset_and_queue_are_as_they_were(tmp_path: Path) -> None:
    found = scene(tmp_path)
    before = _state(found.world)
    _out(_host(found), tmp_path)
    assert _state(found.world) == before
    assert found.world.calls == []


@pytest.mark.parametrize(
    ("quirks", "error"),
    [
        (Quirks(render_frames_missing=1), FrameMissing),
        (Quirks(render_writes="RGBHalfZIP"), ImageUnsupported),
        (Quirks(render_fails=True), HostError),
    ],
    ids=["a frame is missing", "half instead of float", "the job failed"],
)
def test_a_render_that_is_not_what_was_asked_for_is_refused_and_all_is_put_back(
    tmp_path: Path, quirks: Quirks, error: type[KwafluxError]
) -> None:
    found = scene(tmp_path, quirks=quirks)
    before = _state(found.world)
    with pytest.raises(error):
        _out(_host(found), tmp_path)
    assert _state(found.world) == before


def test_a_render_that_stands_still_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kwaflux_resolve.render_frames._STALL_S", 0.02)
    found = scene(tmp_path, quirks=Quirks(render_stalls=True))
    before = _state(found.world)
    with pytest.raises(HostError, match="40 %"):
        _out(_host(found), tmp_path)
    assert _state(found.world) == before


def test_a_render_that_does_not_start_is_refused_and_all_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "kwaflux_testing.fake_resolve.application.Project.StartRendering"
    monkeypatch.setattr(name, lambda self, jobs, is_interactive: False)
    found = scene(tmp_path)
    before = _state(found.world)
    with pytest.raises(HostError, match="did not start"):
        _out(_host(found), tmp_path)
    assert _state(found.world) == before


def test_a_render_that_is_closed_midway_stops_and_leaves_nothing(tmp_path: Path) -> None:
    found = scene(tmp_path, quirks=Quirks(render_stalls=True))
    host, before = _host(found), _state(found.world)
    shot = _shot(host)
    with host.kept():
        steps = render_source(host, shot, lambda base: shot.cut.planned(base), folder=str(tmp_path))
        assert next(steps).startswith(found.clip.name)
        assert found.world.rendering
        steps.close()
        assert not found.world.rendering
    assert _state(found.world) == before


def test_a_render_that_runs_already_is_not_disturbed(tmp_path: Path) -> None:
    found = scene(tmp_path, quirks=Quirks(render_stalls=True))
    host = _host(found)
    other = host.project.AddRenderJob()
    host.project.StartRendering([other], False)
    with pytest.raises(HostError, match="rendering already"):
        _out(host, tmp_path)
    assert [job.uid for job in found.world.rendering] == [other]


def test_marks_on_the_clip_are_named_when_they_keep_frames_back(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.clip.marks = (3, 5)
    with pytest.raises(HostError, match="in and out marks"):
        _out(_host(found), tmp_path)


def test_a_timeline_that_resolve_keeps_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scene(tmp_path)
    host = _host(found)
    monkeypatch.setattr(
        "kwaflux_testing.fake_resolve.media.MediaPool.DeleteTimelines", lambda self, gone: False
    )
    _out(host, tmp_path)
    assert [call for call in found.world.calls if "temporary timeline" in call]


def test_the_graded_composite_is_what_the_timeline_shows(tmp_path: Path) -> None:
    found = scene(tmp_path)
    width, height = SIZE_PX
    found.world.settings |= {
        "timelineResolutionWidth": str(width),
        "timelineResolutionHeight": str(height),
    }
    host, frames = _host(found), tmp_path / "frames"
    frames.mkdir()
    with host.kept():
        steps = render_composite(host, _shot(host), folder=str(frames))
        plates = run_task(steps, tick_s=0)
    assert (plates.first, plates.last) == (86500, 86505)
    first = pixels(frame_path(plates.pattern, 86500))["R"]
    assert same_bits(first, pixels(found.clip.file(2))["R"] * 2)


def test_a_clip_of_another_size_than_the_project_is_not_scaled(tmp_path: Path) -> None:
    found = scene(tmp_path)
    assert found.world.settings["timelineResolutionWidth"] == "1920"
    assert _same(_out(_host(found), tmp_path), found.clip)


def test_a_clip_that_shows_more_than_its_media_is_refused(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.cut.tracks[0].items = [replace(found.item, first=9)]
    with pytest.raises(HostError, match="1010-1015"):
        _out(_host(found), tmp_path)


def test_the_fake_refuses_what_resolve_refuses(tmp_path: Path) -> None:
    """The fake is only worth something while it is hostile."""
    found = scene(tmp_path)
    resolve = find_host(found.names).resolve
    assert hasattr(resolve, "TotallyMadeUp")
    assert getattr(resolve, "TotallyMadeUp") is None  # noqa: B009 - that is the point
    assert "TotallyMadeUp" not in dir(resolve)
    found.cut.tracks[0].items.append(Placed(None, 0, 90000, 5))
    pool = resolve.GetProjectManager().GetCurrentProject()
    assert pool is not None
    item = pool.GetMediaPool().AppendToTimeline(
        [{"mediaPoolItem": found_item(resolve), "startFrame": 1001, "endFrame": 1004,
          "recordFrame": 86500, "trackIndex": 1}]
    )[0]  # fmt: skip
    assert item.GetStart() is None
    assert item.GetUniqueId() is None


def found_item(resolve: object) -> object:
    """Return the first clip of the media pool."""
    manager = resolve.GetProjectManager()  # type: ignore[attr-defined]
    return manager.GetCurrentProject().GetMediaPool().GetRootFolder().GetClipList()[0]
