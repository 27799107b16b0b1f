"""``kwaflux bench``: measure speed, memory and exactness on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.table import Table

from kwaflux_core.errors import RequestError
from kwaflux_server.bench.rows import Row
from kwaflux_server.cli.console import OUT, say_json
from kwaflux_server.cli.options import AsJson
from kwaflux_server.gateway.supervisor import WORKER_ENVIRON

__all__ = ["bench"]

_FLOW = "denoise"


def bench(
    *,
    only: Annotated[
        str,
        typer.Option(help="transport, exact, share, sequence, memory or precision. Default: all."),
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer frames and rounds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure speed, memory and exactness, as ratios within one run. Takes some minutes."""
    # torch is imported here, so that other commands start fast.
    os.environ.update({**WORKER_ENVIRON, **os.environ})
    from kwaflux_models.rendering.local_renderer import LocalRenderer
    from kwaflux_server.bench.exactness import exactness
    from kwaflux_server.bench.fixtures import private_server
    from kwaflux_server.bench.precision import precisions
    from kwaflux_server.bench.sequence_length import memory, pipelining
    from kwaflux_server.bench.transport import four_k_by_shm, server_share, small_round_trip

    count = 10 if quick else 50
    local = LocalRenderer.on_cpu()
    with private_server(os.environ) as client:
        parts: dict[str, Callable[[], list[Row]]] = {
            "transport": lambda: [four_k_by_shm(client), small_round_trip(client)],
            "exact": lambda: exactness(local, flow=_FLOW),
            "share": lambda: server_share(client, local, flow=_FLOW, rounds=3 if quick else 7),
            "sequence": lambda: [
                pipelining(client, local, flow=_FLOW, frame_count=count, compression=compression)
                for compression in ("none", "zip")
            ],
            "memory": lambda: memory(client, flow=_FLOW, short=20, long=40 if quick else 200),
            "precision": lambda: precisions(local, flow=_FLOW),
        }
        if only and only not in parts:
            raise RequestError(f"--only {only!r}", hint=f"choose one of: {', '.join(parts)}")
        table = Table("what", "measured", "at most", "", "how", box=None, pad_edge=False)
        for name, measure in parts.items():
            if only not in ("", name):
                continue
            with nullcontext() if as_json else OUT.status(f"measuring: {name}"):
                rows = measure()
            for row in rows:
                if as_json:
                    say_json("bench", row=row, is_kept=row.is_kept)
                table.add_row(*_cells(row))
    if not as_json:
        OUT.print(table)


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    limit = "" if row.limit is None else f"{row.limit:g} {row.unit}"
    verdict = {None: "", True: "kept", False: "MISSED"}[row.is_kept]
    return row.name, f"{row.value:.3g} {row.unit}", limit, verdict, row.detail
