"""A fake Nuke, real EXR plates, a real server: frames go out, are enhanced, and come back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.images.exr.read import read_exr
from kwaflux_core.images.image import Image
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_hosting.node_host import enhance
from kwaflux_testing.nuke_scenes import Scene, nuke_scene
from kwaflux_testing.pictures import same_bits
from kwaflux_testing.servers import RunningServer, StartServer, wait_until

_SLOW = 'slow(seconds=0.2, log="", name="x")'


def _same_pixels(first: Image, second: Image) -> bool:
    ours, theirs = first.part, second.part
    return (
        ours.channels.keys() == theirs.channels.keys()
        and (ours.data_window, ours.display_window) == (theirs.data_window, theirs.display_window)
        and all(same_bits(ours.channels[name], theirs.channels[name]) for name in ours.channels)
    )


def _is_result(scene: Scene, frame: int, *, view: str = "main") -> bool:
    """Tell whether the node shows a result there; else it is the plate, bit for bit."""
    shown = scene.look(frame, view=view)
    if any(name.startswith("kwaflux/") for name in shown.part.attributes):
        return True
    assert _same_pixels(shown, scene.plate(frame, view=view))
    return False


def _shown(scene: Scene, frames: range, *, view: str = "main") -> list[int]:
    return [frame for frame in frames if _is_result(scene, frame, view=view)]


def _results(folder: Path) -> list[Path]:
    return list((folder / "kwaflux").rglob("Kwaflux1_v001.*.exr"))


def _leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".kwaflux-*")]


def test_a_range_goes_by_path_and_loses_nothing_and_the_script_stays_as_it_was(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server) as scene:
        scene.set(kw_effect="identity")
        scene.nuke.root["proxy"].setValue(True)
        undo, nodes = list(scene.nuke.rules.undo), list(scene.nuke.root._children)
        inside = list(scene.node._children)
        assert scene.press("enhance_range") == "5 of 5 frames are ready"
        for frame in range(1001, 1006):
            shown, plate = scene.look(frame), scene.plate(frame)
            assert _is_result(scene, frame)
            assert _same_pixels(shown, plate)
            for name in ("timeCode", "camera", "comments"):
                assert shown.part.attributes[name] == plate.part.attributes[name]
        assert (scene.nuke.root._children, scene.node._children) == (nodes, inside)
        assert scene.nuke.rules.undo == undo
        assert scene.nuke.root["proxy"].value() is True
        assert scene.node.isSelected()
        assert not _leftovers(tmp_path)
        assert not scene.nuke.rules.printed
        (task,) = scene.nuke.progress
        assert task._progress == sorted(task._progress)
        assert task._texts


def test_a_range_goes_as_bytes_to_a_server_that_does_not_see_the_disk(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    own = start_server({"KWAFLUX_ROOTS": str(tmp_path / "elsewhere")})
    with nuke_scene(tmp_path, server=own, frames=range(1001, 1004)) as scene:
        scene.set(kw_effect="identity")
        assert scene.press("enhance_range") == "3 of 3 frames are ready"
        for frame in range(1001, 1004):
            assert _is_result(scene, frame)
            assert _same_pixels(scene.look(frame), scene.plate(frame))
        assert not _leftovers(tmp_path)


def test_an_effect_changes_color_alone_and_mix_and_mask_lead_back_to_the_plate(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server, frames=range(1001, 1003)) as scene:
        scene.set(kw_effect="soften")
        assert scene.press("enhance_frame") == "1 of 1 frames are ready"
        shown, plate = scene.look(1001).part.channels, scene.plate(1001).part.channels
        assert not same_bits(shown["R"], plate["R"])
        assert all(same_bits(shown[n], plate[n]) for n in plate if n not in ("R", "G", "B"))
        assert not _is_result(scene, 1002)
        scene.node["mix"].setValue(0.0)
        assert np.allclose(scene.look(1001).part.channels["R"], plate["R"])
        scene.node["mix"].setValue(1.0)
        scene.node.setInput(1, scene.read)
        masked = scene.look(1001).part.channels["G"]
        wanted = plate["G"] + (shown["G"] - plate["G"]) * plate["A"]
        assert np.allclose(masked, wanted, atol=1e-4)
        scene.node.setInput(1, None)
        assert same_bits(scene.look(1001).part.channels["R"], shown["R"])


def test_results_of_another_size_are_shown_around_mask_and_mix(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server, frames=range(1001, 1002)) as scene:
        scene.set(kw_effect="twice")
        assert scene.press("enhance_range") == "1 of 1 frames are ready"
        window, before = scene.look(1001).part.data_window, scene.plate(1001).part.data_window
        assert (window.width, window.height) == (2 * before.width, 2 * before.height)


def test_what_is_out_of_date_shows_the_plate_and_only_that_is_done_again(
    server: RunningServer, tmp_path: Path
) -> None:
    frames = range(1001, 1005)
    with nuke_scene(tmp_path, server=server, frames=frames) as scene:
        scene.set(kw_effect="soften", kw_range="custom", kw_frames="1001-1003")
        assert scene.press("enhance_range") == "3 of 3 frames are ready"
        assert _shown(scene, frames) == [1001, 1002, 1003]
        scene.set(kw_soften_strength=0.5)
        assert _shown(scene, frames) == []
        assert "out of date" in scene.status
        scene.set(kw_soften_strength=1.0)
        assert _shown(scene, frames) == [1001, 1002, 1003]

        import nuke

        grade = nuke.nodes.Multiply(name="Grade", inputs=[scene.read])
        scene.node.setInput(0, grade)
        grade["value"].setValue(0.5)
        _idle(scene)
        assert _shown(scene, frames) == []
        grade["value"].setValue(1.0)
        scene.node.setInput(0, scene.read)
        _idle(scene)
        assert _shown(scene, frames) == [1001, 1002, 1003]

        scene.nuke.written.clear()
        scene.set(kw_frames="1002-1004")
        assert scene.press("enhance_range") == "3 of 3 frames are ready"
        assert [Path(path).name for path in scene.nuke.written] == ["plate.00001004.exr"]
        scene.set(kw_redo=True)
        assert scene.press("enhance_range") == "3 of 3 frames are ready"
        assert len(scene.nuke.written) == 4


def _idle(scene: Scene) -> None:
    """Let Nuke update its windows, when the adapter is ready to look again."""
    from kwaflux_nuke import callbacks

    callbacks._looked_s.clear()
    scene.nuke.idle()


def test_missing_frames_fail_by_themselves_and_the_others_are_done(
    server: RunningServer, tmp_path: Path
) -> None:
    frames = range(1001, 1005)
    with nuke_scene(tmp_path, server=server, frames=frames) as scene:
        scene.set(kw_effect="identity")
        (tmp_path / "plate.1003.exr").unlink()
        status = scene.press("enhance_range")
        assert status.startswith("3 of 4 frames are ready, 1 failed (1003: Plate: ")
        assert "plate.1003.exr" in status
        assert [n for n in (1001, 1002, 1004) if not _is_result(scene, n)] == []


def test_frames_that_the_server_refuses_or_breaks_on_are_told_with_the_reason(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server, frames=range(1001, 1003)) as scene:
        scene.set(kw_effect="poison")
        status = scene.press("enhance_range")
        assert status.startswith("0 of 2 frames are ready, 2 failed (1001: ")
        assert "NaN" in status
        assert _shown(scene, range(1001, 1003)) == []
        scene.set(kw_effect="gauge", kw_gauge_limit=0.0)
        assert "2 need attention" in scene.press("enhance_range")


def test_fifty_frames_are_cancelled_in_the_middle_and_the_rest_is_done_later(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enhance, "_BATCH_FRAMES", 20)
    frames = range(1001, 1051)
    with nuke_scene(tmp_path, server=server, frames=frames) as scene:
        scene.set(kw_effect="Flow", kw_Flow_text='slow(seconds=0.03, log="", name="x")')
        scene.press("enhance_range", waits=False)
        (task,) = scene.nuke.progress
        scene.nuke.rules.pump(until=lambda: len(_results(tmp_path)) >= 5, timeout_s=60)
        task._is_cancelled = True
        status = scene.wait()
        done = _shown(scene, frames)
        assert status == f"{len(done)} of 50 frames are ready, cancelled"
        assert 5 <= len(done) < 50
        wait_until(lambda: server.status().running == 0, what="the server let go", timeout_s=5)
        assert not _leftovers(tmp_path)
        scene.nuke.written.clear()
        assert scene.press("enhance_range") == "50 of 50 frames are ready"
        assert len(scene.nuke.written) == 50 - len(done)
        assert _shown(scene, frames) == list(frames)


@pytest.mark.parametrize("is_new", [True, False], ids=["CancelledError", "RuntimeError"])
def test_cancel_in_nukes_own_render_ends_it_all(
    server: RunningServer, tmp_path: Path, is_new: bool
) -> None:
    with nuke_scene(tmp_path, server=server) as scene:
        import nuke

        scene.set(kw_effect="identity")
        scene.nuke.cancel_at = {1003}
        scene.nuke.cancels_with = nuke.CancelledError if is_new else RuntimeError
        assert scene.press("enhance_range") == "0 of 5 frames are ready, cancelled"
        assert not _leftovers(tmp_path)


def test_a_server_that_is_killed_in_the_middle_is_told_and_what_is_done_stays(
    start_server: StartServer, tmp_path: Path
) -> None:
    own, frames = start_server(), range(1001, 1013)
    with nuke_scene(tmp_path, server=own, frames=frames) as scene:
        scene.set(kw_effect="Flow", kw_Flow_text=_SLOW)
        scene.press("enhance_range", waits=False)
        scene.nuke.rules.pump(until=lambda: len(_results(tmp_path)) >= 3, timeout_s=60)
        own.process.kill()
        status = scene.wait()
        assert "frames are ready" in status
        assert "server" in status
        done = _shown(scene, frames)
        assert 2 <= len(done) < 12
        assert not list(tmp_path.rglob(".kwaflux-exchange-*"))
        again = start_server(at=own.place)
        assert again.process.poll() is None
        scene.nuke.written.clear()
        assert scene.press("enhance_range") == "12 of 12 frames are ready"
        assert len(scene.nuke.written) <= 12 - len(done)


def test_a_node_at_work_is_not_begun_again_and_one_that_is_deleted_ends_quietly(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server, frames=range(1001, 1013)) as scene:
        import nuke

        scene.set(kw_effect="Flow", kw_Flow_text=_SLOW)
        scene.press("enhance_range", waits=False)
        scene.press("enhance_range", waits=False)
        assert "Cancel" in scene.nuke.messages[-1]
        scene.nuke.rules.pump(until=lambda: bool(_results(tmp_path)), timeout_s=60)
        nuke.delete(scene.node)
        scene.wait()
        wait_until(lambda: server.status().running == 0, what="the server let go", timeout_s=5)
        assert not _leftovers(tmp_path)
        assert not scene.nuke.rules.printed


def test_each_view_has_its_results_and_one_that_is_left_out_shows_its_plate(
    server: RunningServer, tmp_path: Path
) -> None:
    views, frames = ("left", "right"), range(1001, 1003)
    with nuke_scene(tmp_path, server=server, views=views, frames=frames) as scene:
        scene.set(kw_effect="identity", kw_views="left")
        assert scene.press("enhance_range") == "2 of 2 frames are ready"
        assert _shown(scene, frames, view="left") == list(frames)
        assert _shown(scene, frames, view="right") == []
        scene.set(kw_views="")
        assert scene.press("enhance_range") == "4 of 4 frames are ready"
        for view in views:
            assert _shown(scene, frames, view=view) == list(frames)
            assert _same_pixels(scene.look(1001, view=view), scene.plate(1001, view=view))
        scene.set(kw_views="middle")
        assert "no view 'middle'" in scene.press("enhance_range")
        scene.set(kw_views="", kw_output=f"{tmp_path}/one.%04d.exr")
        assert "%V" in scene.press("enhance_range")


def test_a_still_stands_for_every_frame_and_a_retimed_plate_is_taken_as_it_arrives(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server, frames=range(1001, 1005)) as scene:
        import nuke

        scene.set(kw_effect="identity")
        offset = nuke.nodes.TimeOffset(name="Later", inputs=[scene.read])
        offset["time_offset"].setValue(10)
        scene.node.setInput(0, offset)
        assert scene.press("enhance_range") == "4 of 4 frames are ready"
        for frame in range(1011, 1015):
            assert _is_result(scene, frame)
            assert _same_pixels(scene.look(frame), scene.nuke.look(scene.read, frame=frame - 10))
        scene.set(kw_range="still")
        scene.press("version_up")
        scene.nuke.frame_now = 1012
        assert scene.press("enhance_range") == "1 of 1 frames are ready"
        assert _same_pixels(scene.look(1500), scene.nuke.look(scene.read, frame=1002))
        assert _is_result(scene, 1500)


def test_flows_that_read_neighbors_get_them_from_beyond_the_frames_asked_for(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server, frames=range(1001, 1006)) as scene:
        scene.set(kw_effect="around")
        scene.nuke.frame_now = 1003
        assert scene.press("enhance_frame") == "1 of 1 frames are ready"
        with server.client() as client:
            client.submit(
                tmp_path / "plate.####.exr",
                tmp_path / "alone.####.exr",
                flow="around",
                frames="1003",
                options=RenderOptions(colorspace="Linear Rec.709 (sRGB)"),
            ).result(timeout_s=60)
        assert _same_pixels(scene.look(1003), read_exr(tmp_path / "alone.1003.exr"))
        assert not same_bits(
            scene.look(1003).part.channels["G"], scene.plate(1003).part.channels["G"]
        )


def test_the_check_of_the_transport_finds_it_lossless_and_writes_a_bundle(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server, frames=range(1, 2)) as scene:
        scene.press("check")
        (told,) = scene.nuke.messages
        assert "Every step returned its input unchanged." in told
        assert told.splitlines()[-1].endswith(".zip")
        assert os.path.getsize(told.splitlines()[-1]) > 1000


def test_without_windows_the_same_happens_in_the_calling_thread(
    server: RunningServer, tmp_path: Path
) -> None:
    with nuke_scene(tmp_path, server=server, gui=False) as scene:
        scene.set(kw_effect="identity")
        assert scene.press("enhance_range", waits=False) == "5 of 5 frames are ready"
        assert _shown(scene, range(1001, 1006)) == list(range(1001, 1006))
        assert not scene.nuke.progress
