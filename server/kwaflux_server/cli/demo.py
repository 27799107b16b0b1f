"""``kwaflux demo``: degrade a plate, enhance it on this machine, and score the result."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kwaflux_core.errors import RequestError
from kwaflux_server.cli.console import OUT, say_json
from kwaflux_server.cli.options import AsJson, Endpoint

if TYPE_CHECKING:
    from kwaflux_server.demo.enhance_run import ProgressListener

__all__ = ["demo"]


def demo(
    *,
    out: Annotated[Path, typer.Option(help="The output folder.")] = Path("demo"),
    flow: Annotated[
        str, typer.Option(help='Effects in order, of scale 1: "denoise(strength=0.6)".')
    ] = "decompress | denoise | deband",
    count: Annotated[int, typer.Option(min=1, max=240, help="How many frames to film.")] = 16,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> int:
    """Make a degraded plate, enhance it through a real server, and show before and after.

    Films a photograph with a moving camera, adds a sensor's noise and a codec at a low bitrate,
    and scores the result against the clean frames. Uses the running server, or starts one and
    stops it at the end.

    Exit status: 0 all frames are good, 1 some need attention, 2 nothing was rendered.
    """
    # Imported here, because only this command needs the extra.
    try:
        from kwaflux_server.demo.report import as_fields, as_table
        from kwaflux_server.demo.run import run_demo
    except ImportError as error:
        raise RequestError(
            f"the demo needs {error.name}, which is not installed",
            hint='install it with: pip install "kwaflux[train]"',
        ) from error
    with _progress_listener(as_json=as_json) as progress:
        report = run_demo(
            out,
            progress=progress,
            environ=os.environ,
            endpoint=endpoint,
            flow=flow,
            frames=count,
        )
    if as_json:
        say_json("demo", **as_fields(report))
    else:
        OUT.print()
        OUT.print(as_table(report))
    return report.exit_status


def _progress_listener(*, as_json: bool) -> AbstractContextManager[ProgressListener]:
    return nullcontext(_Silent()) if as_json else _Bars()


class _Silent:
    """Report no progress."""

    def begin(self, what: str, *, steps: int) -> None:
        """Do nothing."""

    def step(self) -> None:
        """Do nothing."""


class _Bars:
    """Show a progress bar for each stage."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description:<32}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=OUT)
        self._task = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, what: str, *, steps: int) -> None:
        """Add a bar."""
        self._task = self._progress.add_task(what, total=steps)

    def step(self) -> None:
        """Move the newest bar."""
        self._progress.advance(self._task)
