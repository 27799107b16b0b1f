"""Pixels that travel by every transport come to the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from kwaflux_core import Image, read_image, write_image
from kwaflux_core.client.client import Client, Transport
from kwaflux_core.client.exr_request import ExrRequest
from kwaflux_core.errors import ResourceError
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.read import exr_to_bytes, read_exr
from kwaflux_core.images.image import Part
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_testing.disks import small_disk
from kwaflux_testing.pictures import hard_floats, noise, plate, same_bits
from kwaflux_testing.servers import RunningServer, StartServer

TRANSPORTS: tuple[Transport, ...] = ("shm", "inline", "exr")
HEIGHT, WIDTH = 64, 96


def _assert_same_color(first: Image, second: Image) -> None:
    assert first.part.data_window == second.part.data_window
    for name in "RGB":
        assert same_bits(first.part.channels[name], second.part.channels[name]), name


def _by_path(
    client: Client,
    folder: Path,
    flow: str,
    plates: dict[int, Image],
    *,
    frame: int,
    straight: bool = False,
) -> Image:
    """Render through files, one for each frame."""
    paths = {number: folder / f"in.{number:04d}.exr" for number in plates}
    for number, image in plates.items():
        write_image(paths[number], image)
    target = folder / f"out.{frame:04d}.exr"
    neighbors = {number: path for number, path in paths.items() if number != frame}
    client.render_file(
        paths[frame],
        target,
        flow,
        frame=frame,
        neighbors=neighbors,
        options=RenderOptions(alpha="straight" if straight else "premultiplied"),
        timeout_s=60,
    )
    return read_image(target)


def _difference(first: Image, second: Image) -> float:
    return max(
        float(np.abs(first.part.channels[name] - second.part.channels[name]).max())
        for name in "RGB"
    )


@pytest.mark.parametrize("flow", ["identity", "soften", "denoise(strength=0.7)"])
def test_every_transport_gives_the_same_bits(
    server: RunningServer, flow: str, tmp_path: Path
) -> None:
    image = plate(HEIGHT, WIDTH)
    with server.client() as client:
        expected = _by_path(client, tmp_path, flow, {7: image}, frame=7)
        data = client.render_exr(
            ExrRequest(data=exr_to_bytes(image), flow=flow, frame=7), timeout_s=60
        ).data
    _assert_same_color(read_exr(data), expected)
    for transport in TRANSPORTS:
        with server.client(transport=transport) as client:
            result = client.render(image, flow, frame=7, timeout_s=60)
        _assert_same_color(result.image, expected)
    is_touched = _difference(image, expected) > 0
    assert is_touched == (flow != "identity")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_region_is_the_same_crop_of_the_whole(
    server: RunningServer, transport: Transport
) -> None:
    image = plate(HEIGHT, WIDTH)
    region = Box(21, 10, 70, 47)
    with server.client(transport=transport) as client:
        whole = client.render(image, "soften", timeout_s=60).image
        part = client.render(image, "soften", region=region, timeout_s=60).image
    assert part.part.data_window == region
    for name in "RGB":
        expected = whole.part.channels[name][region.y0 : region.y1, region.x0 : region.x1]
        np.testing.assert_allclose(part.part.channels[name], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frame", [1001, 1002, 1003])
def test_neighbors_count_the_same_by_every_transport(
    server: RunningServer, frame: int, tmp_path: Path
) -> None:
    plates = {number: plate(HEIGHT, WIDTH, seed=10 * number) for number in (1001, 1002, 1003)}
    neighbors = {number: image for number, image in plates.items() if number != frame}
    with server.client() as client:
        expected = _by_path(client, tmp_path, "around", plates, frame=frame)
        alone = client.render(plates[frame], "around", frame=frame, timeout_s=60).image
    assert _difference(alone, expected) > 0.01, "the neighbors were not read"
    for transport in TRANSPORTS:
        with server.client(transport=transport) as client:
            result = client.render(
                plates[frame], "around", frame=frame, neighbors=neighbors, timeout_s=60
            )
        _assert_same_color(result.image, expected)


def test_a_larger_result_is_the_same_by_every_transport(
    server: RunningServer, tmp_path: Path
) -> None:
    image = plate(HEIGHT, WIDTH)
    with server.client() as client:
        expected = _by_path(client, tmp_path, "twice", {1: image}, frame=1)
    assert expected.part.channels["R"].shape == (2 * HEIGHT, 2 * WIDTH)
    for transport in TRANSPORTS:
        with server.client(transport=transport) as client:
            result = client.render(image, "twice", frame=1, timeout_s=60).image
        _assert_same_color(result, expected)
        for name in ("A", "depth.Z"):
            assert same_bits(result.part.channels[name], expected.part.channels[name]), name


def test_a_half_plate_is_the_same_by_every_transport(server: RunningServer, tmp_path: Path) -> None:
    image = Image.from_channels(
        {
            name: noise(HEIGHT, WIDTH, seed=seed).astype(np.float16)
            for seed, name in enumerate("RGB")
        }
    )
    with server.client(transport="inline") as client:
        result = client.render(image, "soften", timeout_s=60).image
    assert result.part.channels["R"].dtype == np.float32
    for transport in TRANSPORTS:
        with server.client(transport=transport) as client:
            _assert_same_color(client.render(image, "soften", timeout_s=60).image, result)
    with server.client() as client:
        _assert_same_color(_by_path(client, tmp_path, "soften", {0: image}, frame=0), result)


def test_straight_alpha_is_the_same_by_every_transport_and_not_premultiplied(
    server: RunningServer, tmp_path: Path
) -> None:
    image = plate(HEIGHT, WIDTH)
    straight = replace(image, is_premultiplied=False)
    with server.client() as client:
        expected = _by_path(client, tmp_path, "soften", {1: image}, frame=1, straight=True)
        premultiplied = client.render(image, "soften", timeout_s=60).image
    assert _difference(premultiplied, expected) > 1e-3
    for transport in TRANSPORTS:
        with server.client(transport=transport) as client:
            result = client.render(straight, "soften", frame=1, timeout_s=60).image
        assert not result.is_premultiplied
        _assert_same_color(result, expected)


def _hard_planes() -> dict[str, npt.NDArray[np.float32]]:
    hard = hard_floats(np.float32, shape=(HEIGHT, WIDTH))
    return {name: cast("npt.NDArray[np.float32]", np.roll(hard, n)) for n, name in enumerate("RGB")}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("flow", ["identity", "denoise(strength=0)", "soften(strength=0)"])
def test_what_no_effect_touches_keeps_every_bit_nan_payloads_too(
    server: RunningServer, transport: Transport, flow: str
) -> None:
    image = Image.from_channels(_hard_planes())
    with server.client(transport=transport) as client:
        result = client.render(image, flow, timeout_s=60)
    _assert_same_color(result.image, image)
    counts = [np.count_nonzero(np.isnan(image.part.channels[name])) for name in "RGB"]
    assert result.report.receipt.nan_count == sum(counts)


def test_a_frame_that_is_not_at_the_origin_keeps_its_window(server: RunningServer) -> None:
    image = plate(HEIGHT, WIDTH)
    part = image.part
    window = Box(-30, -12, -30 + WIDTH, -12 + HEIGHT)
    moved = replace(
        image,
        parts=(Part(part.channels, window, Box(0, 0, 40, 30), part.attributes),),
    )
    with server.client(transport="shm") as client:
        result = client.render(moved, "soften", timeout_s=60).image
        still = client.render(image, "soften", timeout_s=60).image
    assert result.part.data_window == window
    assert result.part.display_window == Box(0, 0, 40, 30)
    for name in "RGB":
        assert same_bits(result.part.channels[name], still.part.channels[name])


def test_the_callers_own_picture_takes_the_result(server: RunningServer) -> None:
    image = plate(HEIGHT, WIDTH)
    out = Image.from_channels({name: np.zeros((HEIGHT, WIDTH), np.float32) for name in "RGB"})
    with server.client() as client:
        expected = client.render(image, "soften", timeout_s=60).image
        result = client.render(image, "soften", out=out, timeout_s=60).image
    _assert_same_color(result, expected)
    assert result.part.channels["R"] is out.part.channels["R"]


def test_without_shared_memory_pixels_travel_inline_by_themselves(
    start_server: StartServer, server: RunningServer
) -> None:
    image = plate(HEIGHT, WIDTH)
    with server.client() as client:
        expected = client.render(image, "soften", timeout_s=60).image
    bare = start_server({"KWAFLUX_RING_DIR": "none"})
    with bare.client() as client:
        _assert_same_color(client.render(image, "soften", timeout_s=60).image, expected)
    with bare.client(transport="shm") as client, pytest.raises(ResourceError, match="no memory"):
        client.render(image, "soften", timeout_s=60)


def test_shared_memory_that_is_too_small_is_gone_round_by_itself(
    start_server: StartServer, server: RunningServer, tmp_path: Path
) -> None:
    image = plate(HEIGHT, WIDTH)
    with server.client() as client:
        expected = client.render(image, "soften", timeout_s=60).image
    # A ring leaves 16 MiB of its file system free, so none fits here.
    with small_disk(tmp_path / "ram", size_kib=12 << 10) as disk:
        tight = start_server({"KWAFLUX_RING_DIR": str(disk)})
        with tight.client() as client:
            for _ in range(2):
                _assert_same_color(client.render(image, "soften", timeout_s=60).image, expected)
            assert tight.ring_files() == []
        assert tight.end() == 0
        assert list(disk.iterdir()) == [], "the server's own folder is removed"


def test_rings_that_may_hold_little_send_a_large_frame_inline(start_server: StartServer) -> None:
    tight = start_server({"KWAFLUX_RING_BYTES_MAX": str(256 << 10)})
    small, large = plate(32, 32), plate(128, 256)
    with tight.client() as client:
        first = client.render(small, "soften", timeout_s=60).image
        assert len(tight.ring_files()) == 1
        client.render(large, "soften", timeout_s=60)
        _assert_same_color(client.render(small, "soften", timeout_s=60).image, first)
