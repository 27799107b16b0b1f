"""A work through a real server: by path, by bytes, again, with bad frames, cancelled, orphaned."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from kwaflux_core.client.client import Client
from kwaflux_core.errors import HostError
from kwaflux_core.geometry import Box
from kwaflux_core.images.atomic_write import write_failed
from kwaflux_core.images.exr.read import read_exr, write_exr
from kwaflux_core.images.image import Image
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_hosting.batch.range_render import OpenClient, Progress, RangeRender, RenderRequest
from kwaflux_hosting.batch.results_index import ResultsIndex
from kwaflux_testing.disks import small_disk
from kwaflux_testing.pictures import hard_floats, noise, plate, same_bits
from kwaflux_testing.servers import RunningServer, StartServer, new_place, serving, wait_until

_END_S: Final = 60.0
_SOFTEN: Final = RenderRequest(flow="soften", options=RenderOptions(colorspace="scene_linear"))


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Return the pattern of three small frames."""
    return _plates(tmp_path / "plate", range(1001, 1004))


@pytest.fixture
def target(tmp_path: Path) -> str:
    return f"{tmp_path}/out/clean.%04d.exr"


@pytest.fixture(scope="module")
def blind(
    effects_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Return a server that may not see our files, as one on another machine."""
    roots = tmp_path_factory.mktemp("roots")
    settings = {"KWAFLUX_ROOTS": str(roots), "KWAFLUX_RING_DIR": "none"}
    with new_place(effects_folder) as place, serving(place, settings) as running:
        yield running


def _plates(folder: Path, numbers: Iterable[int], *, height: int = 8) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        write_exr(folder / f"plate.{number:04d}.exr", plate(height, 12, seed=number))
    return f"{folder}/plate.%04d.exr"


def _opens(server: RunningServer) -> OpenClient:
    def open_client(say: Callable[[str], None], cancel: threading.Event) -> Client:
        return server.client(name="work")

    return open_client


def _work(
    server: RunningServer,
    source: str,
    target: str,
    *,
    order: RenderRequest = _SOFTEN,
    frames: Iterable[int] = range(1001, 1004),
) -> RangeRender:
    return RangeRender(
        order, source=source, target=target, frames=frames, open_client=_opens(server)
    )


def _ended(work: RangeRender) -> Progress:
    work.start()
    progress = work.wait(_END_S)
    assert progress.is_over, progress.message
    return progress


def _red(pattern: str, frame: int) -> object:
    return read_exr(pattern % frame).part.channels["R"]


def test_frames_travel_by_path_where_both_see_the_disk(
    server: RunningServer, source: str, target: str, tmp_path: Path
) -> None:
    progress = _ended(_work(server, source, target))
    assert progress.is_good, progress
    assert (progress.transport, progress.done, progress.total) == ("path", 3, 3)
    assert progress.summary() == "3 good"
    before, after = (read_exr(pattern % 1002).part.channels for pattern in (source, target))
    assert not same_bits(before["R"], after["R"])
    assert same_bits(before["A"], after["A"])
    assert same_bits(before["depth.Z"], after["depth.Z"])
    names = {path.name for path in (tmp_path / "plate").iterdir()}
    assert names == {f"plate.{n}.exr" for n in range(1001, 1004)}, "a question left its file"


def test_frames_travel_as_bytes_where_the_server_does_not_see_the_disk(
    server: RunningServer, blind: RunningServer, source: str, target: str, tmp_path: Path
) -> None:
    # A flow that reads neighbors: they travel too, and the clip's ends are mirrored alike.
    order = RenderRequest(flow="around | soften", options=RenderOptions(colorspace="scene_linear"))
    far = f"{tmp_path}/far/clean.%04d.exr"
    assert _ended(_work(server, source, target, order=order)).transport == "path"
    progress = _ended(_work(blind, source, far, order=order))
    assert progress.transport == "bytes"
    assert progress.is_good, progress
    for frame in range(1001, 1004):
        near_image, far_image = read_exr(target % frame), read_exr(far % frame)
        for name, plane in near_image.part.channels.items():
            assert same_bits(plane, far_image.part.channels[name]), (frame, name)
    assert not [path for path in (tmp_path / "far").iterdir() if "tmp" in path.name]


@pytest.mark.parametrize("transport", ["path", "bytes"])
def test_a_rerun_does_only_what_is_missing_or_stale(
    server: RunningServer,
    blind: RunningServer,
    source: str,
    target: str,
    transport: str,
) -> None:
    at = server if transport == "path" else blind
    _ended(_work(at, source, target))
    assert _ended(_work(at, source, target)).kept == 3
    Path(target % 1001).unlink()
    write_exr(source % 1003, plate(8, 12, seed=77))
    progress = _ended(_work(at, source, target))
    assert (progress.kept, progress.is_good) == (1, True)
    progress = _ended(_work(at, source, target, order=RenderRequest(flow="soften(strength=0.5)")))
    assert progress.kept == 0


def test_a_host_that_crashed_before_it_noted_anything_has_no_frame_done_again(
    server: RunningServer, source: str, target: str
) -> None:
    _ended(_work(server, source, target))
    written = {frame: Path(target % frame).stat().st_mtime_ns for frame in range(1001, 1004)}
    Path(ResultsIndex.path_for(target)).unlink()
    progress = _ended(_work(server, source, target))
    assert progress.is_good
    assert progress.kept == 0, "the server was asked, and verified each file"
    assert {f: Path(target % f).stat().st_mtime_ns for f in written} == written
    assert _ended(_work(server, source, target)).kept == 3


def test_a_host_that_gives_keys_has_no_source_read_again(
    server: RunningServer, source: str, target: str
) -> None:
    def with_keys(keys: dict[int, str]) -> Progress:
        work = RangeRender(
            _SOFTEN,
            source=source,
            target=target,
            frames=range(1001, 1004),
            source_keys=keys,
            open_client=_opens(server),
        )
        return _ended(work)

    keys = {frame: f"hash {frame}" for frame in range(1001, 1004)}
    assert with_keys(keys).is_good
    for frame in range(1001, 1004):
        Path(source % frame).unlink()  # the hop's files are gone by the next run
    assert with_keys(keys).kept == 3
    changed = with_keys({**keys, 1002: "another hash"})
    assert (changed.kept, changed.state) == (2, "failed")
    assert "no frame of 'plate.####.exr'" in changed.message


@pytest.mark.parametrize("transport", ["path", "bytes"])
def test_one_bad_frame_does_not_end_the_others(
    server: RunningServer, blind: RunningServer, source: str, target: str, transport: str
) -> None:
    Path(source % 1001).write_bytes(b"no picture")
    progress = _ended(
        _work(
            server if transport == "path" else blind,
            source,
            target,
            frames=(1001, 1002, 1003, 1009),
        )
    )
    assert progress.state == "done"
    assert not progress.is_good
    assert progress.in_state("good") == (1002, 1003)
    assert progress.in_state("failed") == (1001, 1009)
    assert "1009" in progress.frames[1009].reason
    assert progress.frames[1001].reason
    assert not Path(target % 1001).exists()
    assert ResultsIndex.load(target).entries[1001].state == "failed"


@pytest.mark.parametrize("transport", ["path", "bytes"])
def test_a_frame_that_an_effect_refused_needs_attention_and_says_why(
    server: RunningServer, blind: RunningServer, source: str, target: str, transport: str
) -> None:
    order = RenderRequest(
        flow="gauge(limit=0.001)", options=RenderOptions(colorspace="scene_linear")
    )
    progress = _ended(_work(server if transport == "path" else blind, source, target, order=order))
    assert progress.in_state("attention") == (1001, 1002, 1003)
    assert "too bright" in progress.frames[1001].reason
    status = ResultsIndex.load(target).status(1001, target % 1001, order=order)
    assert status == "attention"
    again = _ended(_work(server if transport == "path" else blind, source, target, order=order))
    assert again.kept == 3, "it would be refused again"
    assert again.frames == progress.frames


@pytest.mark.parametrize("transport", ["path", "bytes"])
def test_a_cancel_reaches_the_server_within_a_second(
    server: RunningServer, blind: RunningServer, tmp_path: Path, target: str, transport: str
) -> None:
    at = server if transport == "path" else blind
    source = _plates(tmp_path / "long", range(1, 51), height=96)
    order = RenderRequest(
        flow='slow(seconds=0.05, log="", name="")', options=RenderOptions(colorspace="scene_linear")
    )
    work = _work(at, source, target, order=order, frames=range(1, 51))
    work.start()
    wait_until(lambda: work.snapshot().done >= 2, what="two frames are done")
    began_s = time.monotonic()
    work.cancel()
    with at.client(name="look") as client:
        while client.status().running + client.status().waiting:
            assert time.monotonic() - began_s < 5.0
            time.sleep(0.02)
    assert time.monotonic() - began_s < 1.0
    progress = work.wait(_END_S)
    assert progress.state == "cancelled"
    assert 2 <= len(progress.in_state("good")) < 50
    assert not progress.in_state("running")
    done = len(progress.in_state("good"))
    kept = _work(at, source, target, order=order, frames=range(1, 51))
    kept.start()
    wait_until(lambda: kept.snapshot().done > done, what="the rest goes on")
    kept.cancel()
    assert kept.wait(_END_S).kept == done


@pytest.mark.parametrize("transport", ["path", "bytes"])
def test_a_server_that_dies_is_reported_and_what_is_done_stays_done(
    start_server: StartServer, server: RunningServer, tmp_path: Path, target: str, transport: str
) -> None:
    roots = tmp_path / "roots"
    roots.mkdir()
    running = start_server({} if transport == "path" else {"KWAFLUX_ROOTS": str(roots)})
    source = _plates(tmp_path / "long", range(1, 31), height=64)
    order = RenderRequest(
        flow='slow(seconds=0.05, log="", name="")', options=RenderOptions(colorspace="scene_linear")
    )
    work = _work(running, source, target, order=order, frames=range(1, 31))
    work.start()
    wait_until(lambda: work.snapshot().done >= 3, what="three frames are done")
    os.killpg(running.process.pid, signal.SIGKILL)
    progress = work.wait(_END_S)
    assert progress.state == "failed"
    assert "lost the connection" in progress.message
    assert "kwaflux start" in progress.hint
    good = progress.in_state("good")
    assert 3 <= len(good) < 30
    assert not progress.in_state("failed")
    rest = range(1, good[-1] + 4)
    progress = _ended(_work(server, source, target, order=order, frames=rest))
    assert progress.is_good, progress
    assert progress.kept == len(good)


def test_a_flow_that_the_server_does_not_have_is_refused_before_any_frame(
    server: RunningServer, source: str, target: str
) -> None:
    progress = _ended(_work(server, source, target, order=RenderRequest(flow="softenn")))
    assert progress.state == "failed"
    assert "softenn" in progress.message
    assert "soften" in progress.hint
    assert progress.in_state("waiting") == (1001, 1002, 1003)


def test_an_output_folder_that_cannot_be_made_is_said_in_words(
    server: RunningServer, source: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    progress = _ended(_work(server, source, f"{tmp_path}/file/out/clean.%04d.exr"))
    assert progress.state == "failed"
    assert "cannot be made" in progress.message


@pytest.mark.parametrize("transport", ["path", "bytes"])
def test_a_full_disk_is_said_frame_by_frame_and_leaves_no_half_file(
    server: RunningServer, blind: RunningServer, tmp_path: Path, transport: str
) -> None:
    source = _plates(tmp_path / "plate", range(1, 4), height=96)
    with small_disk(tmp_path / "small", size_kib=48) as disk:
        at = server if transport == "path" else blind
        progress = _ended(_work(at, source, f"{disk}/clean.%04d.exr", frames=range(1, 4)))
        assert progress.state == "done"
        assert progress.in_state("failed")
        for frame in progress.in_state("failed"):
            assert "No space left" in progress.frames[frame].reason
            assert "free disk space" in progress.frames[frame].reason
        names = {path.name for path in disk.iterdir()} - {"clean.kwaflux.json"}
        assert names == {f"clean.{frame:04d}.exr" for frame in progress.in_state("good")}


def test_a_folder_that_is_closed_to_us_fails_every_frame_in_words(
    blind: RunningServer, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The twin of the test above, which needs a file system of its own.
    def closed(target: str) -> AbstractContextManager[Path]:
        raise write_failed(target, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("kwaflux_hosting.batch.frame_transports.atomic_path", closed)
    progress = _ended(_work(blind, source, f"{tmp_path}/out/clean.%04d.exr"))
    assert progress.in_state("failed") == (1001, 1002, 1003)
    assert "free disk space" in progress.frames[1001].reason


def test_a_still_is_one_file_and_several_frames_of_one_file_are_refused(
    server: RunningServer, tmp_path: Path
) -> None:
    _plates(tmp_path, [7])
    source, target = f"{tmp_path}/plate.0007.exr", f"{tmp_path}/clean.exr"
    progress = _ended(_work(server, source, target, frames=[7]))
    assert progress.is_good, progress
    assert Path(target).is_file()
    with pytest.raises(HostError, match="one file, and 2 frames"):
        _work(server, source, target, frames=[7, 8])
    with pytest.raises(HostError, match="is the source"):
        _work(server, source, f"{tmp_path}/./plate.0007.exr", frames=[7])
    with pytest.raises(HostError, match="no frame"):
        _work(server, source, target, frames=[])


def test_a_broken_client_still_ends_the_work(source: str, target: str) -> None:
    def broken(say: Callable[[str], None], cancel: threading.Event) -> Client:
        raise RuntimeError("the library fell over")

    told: list[Progress] = []
    work = RangeRender(
        _SOFTEN,
        source=source,
        target=target,
        frames=[1001],
        open_client=broken,
        on_end=told.append,
    )
    assert _ended(work).state == "failed"
    assert "fell over" in work.snapshot().message
    assert told == [work.snapshot()]


def test_every_layer_part_and_attribute_comes_back_by_both_transports(
    server: RunningServer, blind: RunningServer, tmp_path: Path
) -> None:
    image = plate(9, 14)
    attributes = {
        **image.part.attributes,
        "nuke/node_hash": "1234abcd",
        "nuke/input/ctime": "2026-11-21",
        "chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
    }
    shared = {name: attributes[name] for name in ("timeCode", "chromaticities")}
    first = replace(
        image.part,
        channels={**image.part.channels, "mask.left": noise(9, 14, seed=9)},
        attributes=attributes,
        name="main",
    )
    # All parts of a file share the display window and the time code.
    second = replace(plate(9, 14, seed=5).part, name="second", attributes=shared)
    source = f"{tmp_path}/parts.0001.exr"
    write_exr(source, replace(image, parts=(first, second)))
    before = read_exr(source)
    for at, transport in ((server, "path"), (blind, "bytes")):
        target = f"{tmp_path}/{transport}.0001.exr"
        order = RenderRequest(flow="soften", options=RenderOptions(colorspace="scene_linear"))
        assert _ended(_work(at, source, target, order=order, frames=[1])).transport == transport
        after = read_exr(target)
        assert [part.name for part in after.parts] == ["main", "second"]
        own = {name for name in after.part.attributes if name.startswith("kwaflux/")}
        assert {"kwaflux/flow", "kwaflux/version"} <= own
        for name, value in before.part.attributes.items():
            assert str(after.part.attributes[name]) == str(value), (transport, name)
        assert set(after.part.attributes) - own == set(before.part.attributes)
        for part, was in zip(after.parts, before.parts, strict=True):
            for name, plane in was.channels.items():
                is_color = part.name == "main" and name in ("R", "G", "B")
                assert same_bits(plane, part.channels[name]) is not is_color, (transport, name)


def test_hard_floats_and_an_odd_data_window_come_back_as_they_went(
    server: RunningServer, blind: RunningServer, tmp_path: Path
) -> None:
    channels = {name: hard_floats(np.float32, shape=(9, 14)) for name in ("R", "G", "B")}
    channels["extra.id"] = noise(9, 14)
    image = Image.from_channels(channels)
    part = replace(image.part, data_window=Box(-3, -2, 11, 7), display_window=Box(0, 0, 8, 6))
    odd = replace(image, parts=(part,))
    source = f"{tmp_path}/odd.0001.exr"
    write_exr(source, odd)
    for at, transport in ((server, "path"), (blind, "bytes")):
        target = f"{tmp_path}/{transport}.0001.exr"
        order = RenderRequest(flow="identity", options=RenderOptions(colorspace="scene_linear"))
        assert _ended(_work(at, source, target, order=order, frames=[1])).transport == transport
        back = read_exr(target).part
        assert back.data_window == Box(-3, -2, 11, 7)
        for name, plane in channels.items():
            assert same_bits(plane, back.channels[name]), (transport, name)
