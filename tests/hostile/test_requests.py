"""Requests that ask for what they may not have: each gets a typed error, the worker lives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core import Image, write_image
from kwaflux_core.client.exr_request import ExrRequest
from kwaflux_core.errors import (
    FlowError,
    FrameTooLarge,
    ImageUnreadable,
    ImageUnsupported,
    KwafluxError,
    ParamError,
    UnknownColorspace,
    UnknownEffect,
)
from kwaflux_core.images.exr.read import exr_to_bytes
from kwaflux_core.protocol.messages import (
    Cancel,
    ExrPixels,
    ExrTarget,
    InlinePixels,
    InlineTarget,
    PathPixels,
    PathTarget,
    Planes,
    Render,
    Rendered,
    ShmPixels,
    ShmTarget,
    Source,
    Submit,
    Target,
)
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_core.transport.shared_memory import Ring
from kwaflux_testing.pictures import deep_exr, plate, subsampled_exr
from kwaflux_testing.raw_client import RawClient
from kwaflux_testing.servers import RunningServer, new_place, serving

SMALL = plate(32, 48)
WINDOW = (0, 0, 4, 3)
RGB = ("R", "G", "B")
PLANES = Planes(WINDOW, RGB)
PART = bytes(4 * 3 * 3 * 4)
GOOD = Render(
    "soften",
    1,
    (Source(1, InlinePixels(0, PLANES)),),
    InlineTarget(),
    options=RenderOptions(colorspace="scene_linear"),
)
TYPED = {"protocol", "request", "image_unsupported", "frame_too_large", "image", "frame_missing"}


@pytest.fixture(autouse=True)
def _the_server_serves_on(server: RunningServer) -> Iterator[None]:
    """Whatever a test did: a good client is served by the same gateway and the same worker."""
    before = server.status()
    yield
    with server.client() as client:
        client.render(SMALL, "soften", timeout_s=30)
        after = client.status()
    assert after.pid == before.pid
    assert [worker.pid for worker in after.workers] == [worker.pid for worker in before.workers]


def _with_planes(planes: Planes) -> Render:
    return replace(GOOD, sources=(Source(1, InlinePixels(0, planes)),))


_HUGE = 2**32
_BAD_PLANES: dict[str, Planes] = {
    "a window inside out": Planes((4, 3, 0, 0), RGB),
    "a window without pixels": Planes((0, 0, 0, 3), RGB),
    "a window larger than its part": Planes((0, 0, 5, 3), RGB),
    "a window smaller than its part": Planes((0, 0, 3, 3), RGB),
    "a window whose size overflows": Planes((0, 0, _HUGE, _HUGE), RGB),
    "a window at the end of all numbers": Planes((-(2**62), -(2**62), 2**62, 2**62), RGB),
    "two channels": Planes(WINDOW, ("R", "G")),
    "channels of other names": Planes(WINDOW, ("B", "G", "R")),
    "no channel": Planes(WINDOW, ()),
    "a thousand channels": Planes(WINDOW, tuple(f"c{n}" for n in range(1000))),
}


@pytest.mark.parametrize("planes", _BAD_PLANES.values(), ids=_BAD_PLANES)
@pytest.mark.parametrize("part", [PART, b""], ids=["pixels", "no pixels"])
def test_planes_that_do_not_fit_are_refused(
    server: RunningServer, planes: Planes, part: bytes
) -> None:
    with RawClient(server.endpoint) as raw:
        raw.hello()
        assert raw.refused(_with_planes(planes), parts=(part,)).code in TYPED
        assert isinstance(raw.ask(GOOD, parts=(PART,)), Rendered)


_BAD_RENDERS: dict[str, Render] = {
    "no source at all": replace(GOOD, sources=()),
    "not the frame it asks for": replace(GOOD, frame=2),
    "a part that did not come": replace(GOOD, sources=(Source(1, InlinePixels(7, PLANES)),)),
    "a part before the first": replace(GOOD, sources=(Source(1, InlinePixels(-1, PLANES)),)),
    "no colorspace": replace(GOOD, options=RenderOptions()),
    "a region beside the frame": replace(GOOD, region=(50, 50, 60, 60)),
    "a region inside out": replace(GOOD, region=(3, 3, 1, 1)),
    "raw planes to a file": replace(GOOD, target=PathTarget("/tmp/kwaflux-never.exr")),
    "raw planes to an EXR": replace(GOOD, target=ExrTarget()),
    "an EXR that is none": replace(GOOD, sources=(Source(1, ExrPixels(0)),), target=ExrTarget()),
    "a relative path": replace(GOOD, sources=(Source(1, PathPixels("plate.exr")),)),
    "a path with a NUL": replace(GOOD, sources=(Source(1, PathPixels("/tmp/a\0b.exr")),)),
    "a path that is a device": replace(GOOD, sources=(Source(1, PathPixels("/dev/zero")),)),
    "a path that is a folder": replace(GOOD, sources=(Source(1, PathPixels("/tmp")),)),
}


@pytest.mark.parametrize("request_", _BAD_RENDERS.values(), ids=_BAD_RENDERS)
def test_a_render_that_cannot_be_is_a_typed_error(server: RunningServer, request_: Render) -> None:
    with RawClient(server.endpoint) as raw:
        raw.hello()
        refused = raw.refused(request_, parts=(PART,))
        codes = TYPED | {"image_unreadable", "path_not_allowed", "unknown_colorspace"}
        assert refused.code in codes, refused
        assert refused.message


def test_an_id_that_is_in_use_is_refused_and_a_cancel_of_nothing_ignored(
    server: RunningServer,
) -> None:
    with RawClient(server.endpoint) as raw:
        raw.hello()
        raw.send(Cancel(424242))
        slow = replace(GOOD, flow="slow(seconds=0.5)")
        raw.send(slow, parts=(PART,), request_id=77)
        raw.send(slow, parts=(PART,), request_id=77)
        answers = [raw.receive(), raw.receive()]
        kinds = [answer.message.kind for answer in answers if answer is not None]
        assert kinds == ["failed", "rendered"]


# --- rings ----------------------------------------------------------------------------------


def _from_ring(ring: str, offset_bytes: int = 0, planes: Planes = PLANES) -> Render:
    return replace(GOOD, sources=(Source(1, ShmPixels(ring, offset_bytes, planes)),))


@pytest.mark.parametrize(
    "name",
    ["{other}.0", "../{own}.0", "{own}.0/../x", "{own}.7", "/etc/passwd", ".lock", "", "{own}.0\0"],
)
def test_a_ring_that_is_not_the_sessions_own_is_refused(server: RunningServer, name: str) -> None:
    with RawClient(server.endpoint) as raw, RawClient(server.endpoint) as victim:
        own, other = raw.hello(), victim.hello()
        folder = Path(own.ring_dir)
        mine = Ring.create(folder, f"{own.session}.0", 4096)
        theirs = Ring.create(folder, f"{other.session}.0", 4096)
        theirs.view(0, 4096)[:] = b"\x11" * 4096
        asked = name.format(own=own.session, other=other.session)
        assert raw.refused(_from_ring(asked)).code == "protocol"
        target: Target = ShmTarget(asked, 0, 4096)
        into = replace(GOOD, target=target)
        assert raw.refused(into, parts=(PART,)).code == "protocol"
        assert bytes(theirs.view(0, 4096)) == b"\x11" * 4096
        assert isinstance(raw.ask(replace(_from_ring(mine.name), target=InlineTarget())), Rendered)


@pytest.mark.parametrize(
    ("offset_bytes", "window"),
    [
        (4096, WINDOW),
        (4000, WINDOW),
        (-4, WINDOW),
        (2**62, WINDOW),
        (0, (0, 0, 4096, 4096)),
        (0, (0, 0, _HUGE, _HUGE)),
    ],
)
def test_a_stretch_that_leaves_the_ring_is_refused(
    server: RunningServer, offset_bytes: int, window: tuple[int, int, int, int]
) -> None:
    with RawClient(server.endpoint) as raw:
        own = raw.hello()
        ring = Ring.create(Path(own.ring_dir), f"{own.session}.0", 4096)
        bad = _from_ring(ring.name, offset_bytes, Planes(window, RGB))
        assert raw.refused(bad).code in TYPED
        out = replace(GOOD, target=ShmTarget(ring.name, offset_bytes, 1 << 20))
        if window == WINDOW:
            assert raw.refused(out, parts=(PART,)).code in TYPED
        tight = replace(GOOD, target=ShmTarget(ring.name, 0, 8))
        assert raw.refused(tight, parts=(PART,)).code == "request"


def test_an_odd_offset_is_served_all_the_same(server: RunningServer) -> None:
    with RawClient(server.endpoint) as raw:
        own = raw.hello()
        ring = Ring.create(Path(own.ring_dir), f"{own.session}.0", 8192)
        values = np.linspace(0, 1, 36, dtype=np.float32)
        ring.view(1, 144)[:] = values.tobytes()
        asked = replace(_from_ring(ring.name, 1), target=ShmTarget(ring.name, 4097, 1024))
        answer = raw.ask(asked)
        assert isinstance(answer, Rendered)
        assert isinstance(answer.pixels, ShmPixels)
        found = np.frombuffer(bytes(ring.view(4097, 144)), np.float32)
        assert np.abs(found - values).max() < 0.5
        assert not np.array_equal(found, np.zeros(36, np.float32))


def test_a_ring_that_shrinks_under_the_worker_is_no_way_to_kill_it(server: RunningServer) -> None:
    with RawClient(server.endpoint) as raw:
        own = raw.hello()
        path = Path(own.ring_dir) / f"{own.session}.0"
        path.symlink_to("/etc/passwd")
        assert raw.refused(_from_ring(path.name)).code == "protocol"
        path.unlink()
        with path.open("wb") as file:
            file.truncate(1 << 20)  # a hole, which would be a SIGBUS on a full file system
        assert raw.refused(_from_ring(path.name)).code == "protocol"
        path.unlink()
        path.write_bytes(b"short")
        assert raw.refused(_from_ring(path.name)).code == "protocol"


# --- flows, colors, sizes, files ------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "error", "says"),
    [
        ("sharpen", UnknownEffect, "sharpen"),
        ("denoize(strength=1)", UnknownEffect, "denoise"),
        ("damaged", UnknownEffect, "damaged"),
        ("denoise(strenght=1)", ParamError, "strength"),
        ("denoise(strength=1.5)", ParamError, "1.5"),
        ("denoise(strength=nan)", FlowError, "nan"),
        ("denoise(strength='high')", FlowError, "strength"),
        ("denoise | ", FlowError, ""),
        ("", FlowError, ""),
        ("|" * 5000, FlowError, ""),
        ("denoise(" * 500, FlowError, ""),
    ],
)
def test_a_flow_that_cannot_be_is_refused_by_name_and_column(
    server: RunningServer, flow: str, error: type[FlowError], says: str, tmp_path: Path
) -> None:
    source = tmp_path / "plate.exr"
    write_image(source, SMALL)
    with server.client(transport="inline") as client:
        for call in (
            lambda: client.render(SMALL, flow, timeout_s=30),
            lambda: client.render_file(source, tmp_path / "out.exr", flow, timeout_s=30),
            lambda: client.submit(source, tmp_path / "out.exr", flow=flow, timeout_s=30),
        ):
            with pytest.raises(error) as caught:
                call()
            assert says in str(caught.value)
            assert caught.value.column >= 1
    assert not (tmp_path / "out.exr").exists()


def test_an_unknown_colorspace_is_refused_wherever_it_is_named(
    server: RunningServer, tmp_path: Path
) -> None:
    source = tmp_path / "plate.exr"
    write_image(source, SMALL)
    with server.client() as client:
        with pytest.raises(UnknownColorspace, match=r"Rec\.7009"):
            client.render(replace(SMALL, colorspace="Rec.7009"), "soften", timeout_s=30)
        with pytest.raises(UnknownColorspace, match=r"Rec\.7009"):
            client.render_file(
                source,
                tmp_path / "o.exr",
                "soften",
                options=RenderOptions(colorspace="Rec.7009"),
                timeout_s=30,
            )
        with pytest.raises(UnknownColorspace, match=r"Rec\.7009"):
            client.submit(
                source,
                tmp_path / "o.exr",
                flow="soften",
                options=RenderOptions(colorspace="Rec.7009"),
                timeout_s=30,
            )
    assert not (tmp_path / "o.exr").exists()


_FRAME_BYTES_MAX = 64 * 64 * 4 * 4


@pytest.fixture(scope="module")
def strict(effects_folder: Path) -> Iterator[RunningServer]:
    """Give a server that takes small frames alone."""
    settings = {"KWAFLUX_FRAME_BYTES_MAX": str(_FRAME_BYTES_MAX)}
    with new_place(effects_folder) as place, serving(place, settings) as running:
        yield running


def test_a_frame_over_the_servers_limit_is_refused_on_every_transport(
    strict: RunningServer, tmp_path: Path
) -> None:
    large, fits = plate(64, 80), plate(64, 64)
    source = tmp_path / "plate.exr"
    write_image(source, large)
    for transport in ("shm", "inline", "exr"):
        with strict.client(transport=transport) as client:
            with pytest.raises(FrameTooLarge, match=str(_FRAME_BYTES_MAX)):
                client.render(large, "soften", timeout_s=60)
            client.render(fits, "soften", timeout_s=60)
    with strict.client() as client:
        with pytest.raises(FrameTooLarge):
            client.render_file(source, tmp_path / "o.exr", "soften", timeout_s=60)
        with pytest.raises(FrameTooLarge):
            client.render_exr(ExrRequest(data=exr_to_bytes(large), flow="soften"), timeout_s=60)
        assert client.status().workers[0].restarts == 0
    with RawClient(strict.endpoint) as raw:
        raw.hello()
        wide = _with_planes(Planes((0, 0, 80, 64), RGB))
        wide = replace(wide, sources=(*wide.sources, Source(2, InlinePixels(0, PLANES))))
        too_large = bytes(80 * 64 * 3 * 4 + 16)
        assert raw.refused(wide, parts=(too_large,)).code in TYPED


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ImageUnreadable),
        (b"\x76\x2f\x31\x01", ImageUnreadable),
        (exr_to_bytes(SMALL)[:-500], ImageUnreadable),
        (deep_exr(), ImageUnsupported),
        (subsampled_exr(), ImageUnsupported),
    ],
    ids=["empty", "four bytes", "truncated", "deep", "subsampled"],
)
def test_a_file_that_cannot_be_a_plate_is_a_typed_error(
    server: RunningServer, data: bytes, error: type[KwafluxError], tmp_path: Path
) -> None:
    source = tmp_path / "plate.exr"
    source.write_bytes(data)
    with server.client() as client:
        with pytest.raises(error) as caught:
            client.render_file(source, tmp_path / "o.exr", "soften", timeout_s=30)
        assert "plate.exr" in caught.value.message
        with pytest.raises(error):
            client.render_exr(ExrRequest(data=data, flow="soften"), timeout_s=30)
    assert os.listdir(tmp_path) == ["plate.exr"]


def test_a_job_over_paths_that_cannot_be_is_refused(server: RunningServer) -> None:
    with RawClient(server.endpoint) as raw:
        raw.hello()
        for source, target in (
            ("plate.####.exr", "/tmp/o.####.exr"),
            ("/tmp/a.####.exr", "o.####.exr"),
            ("/tmp/a\0.####.exr", "/tmp/o.####.exr"),
            ("", "/tmp/o.exr"),
            ("/tmp/kwaflux-none.####.exr", "/tmp/o.exr"),
        ):
            refused = raw.refused(Submit(source, target, "soften"))
            assert refused.code in TYPED | {"path_not_allowed"}, refused


def test_a_small_file_that_unpacks_to_a_huge_frame_is_refused_unread(
    strict: RunningServer, tmp_path: Path
) -> None:
    flat = Image.from_channels({name: np.zeros((1024, 1024), np.float32) for name in "RGB"})
    data = exr_to_bytes(flat, compression="zip")
    assert len(data) < _FRAME_BYTES_MAX
    source = tmp_path / "bomb.exr"
    source.write_bytes(data)
    with strict.client() as client:
        with pytest.raises(FrameTooLarge):
            client.render_exr(ExrRequest(data=data, flow="soften"), timeout_s=60)
        with pytest.raises(FrameTooLarge):
            client.render_file(source, tmp_path / "o.exr", "soften", timeout_s=60)
