"""Speed and error of bfloat16 against float32 on this CPU."""

from __future__ import annotations

import copy

import torch

from kwaflux_models.rendering.local_renderer import LocalRenderer
from kwaflux_models.rendering.measure_samples import lone_tile_input
from kwaflux_server.bench.fixtures import noisy_planes
from kwaflux_server.bench.rows import Row, medians

__all__ = ["precisions"]


def precisions(local: LocalRenderer, *, flow: str, rounds: int) -> list[Row]:
    """Return bfloat16's speed and error against float32, on one tile of 256 pixels."""
    step = local.bind(flow).steps[0]
    tile = torch.from_numpy(noisy_planes(256, 256, count=3))[None]
    with local.warm.lend(step.card) as loaded, torch.inference_mode():
        network = loaded.network
        reduced = copy.deepcopy(network).to(torch.bfloat16)

        def run(dtype: torch.dtype) -> torch.Tensor:
            picture = tile.to(dtype).contiguous(memory_format=torch.channels_last)
            module = network if dtype == torch.float32 else reduced
            pictures = lone_tile_input(
                loaded.effect, module, tile=picture, card=step.card, values=step.values
            )
            residual = loaded.effect.residual(module, pictures, step.values)
            return torch.zeros(1) if residual is None else residual.float()

        full, reduced_time = medians(
            (lambda: run(torch.float32), lambda: run(torch.bfloat16)), rounds=rounds
        )
        error = float((run(torch.float32) - run(torch.bfloat16)).abs().max())
    return [
        Row(
            "float32 over bfloat16, seconds of a tile",
            full.wall_s / reduced_time.wall_s,
            "x",
            None,
            f"{full} over {reduced_time}",
        ),
        Row("bfloat16's error in the working curve", error, "", None, "greatest, 256 x 256"),
    ]
