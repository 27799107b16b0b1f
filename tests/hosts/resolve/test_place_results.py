"""The way back into Resolve: four ways, each found again after a save, undone in one action."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_resolve.clips import Shot, look
from kwaflux_resolve.host import Host, find_host
from kwaflux_resolve.place_results import PLACEMENTS, import_result, markers_in, revert
from kwaflux_testing.fake_resolve.fusion import CompModel
from kwaflux_testing.fake_resolve.model import Placed, Quirks, World
from kwaflux_testing.fake_resolve.scenes import Scene, scene

FLOW = "denoise(strength=0.6)"


def _host(found: Scene) -> Host:
    return find_host(found.names, say=found.world.calls.append)


def _shot(host: Host) -> Shot:
    item = host.timeline.GetCurrentVideoItem()
    assert item is not None
    return look(host, item, timeline=host.timeline)


def _results(found: Scene, folder: Path, *, first: int = 1003, last: int = 1008) -> FrameSpan:
    """Return results as an enhancement leaves them: files of the same numbers."""
    folder.mkdir(exist_ok=True)
    for number in range(first, last + 1):
        shutil.copy(found.clip.file(number - found.clip.first), folder / f"clean.{number:04d}.exr")
    return FrameSpan(
        pattern=str(folder / "clean.%04d.exr"), first=first, last=last, used=(1003, 1008)
    )


def _back(
    found: Scene,
    folder: Path,
    mode: str,
    *,
    first: int = 1003,
    last: int = 1008,
    host: Host | None = None,
) -> ResultMarker:
    host = host or _host(found)
    if mode == "replace":
        first, last = 1001, 1012
    shot = _shot(host)
    results = _results(found, folder / "out", first=first, last=last)
    with host.kept():
        return import_result(host, shot, mode=mode, job="kw-1", results=results, note=FLOW)


def _picture(found: Scene) -> tuple[object, ...]:
    """Return what a person would see of the timeline, the bins and the page."""
    world = found.world
    tracks = [
        [(i.uid, i.start, i.count, i.shown, len(i.takes), len(i.comps)) for i in track.items]
        for track in found.cut.tracks
    ]
    clips = [
        (clip.uid, clip.numbered, dict(clip.properties), dict(clip.metadata))
        for clip in world.clips()
    ]
    return (tracks, clips, dict(found.cut.markers), world.page, world.bin.name)


def _with_color(found: Scene) -> None:
    found.clip.properties |= {"Input Color Space": "ARRI LogC3", "Data Level": "Video"}
    found.clip.metadata |= {"Scene": "12", "Shot": "A"}


@pytest.mark.parametrize("left", ["zero", "file"])
@pytest.mark.parametrize("append", ["zero", "file"])
@pytest.mark.parametrize("handles", [0, 2])
@pytest.mark.parametrize("mode", ["take", "track"])
def test_results_lie_where_the_clip_lies_however_a_version_counts(
    tmp_path: Path, mode: str, handles: int, append: str, left: str
) -> None:
    quirks = Quirks(append_numbering=append, left_numbering=left)  # type: ignore[arg-type]
    found = scene(tmp_path, quirks=quirks)
    _back(found, tmp_path, mode, first=1003 - handles, last=1008 + handles)
    shown = found.cut.item_at(86500)
    assert shown is not None
    clip, first = shown.shown
    assert clip is not None
    assert clip.file(first).name == "clean.1003.exr"
    assert (shown.start, shown.count) == (86500, 6)


def test_a_take_is_shown_and_the_original_stays_beside_it(tmp_path: Path) -> None:
    found = scene(tmp_path)
    made = _back(found, tmp_path, "take")
    assert [take.clip.name for take in found.item.takes] == [
        found.clip.name,
        "clean.[1003-1008].exr",
    ]
    assert found.item.selected_take == 2
    assert made.before == "1"


def test_a_second_take_keeps_the_first(tmp_path: Path) -> None:
    found = scene(tmp_path)
    _back(found, tmp_path, "take")
    host = _host(found)
    shot = _shot(host)
    results = _results(found, tmp_path / "again")
    import_result(host, shot, mode="take", job="kw-2", results=results, note=FLOW)
    assert len(found.item.takes) == 3
    assert [made.job for made in markers_in(host.timeline)] == ["kw-1", "kw-2"]
    revert(host, markers_in(host.timeline)[-1])
    assert [made.job for made in markers_in(host.timeline)] == ["kw-1"]
    assert found.item.selected_take == 2


def test_a_track_is_named_and_the_clip_below_is_untouched(tmp_path: Path) -> None:
    found = scene(tmp_path)
    _back(found, tmp_path, "track")
    assert [track.name for track in found.cut.tracks] == ["Video 1", "Kwaflux"]
    assert found.cut.tracks[0].items == [found.item]
    assert found.item.takes == []


def test_replaced_media_keeps_what_people_had_set(tmp_path: Path) -> None:
    found = scene(tmp_path)
    _with_color(found)
    _back(found, tmp_path, "replace")
    assert found.clip.numbered.endswith("clean.[1001-1012].exr")
    assert found.clip.metadata == {"Scene": "12", "Shot": "A"}
    assert found.clip.properties["Input Color Space"] == "ARRI LogC3"
    assert found.item.uid == found.cut.tracks[0].items[0].uid


def test_a_fusion_branch_is_rooted_in_media_in_and_rendered(tmp_path: Path) -> None:
    found = scene(tmp_path)
    _back(found, tmp_path, "fusion", first=1001, last=1008)
    (comp,) = found.item.comps
    assert isinstance(comp, CompModel)
    assert comp.name == "Kwaflux kw-1"
    mix = comp.out.sources["Input"]
    assert mix.sources["Background"].kind == "MediaIn"
    loader = mix.sources["Foreground"]
    assert str(loader.rendered["Clip"]).endswith("clean.1001.exr")
    assert loader.rendered["GlobalIn"] == -2
    assert mix.rendered["Mix"] == 1.0


def test_results_are_in_the_source_s_colors_and_of_full_range(tmp_path: Path) -> None:
    found = scene(tmp_path)
    _with_color(found)
    found.clip.properties["IDT"] = "ARRI LogC3 (EI800)"
    _back(found, tmp_path, "take")
    clip = found.item.takes[1].clip
    assert clip.properties["Input Color Space"] == "ARRI LogC3"
    assert clip.properties["IDT"] == "ARRI LogC3 (EI800)"
    assert clip.properties.get("Data Level", "Auto") in ("Auto", "Full")


def test_a_clip_that_does_not_take_its_colorspace_is_not_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scene(tmp_path)
    found.world.settings["colorScienceMode"] = "davinciYRGBColorManagedv2"
    _with_color(found)
    before = _picture(found)
    host = _host(found)
    name = "kwaflux_testing.fake_resolve.media.MediaPoolItem.SetClipProperty"
    monkeypatch.setattr(name, lambda self, name, value: True)
    with pytest.raises(HostError, match="Input Color Space"):
        _back(found, tmp_path, "take", host=host)
    assert _picture(found) == before


def test_an_import_at_video_level_is_set_to_full_range(tmp_path: Path) -> None:
    found = scene(tmp_path)
    host = _host(found)
    shot = _shot(host)
    clip = host.pool.GetRootFolder().GetClipList()[0]  # type: ignore[attr-defined]
    found.clip.properties["Data Level"] = "Video"
    shot.color.put_on(clip)
    assert found.clip.properties["Data Level"] == "Full"
    assert shot.clip.GetUniqueId() == clip.GetUniqueId()


def test_on_versions_without_the_track_s_index_a_result_is_found_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scene(tmp_path)
    made = _back(found, tmp_path, "track")
    name = "kwaflux_testing.fake_resolve.timeline.TimelineItem.GetTrackTypeAndIndex"
    monkeypatch.setattr(name, None)
    revert(_host(found), made)
    assert len(found.cut.tracks) == 1


@pytest.mark.parametrize("mode", PLACEMENTS)
def test_a_marker_carries_the_job_and_one_action_reverts_it(tmp_path: Path, mode: str) -> None:
    found = scene(tmp_path)
    _with_color(found)
    found.world.root.bins.append(type(found.world.root)("Kwaflux"))
    before = _picture(found)
    made = _back(found, tmp_path, mode)
    assert _picture(found) != before
    (marker,) = found.cut.markers.values()
    assert json.loads(str(marker["customData"]))["job"] == "kw-1"
    assert marker["note"] == FLOW
    host = _host(found)
    assert markers_in(host.timeline) == [made]
    revert(host, made)
    assert _picture(found) == before
    assert found.world.saves == 2


@pytest.mark.parametrize("mode", PLACEMENTS)
@pytest.mark.parametrize("page", ["color", "edit", "fairlight"])
def test_page_and_bin_are_as_they_were(tmp_path: Path, mode: str, page: str) -> None:
    found = scene(tmp_path)
    found.world.page = page
    _back(found, tmp_path, mode)
    assert (found.world.page, found.world.bin.name) == (page, "Master")
    assert [call for call in found.world.calls if "restore" in call] == []


@pytest.mark.parametrize(
    ("mode", "quirks"),
    [
        ("take", Quirks(takes_vanish=True)),
        ("track", Quirks(append_errors=True)),
    ],
)
def test_what_a_save_drops_is_never_called_a_success(
    tmp_path: Path, mode: str, quirks: Quirks
) -> None:
    found = scene(tmp_path, quirks=quirks)
    with pytest.raises(HostError, match="after the project was saved"):
        _back(found, tmp_path, mode)
    assert found.world.saves == 1


@pytest.mark.parametrize("mode", PLACEMENTS)
def test_a_project_that_is_not_saved_is_no_success_and_nothing_stays(
    tmp_path: Path, mode: str
) -> None:
    found = scene(tmp_path, quirks=Quirks(modal_is_open=True))
    found.world.root.bins.append(type(found.world.root)("Kwaflux"))
    _with_color(found)
    before = _picture(found)
    with pytest.raises(HostError, match="did not save"):
        _back(found, tmp_path, mode)
    assert _picture(found) == before


def test_a_replace_that_did_nothing_is_found_out(tmp_path: Path) -> None:
    found = scene(tmp_path, quirks=Quirks(replace_fails=True))
    with pytest.raises(HostError, match="did not replace"):
        _back(found, tmp_path, "replace")


def test_a_clip_with_sound_is_not_replaced_by_pictures(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.clip.properties["Audio Ch"] = "2"
    with pytest.raises(HostError, match="has sound"):
        _back(found, tmp_path, "replace")
    assert found.clip.numbered.endswith("plate.[1001-1012].exr")


def test_only_a_result_of_the_whole_media_replaces_it(tmp_path: Path) -> None:
    found = scene(tmp_path)
    host = _host(found)
    shot = _shot(host)
    with pytest.raises(HostError, match="whole media"):
        import_result(host, shot, mode="replace", job="kw-1",
                   results=_results(found, tmp_path / "out"), note=FLOW)  # fmt: skip


def test_frames_that_are_not_all_there_are_not_imported(tmp_path: Path) -> None:
    found = scene(tmp_path)
    host = _host(found)
    shot = _shot(host)
    results = _results(found, tmp_path / "out")
    (tmp_path / "out" / "clean.1005.exr").unlink()
    with pytest.raises(HostError, match="imported 0 clips"):
        import_result(host, shot, mode="take", job="kw-1", results=results, note=FLOW)
    assert len(found.world.clips()) == 1


def test_a_fusion_loader_is_refused_where_colors_are_managed(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.world.settings["colorScienceMode"] = "davinciYRGBColorManagedv2"
    with pytest.raises(HostError, match="a Loader is not"):
        _back(found, tmp_path, "fusion")
    assert found.item.comps == []


def test_a_marker_finds_a_free_frame_and_a_full_clip_is_refused(tmp_path: Path) -> None:
    found = scene(tmp_path)
    for frame in (100, 101):
        found.cut.markers[frame] = {"customData": "", "note": "", "name": "", "color": "Red"}
    _back(found, tmp_path, "take")
    assert sorted(found.cut.markers) == [100, 101, 102]


def test_a_full_clip_has_no_room_for_a_marker_and_is_left_as_it_was(tmp_path: Path) -> None:
    found = scene(tmp_path)
    for frame in range(100, 106):
        found.cut.markers[frame] = {"customData": "", "note": "", "name": "", "color": "Red"}
    found.world.root.bins.append(type(found.world.root)("Kwaflux"))
    before = _picture(found)
    with pytest.raises(HostError, match="no marker"):
        _back(found, tmp_path, "take")
    assert _picture(found) == before


def test_a_result_beside_others_on_its_track_is_deleted_alone(tmp_path: Path) -> None:
    found = scene(tmp_path, quirks=Quirks(deletes_late=True))
    made = _back(found, tmp_path, "track")
    other = Placed(found.clip, 0, 90000, 3)
    found.cut.tracks[1].items.append(other)
    found.world.page = "fairlight"
    revert(_host(found), made)
    assert found.cut.tracks[1].items == [other]
    assert found.world.page == "fairlight"


def test_what_cannot_be_taken_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = scene(tmp_path)
    made = _back(found, tmp_path, "take")
    name = "kwaflux_testing.fake_resolve.timeline.TimelineItem.DeleteTakeByIndex"
    monkeypatch.setattr(name, lambda self, index: False)
    with pytest.raises(HostError, match="did not remove kw-1"):
        revert(_host(found), made)
    assert markers_in(_host(found).timeline) == [made]


def test_the_last_is_the_last_in_time_wherever_its_clip_lies(tmp_path: Path) -> None:
    found = scene(tmp_path)
    for frame, job in ((900, "kw20260101-100000-aa"), (5, "kw20260101-110000-00")):
        data = ResultMarker(job=job, mode="take", item="x").data
        found.cut.markers[frame] = {"customData": data, "note": "", "name": "", "color": "Red"}
    assert [made.job[3:15] for made in markers_in(_host(found).timeline)] == [
        "0260101-1000",
        "0260101-1100",
    ]


def test_foreign_markers_are_left_alone(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.cut.markers[3] = {"customData": '{"other": 1}', "note": "", "name": "", "color": "Red"}
    found.cut.markers[4] = {"customData": "", "note": "", "name": "", "color": "Red"}
    for frame, data in enumerate(
        ('{"kwaflux":1,', '{"kwaflux":1,"from":"later"}', '{"kwaflux":2,}')
    ):
        found.cut.markers[9 + frame] = {"customData": data, "note": "", "name": "", "color": "Red"}
    assert markers_in(_host(found).timeline) == []


def test_a_world_is_what_its_tests_say(tmp_path: Path) -> None:
    """Half-open ends, absolute record frames, silent drops: the fake keeps to what was measured."""
    found = scene(tmp_path)
    assert isinstance(found.world, World)
    item = _host(found).timeline.GetCurrentVideoItem()
    assert item is not None
    assert (item.GetStart(), item.GetEnd(), item.GetDuration()) == (86500, 86506, 6)
