"""Shared memory through the client: what is freed when, answers that lie, and giving up."""

from __future__ import annotations

import dataclasses
import gc
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core import Box, Client, Image
from kwaflux_core.client.client import Transport
from kwaflux_core.errors import (
    Cancelled,
    DeadlineExceeded,
    ProtocolError,
    ResourceError,
    Unavailable,
)
from kwaflux_core.images.image import Part
from kwaflux_core.protocol.codec import Envelope
from kwaflux_core.protocol.messages import (
    FrameReport,
    InlinePixels,
    Planes,
    RangeReceipt,
    Render,
    Rendered,
    ShmPixels,
    ShmTarget,
)
from kwaflux_core.transport.ring_pool import RingPool
from kwaflux_core.transport.shared_memory import Ring
from kwaflux_testing.fake_server import LIMITS, FakeServer, wait_until

_NO_ENVIRONMENT: Mapping[str, str] = {}
_WINDOW = Box(-3, -2, 9, 5)


@pytest.fixture
def ring_dir(tmp_path: Path) -> Path:
    made = tmp_path / "rings"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def server(tmp_path: Path, ring_dir: Path) -> Iterator[FakeServer]:
    with FakeServer(tmp_path, ring_dir=ring_dir) as made:
        yield made


def _connect(server: FakeServer, transport: Transport = "auto") -> Client:
    return Client.connect(server.endpoint, transport=transport, environ=_NO_ENVIRONMENT)


def _plate() -> Image:
    rng = np.random.default_rng(5)
    shape = (_WINDOW.height, _WINDOW.width)
    channels = {name: rng.normal(size=shape).astype(np.float32) for name in "RGBA"}
    return Image((Part(channels, _WINDOW, Box(0, 0, 6, 4)),))


def _of(image: Image, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return image.part.channels[name]


def _request(server: FakeServer) -> Render:
    request = server.of_kind("render")[-1]
    assert isinstance(request, Render)
    return request


# --- shared memory --------------------------------------------------------------------------


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[RingPool]:
    """Collect the pools that clients make, so that a test can see what is held."""
    made: list[RingPool] = []
    original = RingPool.__init__

    def init(pool: RingPool, directory: Path, *, session: str, limit_bytes: int) -> None:
        original(pool, directory, session=session, limit_bytes=limit_bytes)
        made.append(pool)

    monkeypatch.setattr(RingPool, "__init__", init)
    return made


def test_pixels_travel_in_shared_memory_where_there_is_some(server: FakeServer) -> None:
    with _connect(server) as client:
        client.render(_plate(), "double")
    request = _request(server)
    assert isinstance(request.sources[0].pixels, ShmPixels)
    assert request.sources[0].pixels.ring == f"{server.sessions[0]}.0"
    assert isinstance(request.target, ShmTarget)
    assert request.target.capacity_bytes == 3 * 4 * _WINDOW.area_px


def test_the_slab_for_the_result_has_room_for_the_flows_scale(server: FakeServer) -> None:
    with _connect(server) as client:
        client.render(_plate(), "upscale(scale=2) | upscale(scale=2)", region=Box(0, 0, 1, 1))
        target = _request(server).target
    assert isinstance(target, ShmTarget)
    assert target.capacity_bytes == 3 * 4 * 16


def test_slabs_are_freed_with_the_last_view_of_the_result(
    server: FakeServer, pools: list[RingPool]
) -> None:
    with _connect(server) as client:
        for flow in ("double", "identity"):
            result = client.render(_plate(), flow)
            (pool,) = pools
            assert pool.used_bytes == 4096
            red = _of(result.image, "R")[::2]
            del result
            gc.collect()
            assert pool.used_bytes == 4096
            del red
            gc.collect()
            assert pool.used_bytes == 0


def test_slabs_are_freed_at_once_when_the_caller_gives_planes(
    server: FakeServer, pools: list[RingPool]
) -> None:
    out = _plate()
    with _connect(server) as client:
        result = client.render(_plate(), "double", out=out)
        gc.collect()
        assert pools[0].used_bytes == 0
    assert _of(result.image, "R") is _of(out, "R")


def test_where_no_pixel_was_touched_the_sources_own_slab_is_the_result(
    server: FakeServer, pools: list[RingPool]
) -> None:
    plate = _plate()
    with _connect(server) as client:
        image = client.render(plate, "identity").image
    for name in "RGB":
        assert _of(image, name).tobytes() == _of(plate, name).tobytes()


def test_a_result_outlives_its_client_and_its_server(tmp_path: Path, ring_dir: Path) -> None:
    with FakeServer(tmp_path, ring_dir=ring_dir) as server, _connect(server) as client:
        image = client.render(_plate(), "double").image
    assert list(ring_dir.iterdir()) == []
    np.testing.assert_array_equal(_of(image, "R"), _of(_plate(), "R") * 2)


def test_one_ring_serves_frame_after_frame(server: FakeServer, pools: list[RingPool]) -> None:
    with _connect(server) as client:
        for number in range(20):
            client.render(_plate(), "double", frame=number)
        assert len(pools[0].rings) == 1


def test_many_threads_render_at_once_and_never_mix_their_pixels(server: FakeServer) -> None:
    wrong: list[str] = []
    with _connect(server) as client:

        def work(seed: int) -> None:
            plane = np.full((40, 50), float(seed), np.float32)
            plate = Image.from_channels(dict.fromkeys("RGB", plane))
            for _ in range(15):
                color = _of(client.render(plate, "double", frame=seed).image, "G")
                if not np.array_equal(color, plane * 2):
                    wrong.append(f"thread {seed} got {color[0, 0]}")

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert wrong == []


def test_pixels_go_inline_to_another_machine(tmp_path: Path, ring_dir: Path) -> None:
    with FakeServer(tmp_path, ring_dir=ring_dir, host="another") as server:
        with _connect(server) as client:
            client.render(_plate(), "double")
        assert isinstance(_request(server).sources[0].pixels, InlinePixels)
        with _connect(server, "shm") as client, pytest.raises(ResourceError, match="no memory"):
            client.render(_plate(), "double")


def test_without_room_for_a_ring_pixels_go_inline_and_it_is_not_tried_again(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def full(directory: Path, name: str, size_bytes: int) -> Ring:
        tried.append(size_bytes)
        raise ResourceError("no space left")

    monkeypatch.setattr(Ring, "create", full)
    plate = _plate()
    with _connect(server) as client:
        for _ in range(3):
            image = client.render(plate, "double").image
            np.testing.assert_array_equal(_of(image, "R"), _of(plate, "R") * 2)
            assert isinstance(_request(server).sources[0].pixels, InlinePixels)
    assert len(tried) == 2  # with room for the next result, and without


def test_a_frame_beyond_the_rings_limit_goes_inline_and_the_next_one_does_not(
    tmp_path: Path, ring_dir: Path
) -> None:
    limits = dataclasses.replace(LIMITS, ring_bytes=64 << 10)
    large = Image.from_channels({n: np.zeros((128, 128), np.float32) for n in "RGB"})
    transports = []
    with (
        FakeServer(tmp_path, ring_dir=ring_dir, limits=limits) as server,
        _connect(server) as client,
    ):
        for plate in (large, _plate(), large):
            client.render(plate, "double")
            transports.append(type(_request(server).sources[0].pixels))
    assert transports == [InlinePixels, ShmPixels, InlinePixels]


# --- answers that lie -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ring", "planes"),
    [
        ("elsewhere", Planes(_WINDOW.as_tuple(), ("R", "G", "B"))),
        ("", Planes((0, 0, 5000, 5000), ("R", "G", "B"))),
        ("", Planes((0, 0, 4, 4), ("R", "G", "B"))),
        ("", Planes(_WINDOW.as_tuple(), ("Y", "U", "V"))),
        ("", Planes((0, 0, 0, 0), ("R", "G", "B"))),
        ("", Planes((9, 9, 0, 0), ("R", "G", "B"))),
        ("", Planes(_WINDOW.as_tuple(), ("R", "G", "B"), "f2")),
    ],
)
def test_a_result_that_lies_elsewhere_than_it_should_is_a_protocol_error(
    tmp_path: Path, ring_dir: Path, pools: list[RingPool], ring: str, planes: Planes
) -> None:
    def reply(envelope: Envelope) -> tuple[Rendered, tuple[bytes, ...]]:
        request = envelope.message
        assert isinstance(request, Render)
        assert isinstance(request.target, ShmTarget)
        pixels = ShmPixels(ring or request.target.ring, request.target.offset_bytes, planes)
        receipt = RangeReceipt(0, 0, 0, 0, 0, 0, 0)
        return Rendered(request.frame, pixels, FrameReport(receipt)), ()

    with (
        FakeServer(tmp_path, ring_dir=ring_dir, replies={"render": reply}) as server,
        _connect(server) as client,
    ):
        with pytest.raises(ProtocolError):
            client.render(_plate(), "double")
        gc.collect()
        assert pools[0].used_bytes == 0


@pytest.mark.parametrize(
    ("part", "data"), [(0, b""), (0, b"x" * 11), (1, b"x" * 1008), (-1, b"x" * 1008)]
)
def test_a_result_whose_part_is_not_there_or_too_short_is_a_protocol_error(
    tmp_path: Path, part: int, data: bytes
) -> None:
    def reply(envelope: Envelope) -> tuple[Rendered, tuple[bytes, ...]]:
        pixels = InlinePixels(part, Planes(_WINDOW.as_tuple(), ("R", "G", "B")))
        receipt = RangeReceipt(0, 0, 0, 0, 0, 0, 0)
        return Rendered(0, pixels, FrameReport(receipt)), (data,)

    with (
        FakeServer(tmp_path, replies={"render": reply}) as server,
        _connect(server) as client,
        pytest.raises(ProtocolError),
    ):
        client.render(_plate(), "double")


# --- giving up ------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["shm", "inline"])
def test_a_deadline_cancels_the_request_on_the_server(
    server: FakeServer, transport: Transport
) -> None:
    with _connect(server, transport) as client:
        with pytest.raises(DeadlineExceeded):
            client.render(_plate(), "hold", timeout_s=0.15)
        wait_until(lambda: "cancel" in server.kinds())
        client.render(_plate(), "double")


def test_an_event_cancels_the_request_soon(server: FakeServer) -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.1, cancel.set)
    with _connect(server) as client:
        start_s = time.monotonic()
        timer.start()
        with pytest.raises(Cancelled):
            client.render(_plate(), "hold", timeout_s=60, cancel=cancel)
        assert time.monotonic() - start_s < 5
        wait_until(lambda: "cancel" in server.kinds())


def test_slabs_of_a_request_that_was_given_up_are_freed_only_when_the_server_is_done(
    server: FakeServer, pools: list[RingPool]
) -> None:
    server.behavior["cancel"] = "silence"
    with _connect(server) as client:
        with pytest.raises(DeadlineExceeded):
            client.render(_plate(), "hold", timeout_s=0.1)
        wait_until(lambda: "cancel" in server.kinds())
        # The worker may still write into the result's slab: another frame must not get it.
        assert pools[0].used_bytes == 2 * 4096
        held = _request(server).target
        client.render(_plate(), "double")
        other = _request(server).target
        assert isinstance(held, ShmTarget)
        assert isinstance(other, ShmTarget)
        assert held.offset_bytes != other.offset_bytes
        del server.behavior["cancel"]
        with pytest.raises(DeadlineExceeded):
            client.render(_plate(), "hold", timeout_s=0.1)
        wait_until(lambda: pools[0].used_bytes == 2 * 4096)


def test_a_server_that_dies_in_the_middle_of_a_render_is_unavailable(
    tmp_path: Path, ring_dir: Path
) -> None:
    with (
        FakeServer(tmp_path, ring_dir=ring_dir, behavior={"render": "vanish"}) as server,
        _connect(server) as client,
    ):
        with pytest.raises(Unavailable):
            client.render(_plate(), "double", timeout_s=30)
        server.stop()
        with FakeServer(tmp_path, ring_dir=ring_dir) as second:
            image = client.render(_plate(), "double").image
            assert second.kinds() == ["hello", "describe_effects", "render"]
    np.testing.assert_array_equal(_of(image, "R"), _of(_plate(), "R") * 2)
