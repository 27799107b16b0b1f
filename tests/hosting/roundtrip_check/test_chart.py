"""The chart finds every kind of damage by name, and a check says which step did it."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.client.client import Client
from kwaflux_core.errors import HostError, ImageError, ImageUnreadable
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.header import read_layout
from kwaflux_core.images.exr.read import read_exr, write_exr
from kwaflux_core.images.exr.small_exr import read_plain
from kwaflux_hosting.batch.file_patterns import frame_path
from kwaflux_hosting.roundtrip_check.chart import ASPECTS, chart_bytes, compared, frame_in
from kwaflux_hosting.roundtrip_check.compare import FRAMES, CheckReport, run_check
from kwaflux_hosting.roundtrip_check.support_bundle import write_bundle
from kwaflux_testing.pictures import subsampled_exr
from kwaflux_testing.servers import RunningServer

Plane: TypeAlias = npt.NDArray[np.float32]
_COLOR = ("R", "G", "B")


def _changed(change: Callable[[str, Plane], Plane], tmp_path: Path) -> dict[str, str]:
    """Return what the comparison says of a chart whose planes were changed."""
    image = _chart(tmp_path)
    channels = {name: change(name, plane) for name, plane in image.part.channels.items()}
    path = tmp_path / "changed.exr"
    write_exr(path, replace(image, parts=(replace(image.part, channels=channels),)))
    return _told(path.read_bytes())


def _chart(tmp_path: Path):  # type: ignore[no-untyped-def]
    path = tmp_path / "chart.exr"
    path.write_bytes(chart_bytes(1001))
    return read_exr(path)


def _told(after: bytes, *, frame: int = 1001) -> dict[str, str]:
    found = compared(chart_bytes(1001), after, frame=frame)
    assert tuple(finding.aspect for finding in found) == ASPECTS
    return {finding.aspect: finding.detail for finding in found if not finding.is_kept}


def _of_color(change: Callable[[Plane], npt.ArrayLike]) -> Callable[[str, Plane], Plane]:
    def changed(name: str, plane: Plane) -> Plane:
        return np.asarray(change(plane)).astype(np.float32) if name in _COLOR else plane

    return changed


def test_a_real_reader_sees_the_chart_as_it_is_meant(tmp_path: Path) -> None:
    part = _chart(tmp_path).part
    assert part.data_window == Box(-7, -5, 150, 83)
    assert part.display_window == Box(0, 0, 160, 90)
    red = part.channels["R"]
    assert red.dtype == np.float32
    finite = red[np.isfinite(red)]
    assert (float(finite.min()), 5000.0 in finite) == (-0.5, True)
    assert {-0.5, np.float32(0.18)} <= set(finite.tolist())
    time_code = part.attributes["timeCode"]
    assert (time_code.seconds, time_code.frame) == divmod(1001, 24)


@pytest.mark.parametrize("compression", ["none", "zip", "zips"])
def test_a_chart_that_was_only_compressed_is_unchanged(tmp_path: Path, compression: str) -> None:
    write_exr(tmp_path / "same.exr", _chart(tmp_path), compression=compression)
    assert not _told((tmp_path / "same.exr").read_bytes())


@pytest.mark.parametrize("frame", [0, 1, 1001, 8191, 16383])
def test_the_chart_spells_its_frame_number(frame: int) -> None:
    assert frame_in(read_plain(chart_bytes(frame))) == frame


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(
    ("change", "aspect", "says"),
    [
        (_of_color(lambda p: np.maximum(p, 0)), "range", "negatives were clamped to 0"),
        (_of_color(lambda p: np.clip(p, 0, 1)), "range", "clamped to 0..1"),
        (_of_color(lambda p: np.minimum(p, 64)), "range", "clamped to at most 64"),
        (_of_color(lambda p: p.astype(np.float16)), "range", "16-bit half"),
        (_of_color(lambda p: p * 2), "range", "multiplied by 2"),
        (_of_color(lambda p: np.sign(p) * np.abs(p) ** 0.45), "range", "0.18 became 0.4622"),
        (_of_color(np.nan_to_num), "special", "nan became 0"),
    ],
)
def test_damage_to_values_is_called_by_its_name(
    tmp_path: Path, change: Callable[[str, Plane], Plane], aspect: str, says: str
) -> None:
    assert says in _changed(change, tmp_path)[aspect]


def test_a_change_of_primaries_leaves_grays_alone_and_is_told(tmp_path: Path) -> None:
    planes = _chart(tmp_path).part.channels
    matrix = np.array([[0.8, 0.15, 0.05], [0.1, 0.85, 0.05], [0.02, 0.08, 0.9]], np.float32)

    def change(name: str, plane: Plane) -> Plane:
        if name not in _COLOR:
            return plane
        weights = matrix[_COLOR.index(name)]
        mixed = sum(w * planes[c] for w, c in zip(weights, _COLOR, strict=True))
        is_gray = (planes["R"] == planes["G"]) & (planes["G"] == planes["B"])
        return np.where(is_gray, plane, mixed).astype(np.float32)

    found = _changed(change, tmp_path)
    assert "primaries" in found["gamut"]
    assert "range" not in found


def test_alpha_that_is_dropped_filled_or_multiplied_is_told_apart(tmp_path: Path) -> None:
    alpha = _chart(tmp_path).part.channels["A"]
    with np.errstate(all="ignore"):
        divided = _of_color(lambda p: np.where(alpha == 0, p, p / alpha))
        assert "divided by alpha" in _changed(divided, tmp_path)["alpha"]
    multiplied = _of_color(lambda p: p * alpha)
    assert "multiplied with alpha" in _changed(multiplied, tmp_path)["alpha"]
    filled = _changed(lambda name, p: np.ones_like(p) if name == "A" else p, tmp_path)
    assert filled["alpha"] == "alpha became 1 everywhere"
    image = _chart(tmp_path)
    channels = {name: image.part.channels[name] for name in _COLOR}
    write_exr(tmp_path / "rgb.exr", replace(image, parts=(replace(image.part, channels=channels),)))
    found = _told((tmp_path / "rgb.exr").read_bytes())
    assert found["alpha"] == "the alpha channel is missing"
    assert found["channels"] == "A, depth.Z missing"


@pytest.mark.parametrize(
    ("shift", "says"), [((0, 1), "by 1, 0 px"), ((-2, 0), "by 0, -2 px"), ((5, -7), "by -7, 5 px")]
)
def test_a_picture_that_was_moved_is_told_by_how_much(
    tmp_path: Path, shift: tuple[int, int], says: str
) -> None:
    found = _changed(lambda _, plane: np.roll(plane, shift, (0, 1)), tmp_path)
    assert says in found["place"]


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_picture_upside_down_a_crop_and_half_channels_are_told(tmp_path: Path) -> None:
    image = _chart(tmp_path)
    inside = Box(0, 0, 150, 83)
    flipped = {
        name: np.ascontiguousarray(np.pad(plane[5:, 7:], ((0, 7), (0, 10)))[::-1])
        for name, plane in image.part.channels.items()
    }
    full = replace(image.part, channels=flipped, data_window=Box(0, 0, 160, 90))
    write_exr(tmp_path / "flipped.exr", replace(image, parts=(full,)))
    assert "upside down" in _told((tmp_path / "flipped.exr").read_bytes())["place"]
    cut = {name: np.ascontiguousarray(p[5:, 7:]) for name, p in image.part.channels.items()}
    cropped = replace(image.part, channels=cut, data_window=inside)
    write_exr(tmp_path / "cropped.exr", replace(image, parts=(cropped,)))
    found = _told((tmp_path / "cropped.exr").read_bytes())
    assert found == {"windows": "the data window (-7, -5, 150, 83) became (0, 0, 150, 83)"}
    halves = {name: plane.astype(np.float16) for name, plane in cut.items()}
    write_exr(tmp_path / "half.exr", replace(image, parts=(replace(cropped, channels=halves),)))
    found = _told((tmp_path / "half.exr").read_bytes())
    assert found["channels"] == "A, B, G, R, depth.Z written in 16 bits"


def test_frames_that_changed_places_are_told(tmp_path: Path) -> None:
    assert _told(chart_bytes(1000))["frame"] == "the file of frame 1001 holds frame 1000"


def test_a_header_under_a_hosts_prefix_is_kept_and_a_lost_one_is_told(tmp_path: Path) -> None:
    image = _chart(tmp_path)
    attributes = dict(image.part.attributes)
    attributes["exr/comments"] = attributes.pop("comments")
    write_exr(
        tmp_path / "p.exr", replace(image, parts=(replace(image.part, attributes=attributes),))
    )
    assert not _told((tmp_path / "p.exr").read_bytes())
    del attributes["exr/comments"], attributes["timeCode"]
    write_exr(
        tmp_path / "l.exr", replace(image, parts=(replace(image.part, attributes=attributes),))
    )
    assert _told((tmp_path / "l.exr").read_bytes())["header"] == (
        "comments, timeCode lost from the header"
    )


@given(st.data())
def test_any_damage_to_the_bytes_is_an_image_error_or_a_picture(data: st.DataObject) -> None:
    good = bytearray(chart_bytes(1001)[: data.draw(st.integers(0, 1500))])
    for _ in range(data.draw(st.integers(0, 6))):
        if good:
            good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        picture = read_plain(bytes(good))
        assert all(len(p) == picture.data_window.area_px for p in picture.planes.values())


def test_what_the_small_reader_does_not_read_is_refused_by_name(tmp_path: Path) -> None:
    write_exr(tmp_path / "piz.exr", _chart(tmp_path), compression="piz")
    data = (tmp_path / "piz.exr").read_bytes()
    with pytest.raises(ImageError, match="compressed with PIZ"):
        read_plain(data)
    tiled = bytearray(chart_bytes(1))
    struct.pack_into("<i", tiled, 4, 0x202)
    with pytest.raises(ImageError, match="tiled, deep"):
        read_plain(bytes(tiled))
    with pytest.raises(ImageError, match="subsampled"):
        read_plain(subsampled_exr())


def test_a_chart_without_all_of_its_lines_is_damaged() -> None:
    data = bytearray(chart_bytes(1))
    table = read_layout(io.BytesIO(data), label="chart").headers_end_bytes
    data[table : table + 8] = data[table + 8 : table + 16]
    with pytest.raises(ImageUnreadable):
        read_plain(bytes(data))


# --- checks -----------------------------------------------------------------------------------


def _opens(server: RunningServer) -> Callable[[Callable[[str], None], threading.Event], Client]:
    return lambda say, cancel: server.client(name="check")


def _copied(source: str, target: str, frames: tuple[int, ...]) -> None:
    for frame in frames:
        Path(frame_path(target, frame)).write_bytes(Path(frame_path(source, frame)).read_bytes())


def _halved(source: str, target: str, frames: tuple[int, ...]) -> None:
    """Write as a Write node does whose datatype was left at its default."""
    for frame in frames:
        image = read_exr(frame_path(source, frame))
        with np.errstate(over="ignore"):
            halves = {n: p.astype(np.float16) for n, p in image.part.channels.items()}
        part = replace(image.part, channels=halves)
        write_exr(frame_path(target, frame), replace(image, parts=(part,)), compression="zips")


def test_a_transport_that_loses_nothing_is_good(server: RunningServer, tmp_path: Path) -> None:
    said: list[str] = []
    report = run_check(
        "nuke",
        folder=f"{tmp_path}/check",
        out=_copied,
        back=_copied,
        open_client=_opens(server),
        say=said.append,
    )
    assert report.is_good, report.text()
    assert [step.name for step in report.steps] == ["nuke: out", "server", "nuke: back"]
    assert report.transport == "path"
    assert said == ["Check: nuke: out", "Check: server", "Check: nuke: back"]


def test_the_step_that_changed_something_is_named_and_the_others_are_not(
    server: RunningServer, tmp_path: Path
) -> None:
    report = run_check(
        "nuke", folder=str(tmp_path), out=_copied, back=_halved, open_client=_opens(server)
    )
    assert not report.is_good
    assert [step.is_good for step in report.steps] == [True, True, False]
    assert "range: rounded to 16-bit half floats" in report.text()
    assert "The first step that changed something: nuke: back" in report.text()


def test_what_a_host_is_known_to_change_is_told_and_counts_as_no_problem(
    server: RunningServer, tmp_path: Path
) -> None:
    report = run_check(
        "resolve",
        folder=str(tmp_path),
        out=_halved,
        open_client=_opens(server),
        accepted=("range", "gamut", "alpha", "special", "channels"),
    )
    assert report.steps[0].is_good, report.text()
    assert "known: see docs/hosts" in report.text()


def test_a_step_that_breaks_ends_the_check_and_says_why(
    server: RunningServer, tmp_path: Path
) -> None:
    def broken(source: str, target: str, frames: tuple[int, ...]) -> None:
        raise HostError("the Write has no knob datatype", hint="is this Nuke 15?")

    report = run_check("nuke", folder=str(tmp_path), out=broken, open_client=_opens(server))
    assert [step.problem for step in report.steps] == [
        "the Write has no knob datatype. is this Nuke 15?"
    ]
    assert not report.is_good
    silent = run_check(
        "nuke", folder=str(tmp_path), out=lambda *_: None, open_client=_opens(server)
    )
    assert "missing" in silent.steps[0].problem


def test_no_server_is_a_step_that_broke(tmp_path: Path) -> None:
    def nobody(say: Callable[[str], None], cancel: threading.Event) -> Client:
        raise HostError("nobody is there", hint="kwaflux start")

    report = run_check("nuke", folder=str(tmp_path), open_client=nobody)
    assert report.steps[-1].problem == "nobody is there. kwaflux start"


def test_the_bundle_holds_what_helps_and_no_key_or_home(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    report = run_check("nuke", folder=f"{tmp_path}/check", open_client=_opens(server))
    environ = {**server.place.environ, "SECRET_TOKEN": "hush", "OCIO": f"{tmp_path}/config.ocio"}
    with server.client() as client:
        path = write_bundle(
            report, about={"host_version": "15.1v2"}, client=client, environ=environ
        )
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        texts = {name: archive.read(name).decode() for name in names if name[:4] != "pict"}
    assert {"report.txt", "report.json", "about.json", "server.json"} <= names
    assert f"pictures/chart.{FRAMES[0]}.exr" in names
    assert f"pictures/server.{FRAMES[0]}.exr" in names
    about = json.loads(texts["about.json"])
    assert about["host_version"] == "15.1v2"
    assert about["environment"]["OCIO"] == "~/config.ocio"
    assert json.loads(texts["server.json"])["workers"]
    assert json.loads(texts["report.json"])["is_good"] is True
    assert not any("hush" in text or str(tmp_path) in text for text in texts.values())


def test_a_bundle_without_a_server_is_written_all_the_same(tmp_path: Path) -> None:
    report = CheckReport("resolve", str(tmp_path))
    path = write_bundle(report, environ={"KWAFLUX_RUNTIME_DIR": "relative"})
    with zipfile.ZipFile(path) as archive:
        assert "about.json" in archive.namelist()
        assert "problem" in json.loads(archive.read("about.json"))["settings"]
