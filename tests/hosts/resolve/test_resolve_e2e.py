"""From a clip on Resolve's timeline to a take of it, through a real server, by path and bytes."""

from __future__ import annotations

import os
import signal
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kwaflux_core.client.client import Client
from kwaflux_core.errors import HostError
from kwaflux_core.images.exr.read import read_exr
from kwaflux_hosting.batch.range_render import OpenClient
from kwaflux_hosting.timeline_host.clip_request import ClipRequest
from kwaflux_hosting.timeline_host.enhance import enhance
from kwaflux_hosting.timeline_host.result_marker import ResultMarker
from kwaflux_resolve import entry_points
from kwaflux_resolve.clip_colorspace import ClipColor
from kwaflux_resolve.entry_points import ResolveTimelineHost
from kwaflux_resolve.host import Host, find_host
from kwaflux_resolve.place_results import markers_in, revert
from kwaflux_testing.fake_resolve.model import Cut, Placed, Quirks
from kwaflux_testing.fake_resolve.scenes import Scene, footage, pixels, scene
from kwaflux_testing.pictures import same_bits
from kwaflux_testing.servers import RunningServer, StartServer, wait_until


def _open(server: RunningServer) -> OpenClient:
    def open_client(say: Callable[[str], None], cancel: threading.Event) -> Client:
        return server.client(name="resolve")

    return open_client


def _host(found: Scene) -> Host:
    return find_host(found.names, say=found.world.calls.append)


def _run(found: Scene, server: RunningServer, **wish: object) -> list[ResultMarker]:
    asked = ClipRequest(**{"flow": "identity", "colorspace": "scene_linear", **wish})  # type: ignore[arg-type]
    steps = enhance(ResolveTimelineHost(_host(found)), asked, open_client=_open(server))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: list[ResultMarker] = end.value
            return made


def _shown(found: Scene, frame: int) -> Path:
    item = found.cut.item_at(frame)
    assert item is not None
    clip, first = item.shown
    assert clip is not None
    return clip.file(first + frame - item.start)


@pytest.mark.parametrize("mode", ["take", "track", "replace"])
def test_a_clip_goes_out_and_comes_back_bit_for_bit(
    tmp_path: Path, server: RunningServer, mode: str
) -> None:
    found = scene(tmp_path)
    sources = [pixels(found.clip.file(index)) for index in range(2, 8)]
    (made,) = _run(found, server, mode=mode)
    assert made.mode == mode
    for index, source in enumerate(sources):
        path = _shown(found, 86500 + index)
        assert path.name == f"plate_v001.{1003 + index}.exr"
        for name, color in pixels(path).items():
            assert same_bits(color, source[name])
    assert [call for call in found.world.calls if "restore" in call] == []
    assert list(tmp_path.rglob(".kwaflux-exchange-*")) == []


def test_a_fusion_branch_renders_the_result(tmp_path: Path, server: RunningServer) -> None:
    found = scene(tmp_path)
    found.item.gain = 1.0
    _run(found, server, mode="fusion", flow="soften(strength=1)", handles=1)
    assert len(found.item.comps) == 1
    done = tmp_path / "media" / "kwaflux" / "plate" / "v001" / "plate_v001.1003.exr"
    assert "soften" in str(read_exr(done).part.attributes["kwaflux/flow"])


def test_a_person_may_open_another_timeline_while_the_server_works(
    tmp_path: Path, server: RunningServer
) -> None:
    found = scene(tmp_path)
    host = _host(found)
    steps = enhance(
        ResolveTimelineHost(host),
        ClipRequest(flow="identity", colorspace="scene_linear"),
        open_client=_open(server),
    )
    other = Cut("other")
    found.world.cuts.append(other)
    for said in steps:
        if "frames" in said:
            found.world.cut = other
    assert len(found.item.takes) == 2
    assert found.world.cut is other


def test_the_graded_composite_comes_back_above(tmp_path: Path, server: RunningServer) -> None:
    found = scene(tmp_path)
    found.world.settings |= {"timelineResolutionWidth": "24", "timelineResolutionHeight": "16"}
    _run(found, server, mode="track", is_graded=True)
    path = _shown(found, 86500)
    assert path.name == "plate_v001.86500.exr"
    assert same_bits(pixels(path)["R"], pixels(found.clip.file(2))["R"] * 2)


def test_the_result_of_an_effect_says_how_it_was_made(
    tmp_path: Path, server: RunningServer
) -> None:
    found = scene(tmp_path)
    _run(found, server, flow="soften(strength=1)")
    path = _shown(found, 86502)
    source = pixels(found.clip.file(4))
    assert not same_bits(pixels(path)["R"], source["R"])
    assert read_exr(path).part.attributes["kwaflux/flow"] == "soften(strength=1.0)"


def test_several_clips_are_done_and_one_that_is_refused_does_not_end_the_others(
    tmp_path: Path, server: RunningServer
) -> None:
    found = scene(tmp_path)
    retimed = Placed(found.clip, 0, 87000, 4, speed=2.0)
    other = footage(tmp_path / "more", first=0, count=5, name="b")
    found.world.root.clips.append(other)
    second = Placed(other, 0, 88000, 5)
    found.cut.tracks[0].items += [retimed, second]
    found.cut.selected = [found.item, retimed, second]
    made = _run(found, server)
    assert [one.item for one in made] == [found.item.uid, second.uid]
    assert any("is retimed" in call for call in found.world.calls)


def test_a_later_run_is_a_later_version_of_the_original_and_never_of_a_result(
    tmp_path: Path, server: RunningServer
) -> None:
    found = scene(tmp_path)
    _run(found, server)
    with pytest.raises(HostError, match="itself a result"):
        _run(found, server, flow="soften(strength=1)")
    found.item.selected_take = 1
    _run(found, server, flow="soften(strength=1)")
    assert _shown(found, 86500).name.startswith("plate_v002")
    assert len(found.item.takes) == 3
    host = _host(found)
    revert(host, markers_in(host.timeline)[-1])
    assert _shown(found, 86500) == found.clip.file(2)
    assert len(found.item.takes) == 2


def test_a_server_that_sees_other_disks_gets_bytes(
    tmp_path: Path, start_server: StartServer
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    far = start_server({"KWAFLUX_ROOTS": str(elsewhere)})
    found = scene(tmp_path / "show")
    _run(found, far)
    for name, color in pixels(_shown(found, 86500)).items():
        assert same_bits(color, pixels(found.clip.file(2))[name])


def test_a_cancel_in_the_middle_reaches_the_server_and_changes_nothing(
    tmp_path: Path, server: RunningServer
) -> None:
    found = scene(tmp_path, count=60)
    found.item.count = 50
    wish = ClipRequest(flow="slow(seconds=0.2)", colorspace="scene_linear")
    steps = enhance(ResolveTimelineHost(_host(found)), wish, open_client=_open(server))
    for said in steps:
        if "3 of 50 frames" in said:
            break
    steps.close()
    wait_until(lambda: server.status().running + server.status().waiting == 0,
               what="the server has nothing to do", timeout_s=10)  # fmt: skip
    assert found.item.takes == []
    assert found.cut.markers == {}
    assert [cut.name for cut in found.world.cuts] == ["edit"]


def test_a_server_that_is_killed_is_said_and_a_later_run_does_the_rest(
    tmp_path: Path, start_server: StartServer, server: RunningServer
) -> None:
    found = scene(tmp_path, count=30)
    found.item.count = 20
    doomed = start_server()
    wish = ClipRequest(flow="slow(seconds=0.1)", colorspace="scene_linear")
    steps = enhance(ResolveTimelineHost(_host(found)), wish, open_client=_open(doomed))

    def follow() -> None:
        for said in steps:
            if "5 of 20 frames" in said:
                os.killpg(doomed.process.pid, signal.SIGKILL)

    with pytest.raises(HostError, match="plate"):
        follow()
    assert found.item.takes == []
    done = list((tmp_path / "media" / "kwaflux" / "plate" / "v001").glob("*.exr"))
    assert 5 <= len(done) < 20
    _run(found, server, flow=wish.flow)
    assert _shown(found, 86500).name == "plate_v001.1003.exr"


def test_a_frame_that_fails_is_named_and_nothing_is_brought_back(
    tmp_path: Path, server: RunningServer
) -> None:
    found = scene(tmp_path)
    with pytest.raises(HostError, match="6 of 6 frames failed"):
        _run(found, server, flow="clumsy")
    assert found.item.takes == []


def test_an_unknown_effect_is_said_before_it_is_said_of_every_frame(
    tmp_path: Path, server: RunningServer
) -> None:
    found = scene(tmp_path)
    with pytest.raises(HostError, match="there is no effect 'denoize'"):
        _run(found, server, flow="denoize")


def _at_home(monkeypatch: pytest.MonkeyPatch, server: RunningServer, folder: Path) -> list[str]:
    """Let this process's own settings lead to a server; return what the console says."""
    for name, value in server.place.environ.items():
        if name.startswith("KWAFLUX_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    said: list[str] = []
    monkeypatch.setattr(entry_points, "_say", said.append)
    return said


def test_the_chart_goes_the_whole_transport_and_a_bundle_is_written(
    tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _at_home(monkeypatch, server, tmp_path)
    found = scene(tmp_path)
    found.world.settings["colorScienceMode"] = "davinciYRGBColorManagedv2"
    assert entry_points.main(["--check"], names=found.names) == 0, said
    assert "good  resolve: out" in "\n".join(said)
    assert said[-1].startswith("Every step returned its input unchanged.")
    with zipfile.ZipFile(said[-1].split()[-1]) as archive:
        assert "davinciYRGBColorManagedv2" in archive.read("about.json").decode()
    assert [clip.name for clip in found.world.clips()] == [found.clip.name]
    assert [cut.name for cut in found.world.cuts] == ["edit"]
    assert found.world.bin.name == "Master"


def test_the_chart_tells_what_resolve_did_to_colors(
    tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Resolve that answers as if it had left its conversion out, and had not."""
    said = _at_home(monkeypatch, server, tmp_path)
    monkeypatch.setattr(ClipColor, "keep_numbers", lambda self, timeline: None)
    found = scene(tmp_path)
    found.world.settings["colorScienceMode"] = "davinciYRGBColorManagedv2"
    assert entry_points.main(["--check"], names=found.names) == 1
    assert "The first step that changed something: resolve: out" in "\n".join(said)


def test_the_console_does_all_of_it_under_nogui(
    tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _at_home(monkeypatch, server, tmp_path)
    found = scene(tmp_path, quirks=Quirks(has_ui=False))
    asked = [
        "--flow",
        "identity",
        "--colorspace",
        "scene_linear",
        "--folder",
        str(tmp_path / "out"),
    ]
    assert entry_points.main(asked, names=found.names) == 0
    assert said[-1].startswith("plate.[1001-1012].exr: imported as a take")
    assert _shown(found, 86500).parent == tmp_path / "out" / "plate" / "v001"
    assert entry_points.main(["--revert"], names=found.names) == 0
    assert found.item.takes == []
    assert entry_points.main([], names=found.names) == 0
    assert any(line.startswith("denoise ") for line in said)
