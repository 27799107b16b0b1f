"""Frames through the client: every road, what stays of the plate, and what is freed when."""

from __future__ import annotations

import dataclasses
import gc
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core import Box, Client, Flow, Image
from kwaflux_core.client import Transport
from kwaflux_core.errors import (
    Cancelled,
    DeadlineExceeded,
    FlowError,
    FrameTooLarge,
    ImageError,
    ImageUnsupported,
    ProtocolError,
    RequestError,
    ResourceError,
    Unavailable,
    UnknownEffect,
)
from kwaflux_core.image import Channel, Part
from kwaflux_core.protocol.codec import Envelope
from kwaflux_core.protocol.messages import (
    InlinePixels,
    Planes,
    RangeReceipt,
    Render,
    Rendered,
    ShmPixels,
    ShmTarget,
    Timings,
)
from kwaflux_core.transport._ring_pool import RingPool
from kwaflux_core.transport.shared_memory import Ring
from kwaflux_testing.fake_server import LIMITS, FakeServer, wait_until

_NO_ENVIRONMENT: Mapping[str, str] = {}
_ROADS: tuple[Transport, ...] = ("shm", "inline", "exr")
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


def _plate(*, is_half: bool = False) -> Image:
    """A plate with overscan, an ID channel, a second layer and hard values."""
    rng = np.random.default_rng(5)
    shape = (_WINDOW.height, _WINDOW.width)
    channels: dict[str, Channel] = {}
    for name in ("R", "G", "B", "A", "depth.Z", "left.R", "left.G", "left.B"):
        plane = rng.normal(size=shape).astype(np.float32)
        if name == "G":
            plane[0, :6] = [np.nan, np.inf, -np.inf, 65504.0, -4.0, 0.0]
        channels[name] = plane.astype(np.float16) if is_half else plane
    channels["id"] = rng.integers(0, 2**32, size=shape, dtype=np.uint32)
    part = Part(channels, _WINDOW, Box(0, 0, 6, 4), {"owner": "us"}, pixel_aspect=2.0)
    return Image((part,), colorspace="ACEScg", is_premultiplied=False)


def _of(image: Image, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return image.part.channels[name]


def _request(server: FakeServer) -> Render:
    request = server.of_kind("render")[-1]
    assert isinstance(request, Render)
    return request


# --- every road -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_half", [False, True])
@pytest.mark.parametrize("transport", _ROADS)
def test_color_is_rendered_and_all_else_is_the_plates_own(
    server: FakeServer, transport: Transport, is_half: bool
) -> None:
    plate = _plate(is_half=is_half)
    with _connect(server, transport) as client:
        result = client.render(plate, Flow.parse("double"), frame=1001)
    part = result.image.part
    for name in "RGB":
        assert part.channels[name].dtype == np.float32
        np.testing.assert_array_equal(part.channels[name], _of(plate, name).astype(np.float32) * 2)
    for name in ("A", "depth.Z", "id", "left.R"):
        assert part.channels[name] is plate.part.channels[name]
    assert (part.data_window, part.display_window) == (_WINDOW, Box(0, 0, 6, 4))
    assert (part.pixel_aspect, part.attributes["owner"]) == (2.0, "us")
    assert (result.image.colorspace, result.image.is_premultiplied) == ("ACEScg", False)
    assert part.attributes["kwaflux/flow"] == "double"
    assert (result.receipt.max_out, result.warnings) == (2.0, ("as a test",))
    assert result.provenance["alpha"] == "straight"


@pytest.mark.parametrize("transport", _ROADS)
def test_the_request_carries_what_the_pixels_mean(server: FakeServer, transport: Transport) -> None:
    with _connect(server, transport) as client:
        client.render(
            _plate(), "double", frame=7, layer="left", urgency="sequence", node="Kwaflux1"
        )
    request = _request(server)
    assert (request.flow, request.frame, request.colorspace) == ("double", 7, "ACEScg")
    assert (request.alpha, request.urgency, request.node) == ("straight", "sequence", "Kwaflux1")
    assert [source.frame for source in request.sources] == [7]


@pytest.mark.parametrize("transport", _ROADS)
def test_another_layers_color_is_rendered_and_the_base_layer_stays(
    server: FakeServer, transport: Transport
) -> None:
    plate = _plate()
    with _connect(server, transport) as client:
        image = client.render(plate, "double", layer="left").image
    np.testing.assert_array_equal(_of(image, "left.G"), _of(plate, "left.G") * 2)
    assert _of(image, "G") is _of(plate, "G")


@pytest.mark.parametrize("transport", _ROADS)
def test_a_region_gives_that_part_of_color_and_alpha_alone(
    server: FakeServer, transport: Transport
) -> None:
    plate, region = _plate(), Box(-1, 0, 4, 3)
    with _connect(server, transport) as client:
        image = client.render(plate, "double", region=region).image
    assert image.part.data_window == region
    assert set(image.part.channels) == {"R", "G", "B", "A"}
    np.testing.assert_array_equal(_of(image, "B"), _of(plate, "B")[2:5, 2:7] * 2)
    np.testing.assert_array_equal(_of(image, "A"), _of(plate, "A")[2:5, 2:7])


@pytest.mark.parametrize("transport", _ROADS)
def test_a_flow_that_scales_gives_a_larger_picture(
    server: FakeServer, transport: Transport
) -> None:
    plate = _plate()
    with _connect(server, transport) as client:
        image = client.render(plate, "upscale").image
        part = client.render(plate, "upscale(scale=2)", region=Box(0, 0, 3, 2)).image.part
    assert image.part.data_window == _WINDOW.scaled(2)
    np.testing.assert_array_equal(_of(image, "R")[::2, 1::2], _of(plate, "R"))
    assert _of(image, "id").shape == (2 * _WINDOW.height, 2 * _WINDOW.width)
    assert image.part.attributes["kwaflux/flow"] == "upscale"
    assert part.data_window == Box(0, 0, 6, 4)


@pytest.mark.parametrize("transport", _ROADS)
def test_neighbors_travel_with_the_frame(server: FakeServer, transport: Transport) -> None:
    ones = Image.from_channels({name: np.ones((4, 5), np.float32) for name in "RGB"})
    with _connect(server, transport) as client:
        image = client.render(ones, "identity", frame=5, neighbors={4: ones, 5: ones, 6: ones})
    if transport != "shm":  # the fake server's identity names the source's slab
        assert float(_of(image.image, "R")[0, 0]) == 3.0
    assert [source.frame for source in _request(server).sources] == [5, 4, 6]


@pytest.mark.parametrize("transport", _ROADS)
def test_planes_that_do_not_lie_in_one_piece_are_sent_right(
    server: FakeServer, transport: Transport
) -> None:
    wide = np.random.default_rng(1).normal(size=(12, 10, 3)).astype(np.float32)
    plate = Image.from_channels({n: wide[::2, ::-1, i] for i, n in enumerate("RGB")})
    with _connect(server, transport) as client:
        image = client.render(plate, "double").image
    np.testing.assert_array_equal(_of(image, "G"), wide[::2, ::-1, 1] * 2)


@pytest.mark.parametrize("transport", ["shm", "inline"])
def test_the_result_can_go_into_planes_that_the_caller_has(
    server: FakeServer, transport: Transport
) -> None:
    plate = _plate()
    shape = (_WINDOW.height, _WINDOW.width)
    out = plate.with_color(
        plate.find_layer(),
        (np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)),
    )
    with _connect(server, transport) as client:
        image = client.render(plate, "double", out=out).image
    assert _of(image, "B") is _of(out, "B")
    np.testing.assert_array_equal(_of(out, "B"), _of(plate, "B") * 2)


# --- refusals before anything is sent -------------------------------------------------------


def test_a_flow_that_does_not_fit_the_server_is_refused(server: FakeServer) -> None:
    with _connect(server) as client:
        with pytest.raises(UnknownEffect, match="doubel"):
            client.render(_plate(), "doubel")
        with pytest.raises(FlowError):
            client.render(_plate(), "double |")
        with pytest.raises(ImageUnsupported, match="layer 'right'"):
            client.render(_plate(), "double", layer="right")
    assert "render" not in server.kinds()


def test_color_of_whole_numbers_is_refused(server: FakeServer) -> None:
    plate = Image.from_channels({name: np.ones((2, 2), np.uint32) for name in "RGB"})
    with _connect(server) as client, pytest.raises(ImageUnsupported, match="whole numbers"):
        client.render(plate, "double")


@pytest.mark.parametrize("transport", _ROADS)
def test_a_region_outside_the_data_window_is_refused(
    server: FakeServer, transport: Transport
) -> None:
    with _connect(server, transport) as client, pytest.raises(RequestError, match="does not lie"):
        client.render(_plate(), "double", region=Box(0, 0, 10, 4))


@pytest.mark.parametrize("transport", _ROADS)
def test_a_frame_beyond_the_servers_limit_is_refused(
    tmp_path: Path, ring_dir: Path, transport: Transport
) -> None:
    limits = dataclasses.replace(LIMITS, frame_bytes=1000)
    with (
        FakeServer(tmp_path, ring_dir=ring_dir, limits=limits) as server,
        _connect(server, transport) as client,
        pytest.raises(FrameTooLarge, match="the server accepts 1000"),
    ):
        client.render(_plate(), "double")


@pytest.mark.parametrize("transport", ["inline", "exr"])
def test_a_message_beyond_the_servers_limit_is_refused(
    tmp_path: Path, transport: Transport
) -> None:
    limits = dataclasses.replace(LIMITS, message_bytes=500)
    with (
        FakeServer(tmp_path, limits=limits) as server,
        _connect(server, transport) as client,
        pytest.raises(FrameTooLarge, match="in a message"),
    ):
        client.render(_plate(), "double")


@pytest.mark.parametrize("kind", ["size", "half", "read-only", "no layer"])
def test_planes_that_cannot_take_the_result_are_refused(server: FakeServer, kind: str) -> None:
    plate = _plate()
    shape = (3, 3) if kind == "size" else (_WINDOW.height, _WINDOW.width)
    planes = [np.zeros(shape, np.float16 if kind == "half" else np.float32) for _ in "RGB"]
    for plane in planes:
        plane.flags.writeable = kind != "read-only"
    names = "XYZ" if kind == "no layer" else "RGB"
    out = Image.from_channels(dict(zip(names, planes, strict=True)))
    with _connect(server) as client, pytest.raises(ImageError, match="picture for the result"):
        client.render(plate, "double", out=out)


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
    roads = []
    with (
        FakeServer(tmp_path, ring_dir=ring_dir, limits=limits) as server,
        _connect(server) as client,
    ):
        for plate in (large, _plate(), large):
            client.render(plate, "double")
            roads.append(type(_request(server).sources[0].pixels))
    assert roads == [InlinePixels, ShmPixels, InlinePixels]


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
        return Rendered(request.frame, pixels, receipt, {}, Timings()), ()

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
        return Rendered(0, pixels, receipt, {}, Timings()), (data,)

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
