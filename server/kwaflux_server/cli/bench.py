"""``kwaflux bench``: measure speed, memory and exactness on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from kwaflux_core.errors import RequestError
from kwaflux_server.bench.rows import Row, Taken, timed
from kwaflux_server.cli.console import OUT, say_json
from kwaflux_server.cli.options import AsJson
from kwaflux_server.gateway.supervisor import WORKER_ENVIRON

__all__ = ["bench"]

_FLOW = "denoise(noise=0.04)"
"""Its noise is told, for frames that are copies of each other are judged to have none."""
_LARGE_FLOW = "expand"
"""For a frame so large that denoising it would take minutes."""


def bench(
    *,
    only: Annotated[
        str,
        typer.Option(
            help="transport, exact, cost, share, sequence, memory or precision. Default: all."
        ),
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Smaller frames, fewer rounds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure speed, memory and exactness, as ratios within one run.

    Takes up to ten minutes, with --quick up to two: frames are made as large as this machine can
    render in the time.
    """
    # torch is imported here, so that other commands start fast.
    os.environ.update({**WORKER_ENVIRON, **os.environ})
    from kwaflux_server.bench.parts import PARTS, Bench

    if only and only not in PARTS:
        raise RequestError(f"--only {only!r}", hint=f"choose one of: {', '.join(PARTS)}")
    table = Table("what", "measured", "at most", "", "how", box=None, pad_edge=False)
    with Bench.started(os.environ, flow=_FLOW, large_flow=_LARGE_FLOW, is_quick=quick) as bench:
        for name, measure in PARTS.items():
            if only not in ("", name):
                continue
            for what, rows in measure(bench):
                if not as_json:
                    OUT.print(f"{name}: {what} ...", markup=False, highlight=False)
                found, taken = _measured(rows, cpu=bench.cpu)
                for row in found:
                    if as_json:
                        say_json("bench", row=row, is_kept=row.is_kept, taken=taken)
                    table.add_row(*_cells(row))
                if not as_json:
                    OUT.print(f"    took {taken}", markup=False, highlight=False)
    if not as_json:
        OUT.print(table)


def _measured(
    rows: Callable[[], list[Row]], *, cpu: Callable[[], float]
) -> tuple[list[Row], Taken]:
    """Return the rows of a measurement, and what it took."""
    found: list[Row] = []
    taken = timed(lambda: found.extend(rows()), cpu=cpu)
    return found, taken


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    limit = "" if row.limit is None else f"{row.limit:g} {row.unit}"
    verdict = {None: "", True: "kept", False: "MISSED"}[row.is_kept]
    return row.name, f"{row.value:.3g} {row.unit}", limit, verdict, row.detail
