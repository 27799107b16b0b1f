"""Frames through the client: every transport, and what stays of the plate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core import Box, Client, Flow, Image
from kwaflux_core.client.client import Transport
from kwaflux_core.errors import (
    FlowError,
    FrameTooLarge,
    ImageError,
    ImageUnsupported,
    RequestError,
    UnknownEffect,
)
from kwaflux_core.images.image import Channel, Part
from kwaflux_core.protocol.messages import (
    Render,
)
from kwaflux_testing.fake_server import LIMITS, FakeServer

_NO_ENVIRONMENT: Mapping[str, str] = {}
_TRANSPORTS: tuple[Transport, ...] = ("shm", "inline", "exr")
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


# --- every transport -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_half", [False, True])
@pytest.mark.parametrize("transport", _TRANSPORTS)
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
    assert (result.report.receipt.max_out, result.report.warnings) == (2.0, ("as a test",))
    assert result.report.provenance["alpha"] == "straight"


@pytest.mark.parametrize("transport", _TRANSPORTS)
def test_the_request_carries_what_the_pixels_mean(server: FakeServer, transport: Transport) -> None:
    with _connect(server, transport) as client:
        client.render(
            _plate(), "double", frame=7, layer="left", urgency="sequence", node="Kwaflux1"
        )
    request = _request(server)
    assert (request.flow, request.frame, request.options.colorspace) == ("double", 7, "ACEScg")
    assert (request.options.alpha, request.urgency, request.node) == (
        "straight",
        "sequence",
        "Kwaflux1",
    )
    assert [source.frame for source in request.sources] == [7]


@pytest.mark.parametrize("transport", _TRANSPORTS)
def test_another_layers_color_is_rendered_and_the_base_layer_stays(
    server: FakeServer, transport: Transport
) -> None:
    plate = _plate()
    with _connect(server, transport) as client:
        image = client.render(plate, "double", layer="left").image
    np.testing.assert_array_equal(_of(image, "left.G"), _of(plate, "left.G") * 2)
    assert _of(image, "G") is _of(plate, "G")


@pytest.mark.parametrize("transport", _TRANSPORTS)
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


@pytest.mark.parametrize("transport", _TRANSPORTS)
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


@pytest.mark.parametrize("transport", _TRANSPORTS)
def test_neighbors_travel_with_the_frame(server: FakeServer, transport: Transport) -> None:
    ones = Image.from_channels({name: np.ones((4, 5), np.float32) for name in "RGB"})
    with _connect(server, transport) as client:
        image = client.render(ones, "identity", frame=5, neighbors={4: ones, 5: ones, 6: ones})
    if transport != "shm":  # the fake server's identity names the source's slab
        assert float(_of(image.image, "R")[0, 0]) == 3.0
    assert [source.frame for source in _request(server).sources] == [5, 4, 6]


@pytest.mark.parametrize("transport", _TRANSPORTS)
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
    with _connect(server) as client, pytest.raises(ImageUnsupported, match="integer"):
        client.render(plate, "double")


@pytest.mark.parametrize("transport", _TRANSPORTS)
def test_a_region_outside_the_data_window_is_refused(
    server: FakeServer, transport: Transport
) -> None:
    with _connect(server, transport) as client, pytest.raises(RequestError, match="data window"):
        client.render(_plate(), "double", region=Box(0, 0, 10, 4))


@pytest.mark.parametrize("transport", _TRANSPORTS)
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
