"""The parts of the benchmark in their order, with the time that each may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from kwaflux_core.client.client import Client
from kwaflux_models.rendering.local_renderer import LocalRenderer
from kwaflux_server.bench.cost import denoise_cost, motion_cost
from kwaflux_server.bench.exactness import exactness
from kwaflux_server.bench.fixtures import private_server
from kwaflux_server.bench.precision import precisions
from kwaflux_server.bench.rows import Row
from kwaflux_server.bench.sequence_length import frames_memory, large_frame_memory, pipelining
from kwaflux_server.bench.transport import four_k_by_shm, server_share, small_round_trip
from kwaflux_server.bench.workload import Cost, cpu_clock, measure_cost

__all__ = ["PARTS", "Bench", "Part"]

_HD = (1920, 1080)
_BUDGET_S, _QUICK_BUDGET_S = 45.0, 7.0
"""For the renders of one measurement; a part has up to two, and seven parts are measured."""
_STAGE_ROUNDS = 4
"""How often a sequence's frame is rendered by itself."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Hold what the parts measure with.

    Args:
        client: Of a private server.
        local: Renders in this process.
        flow: What is rendered.
        large_flow: What a very large frame is rendered with.
        cost: Of ``flow``, in this process.
        cpu: Gives the CPU seconds of this process, the server and its workers.
        is_quick: Whether all in all two minutes have to do, not ten.
    """

    client: Client
    local: LocalRenderer
    flow: str
    large_flow: str
    cost: Cost
    cpu: Callable[[], float]
    is_quick: bool

    @classmethod
    @contextmanager
    def started(
        cls, environ: Mapping[str, str], *, flow: str, large_flow: str, is_quick: bool
    ) -> Iterator[Bench]:
        """Yield it with a server that runs, and stop that."""
        local = LocalRenderer.on_cpu()
        cost = measure_cost(local, flow=flow)
        with private_server(environ) as client:
            status = client.status()
            cpu = cpu_clock((status.pid, *(worker.pid for worker in status.workers)))
            yield cls(client, local, flow, large_flow, cost, cpu, is_quick)

    def size(self, *, renders: int) -> tuple[int, int]:
        """Return the size of a frame, at most HD, that can be rendered so often in the budget."""
        budget_s = _QUICK_BUDGET_S if self.is_quick else _BUDGET_S
        return self.cost.fitting(*_HD, renders=renders, budget_s=budget_s)


Measurement: TypeAlias = tuple[str, Callable[[], list[Row]]]
Part: TypeAlias = Callable[[Bench], Iterator[Measurement]]
"""Gives the measurements of a part: what is measured, in words, and the call that does it."""


def _transport(bench: Bench) -> Iterator[Measurement]:
    yield "a 4K frame by shared memory", lambda: [four_k_by_shm(bench.client, cpu=bench.cpu)]
    yield "small requests", lambda: [small_round_trip(bench.client)]


def _exact(bench: Bench) -> Iterator[Measurement]:
    yield "tiles, regions and identity", lambda: exactness(bench.local, flow=bench.flow)


def _cost(bench: Bench) -> Iterator[Measurement]:
    size = bench.size(renders=1)
    for is_temporal, what in ((True, "five frames"), (False, "one frame")):
        yield (
            f"denoise with {what} of {size[0]} x {size[1]}",
            partial(denoise_cost, bench.local, *size, is_temporal=is_temporal),
        )
    yield "motion of a pair of HD frames", partial(motion_cost, bench.local, *_HD)


def _share(bench: Bench) -> Iterator[Measurement]:
    rounds = 1 if bench.is_quick else 4
    size = bench.size(renders=3 * (rounds + 1))
    yield (
        f"a render of {size[0]} x {size[1]} through the server",
        lambda: server_share(
            bench.client, bench.local, flow=bench.flow, size=size, rounds=rounds, cpu=bench.cpu
        ),
    )


def _sequence(bench: Bench) -> Iterator[Measurement]:
    count = 4 if bench.is_quick else 12
    size = bench.size(renders=count + 1 + _STAGE_ROUNDS)
    for compression in ("none", "zip"):
        yield (
            f"{count} frames of {size[0]} x {size[1]} ({compression})",
            partial(
                pipelining,
                bench.client,
                bench.local,
                flow=bench.flow,
                frame_count=count,
                size=size,
                compression=compression,
                cpu=bench.cpu,
            ),
        )


def _memory(bench: Bench) -> Iterator[Measurement]:
    short, long = (4, 12) if bench.is_quick else (20, 100)
    size = bench.size(renders=short + long)
    yield (
        f"memory for {long} frames of {size[0]} x {size[1]}",
        lambda: [frames_memory(bench.client, flow=bench.flow, size=size, short=short, long=long)],
    )
    yield (
        "memory for a frame of 7680 x 4320",
        lambda: [large_frame_memory(bench.client, flow=bench.large_flow)],
    )


def _precision(bench: Bench) -> Iterator[Measurement]:
    rounds = 1 if bench.is_quick else 3
    yield (
        "bfloat16 on a tile of 256 x 256",
        lambda: precisions(bench.local, flow=bench.flow, rounds=rounds),
    )


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "transport": _transport,
        "exact": _exact,
        "cost": _cost,
        "share": _share,
        "sequence": _sequence,
        "memory": _memory,
        "precision": _precision,
    }
)
"""The parts by the names that ``--only`` knows."""
