"""Cost of the transport: a 4K frame by shared memory, a small request, a server render."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from kwaflux_core.client.client import Client
from kwaflux_core.images.image import SCENE_LINEAR
from kwaflux_core.tiling import plan_tiles
from kwaflux_models.rendering.image_contract import Domain
from kwaflux_models.rendering.local_renderer import LocalRenderer, plate_of
from kwaflux_models.rendering.measure_samples import lone_tile_input
from kwaflux_models.rendering.step_renderer import gather
from kwaflux_server.bench.fixtures import noisy_planes, plate_image
from kwaflux_server.bench.rows import Row, medians

__all__ = ["four_k_by_shm", "server_share", "small_round_trip"]

_ROUNDS = 15
_SMALL_ROUNDS = 500


def four_k_by_shm(client: Client, *, cpu: Callable[[], float]) -> Row:
    """Return the round trip of a 4K RGBA float32 frame over one warm copy of it."""
    planes = noisy_planes(2160, 3840)
    target = np.empty_like(planes)
    plate, out = plate_image(planes), plate_image(np.empty_like(planes))

    def copy() -> None:
        np.copyto(target, planes)

    def render() -> None:
        client.render(plate, "identity", out=out)

    copied, rendered = medians((copy, render), rounds=_ROUNDS, cpu=cpu)
    if not all(np.array_equal(out.part.channels[c], plate.part.channels[c]) for c in "RGB"):
        raise RuntimeError("identity changed a pixel")
    detail = f"{rendered} / memcpy {copied} of {planes.nbytes / 1e6:.1f} MB"
    ratio = rendered.wall_s / copied.wall_s
    return Row("4K RGBA frame by shm, in and out, over one memcpy", ratio, "x", 3.0, detail)


def small_round_trip(client: Client) -> Row:
    """Return the median of a small render's round trip, client to worker and back."""
    plate = plate_image(noisy_planes(16, 16))
    taken = []
    for _ in range(_SMALL_ROUNDS):
        start = time.perf_counter()
        client.render(plate, "identity")
        taken.append(time.perf_counter() - start)
    p50, p99 = statistics.median(taken), sorted(taken)[int(0.99 * len(taken))]
    detail = f"16 x 16 pixels, {_SMALL_ROUNDS} requests, p99 {p99 * 1e3:.2f} ms"
    return Row("small request, p50", p50 * 1e3, "ms", 1.0, detail)


def server_share(
    client: Client,
    local: LocalRenderer,
    *,
    flow: str,
    size: tuple[int, int],
    rounds: int,
    cpu: Callable[[], float],
) -> list[Row]:
    """Return a server render over the bare network on the same tiles, measured alternately.

    Args:
        client: Of the server.
        local: Renders in this process.
        flow: One effect.
        size: Width and height of the frame.
        rounds: How often each is measured.
        cpu: Gives the CPU time of this process and the server's.
    """
    width, height = size
    planes = noisy_planes(height, width, count=3)
    plate, out = plate_image(planes), plate_image(np.empty_like(planes))
    network_alone = _network_alone(local, planes, flow)
    network, alone, server = medians(
        (
            network_alone,
            lambda: local.render(flow, planes),
            lambda: client.render(plate, flow, out=out),
        ),
        rounds=rounds,
        cpu=cpu,
    )
    detail = f"{width} x {height}: server {server}, in process {alone}, bare network {network}"
    return [
        Row(
            "render through the server over the same in one process",
            server.wall_s / alone.wall_s,
            "x",
            1.05,
            detail,
        ),
        Row(
            "render through the server over the bare network",
            server.wall_s / network.wall_s,
            "x",
            1.05,
            f"CPU seconds {server.cpu_s / network.cpu_s:.3g}x",
        ),
    ]


def _network_alone(
    local: LocalRenderer, planes: npt.NDArray[np.float32], flow: str
) -> Callable[[], None]:
    """Return a call that runs only the network, on the tiles of a render."""
    step = local.bind(flow).steps[0]
    card, plate = step.card, plate_of(planes)
    domain = Domain(
        card.working, colorspace=SCENE_LINEAR, config=local.config, is_premultiplied=True
    )
    tiles = plan_tiles(
        plate.window, frame=plate.window, tile_px=512, halo_px=card.halo_px, align_px=card.align_px
    )
    inputs = []
    with local.warm.lend(card) as loaded, torch.inference_mode():
        for tile in tiles:
            raw = torch.from_numpy(gather(plate.color, tile.read, plate.window))
            picture = domain.for_network(domain.prepare(raw, None), dtype=torch.float32)
            picture = picture.contiguous(memory_format=torch.channels_last)
            inputs.append(
                lone_tile_input(
                    loaded.effect, loaded.network, tile=picture, card=card, values=step.values
                )
            )

    def run() -> None:
        with local.warm.lend(card) as loaded, torch.inference_mode():
            for pictures in inputs:
                loaded.effect.residual(loaded.network, pictures, step.values)

    return run
