"""``kwaflux enhance``: render a flow over a sequence, a picture or a movie."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Annotated, Protocol

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from kwaflux_core.client.client import Client
from kwaflux_core.errors import KwafluxError
from kwaflux_core.protocol.messages import JobDone, JobEvent, RenderOptions, Submit
from kwaflux_core.settings.settings import load_server_settings, settings_file
from kwaflux_server.cli.console import OUT, say_error, say_json
from kwaflux_server.cli.options import AsJson, Endpoint, with_render_options
from kwaflux_server.cli.profile import read_profile
from kwaflux_server.gateway.supervisor import WORKER_ENVIRON
from kwaflux_server.launcher import ensure_server

__all__ = ["ALL_GOOD", "NOTHING_DONE", "SOME_NEED_ATTENTION", "enhance", "exit_status"]

ALL_GOOD, SOME_NEED_ATTENTION, NOTHING_DONE = 0, 1, 2
_NO_LIMIT_S = 365 * 86400.0


class _Job(Protocol):
    """A job under way, on a server or in this process."""

    @property
    def frames(self) -> tuple[int, ...]: ...

    def result(self) -> JobDone: ...

    def cancel(self) -> None: ...


@with_render_options
def enhance(
    source: Annotated[
        str, typer.Argument(help="plate.####.exr, plate.%04d.exr, one picture, or a movie.")
    ],
    target: Annotated[
        str, typer.Argument(help="The target: a sequence or one picture, not a movie.")
    ],
    *,
    flow: Annotated[
        str, typer.Option(help='Effects in order: "denoise(strength=0.6)", or a preset\'s name.')
    ],
    frames: Annotated[
        str, typer.Option(help="1001-1100x2, or a list. Default: every frame on disk.")
    ] = "",
    options: RenderOptions,
    profile: Annotated[
        Path | None,
        typer.Option(help="A shot profile to use, as kwaflux profile makes it. Default: judge."),
    ] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Render in this process, without a server.")
    ] = False,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> int:
    """Enhance a plate. Uses the running server, or starts one and leaves it running.

    Exit status: 0 all frames are good, 1 some need attention, 2 nothing was rendered.
    """
    _make_last_folder(target)
    submit = Submit(
        os.path.abspath(source),
        os.path.abspath(target),
        flow,
        frames,
        options,
        profile="" if profile is None else read_profile(profile).to_text(),
    )
    opened = _embedded(submit) if embedded else _served(submit, endpoint, as_json=as_json)
    good: list[int] = []
    with opened as (job, events), _cancelled_by_ctrl_c(job.cancel):
        show = _show_as_json if as_json else _show
        try:
            show(_noting_good(events, good), job)
        except KwafluxError as error:
            if not good:
                raise
            say_error(error)
            return SOME_NEED_ATTENTION
    return exit_status(job.result())


def _make_last_folder(target: str) -> None:
    """Make the target's folder, unless its parent is missing too: that is rather a typing error."""
    folder = Path(target).absolute().parent
    if not folder.exists() and folder.parent.is_dir():
        folder.mkdir()


def exit_status(done: JobDone) -> int:
    """Return the exit status of a job that ended."""
    if done.failed == done.cancelled == done.attention == 0:
        return ALL_GOOD
    return SOME_NEED_ATTENTION if done.done + done.skipped else NOTHING_DONE


def _noting_good(events: Iterator[JobEvent], good: list[int]) -> Iterator[JobEvent]:
    """Pass events on and count the good frames, for a job that is interrupted."""
    for event in events:
        if event.state in ("done", "skipped"):
            good.append(event.frame)
        yield event


@contextmanager
def _served(
    submit: Submit, endpoint: str | None, *, as_json: bool
) -> Iterator[tuple[_Job, Iterator[JobEvent]]]:
    if ensure_server(environ=os.environ, endpoint=endpoint) and not as_json:
        OUT.print("Started a server; it keeps running (kwaflux stop ends it).")
    with Client.connect(endpoint) as client:
        job = client.submit(
            submit.source,
            submit.target,
            flow=submit.flow,
            frames=submit.frames,
            options=submit.options,
            profile=submit.profile,
        )
        yield job, job.events(timeout_s=_NO_LIMIT_S)


@contextmanager
def _embedded(submit: Submit) -> Iterator[tuple[_Job, Iterator[JobEvent]]]:
    # torch is imported here, so that a client's command starts fast.
    os.environ.update({**WORKER_ENVIRON, **os.environ})
    from kwaflux_server.worker.embedded import EmbeddedJob, embedded_options

    settings = load_server_settings(environ=os.environ, file=settings_file(os.environ), flags={})
    job = EmbeddedJob(
        submit, options=embedded_options(settings), frames_in_flight=settings.frames_in_flight
    )
    yield job, job.events()


@contextmanager
def _cancelled_by_ctrl_c(cancel: Callable[[], None]) -> Iterator[None]:
    """Cancel the job at the first Ctrl+C and let its events run out; give up at the second."""

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, former)
        cancel()

    former = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _show(events: Iterator[JobEvent], job: _Job) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _FramesPerSecond(),
        TimeRemainingColumn(),
    )
    decided: dict[str, str] = {}
    measured: dict[str, list[float]] = {}
    reported: set[str] = set()
    with Progress(*columns, console=OUT) as progress:
        bar = progress.add_task("frames", total=len(job.frames))
        for event in events:
            if event.state == "started":
                continue
            progress.update(bar, completed=event.done)
            for text in _new_decisions(event, decided):
                progress.console.print(text, markup=False)
            for name, value in ({} if event.report is None else event.report.measured).items():
                if name.partition(".")[0] not in decided:
                    measured.setdefault(name, []).append(value)
            for text in _attention(event, reported=reported):
                progress.console.print(text, markup=False)
    if measured:
        OUT.print("Measured:", ", ".join(_span(*named) for named in measured.items()), markup=False)
    OUT.print(_summary(job.result()))


def _show_as_json(events: Iterator[JobEvent], job: _Job) -> None:
    say_json("accepted", frames=job.frames)
    for event in events:
        say_json("frame", **_without_none(event))
    done = job.result()
    names = ("done", "skipped", "failed", "cancelled", "attention")
    counts = {name: getattr(done, name) for name in names}
    say_json("done", **counts, exit_status=exit_status(done))


def _new_decisions(event: JobEvent, decided: dict[str, str]) -> list[str]:
    """Return what effects decided of a frame, where it is not what they decided of the one before.

    Args:
        event: The frame's event.
        decided: The last decision of each effect; it is brought up to date.
    """
    texts = []
    for text in () if event.report is None else event.report.decisions:
        effect = text.partition(":")[0]
        if decided.get(effect) != text:
            decided[effect] = text
            texts.append(f"frame {event.frame}, {text}")
    return texts


def _attention(event: JobEvent, *, reported: set[str]) -> list[str]:
    """Return the warnings and the error of a frame, as lines to print; empty for a good frame.

    Each warning is printed once, with the first frame that has it: a movie repeats its own with
    every frame.
    """
    report, texts = event.report, []
    if report is not None:
        texts += [
            f"frame {event.frame}: {text}" for text in report.warnings if text not in reported
        ]
        reported.update(report.warnings)
        texts += [f"frame {event.frame} needs attention: {reason}" for reason in report.attention]
    if event.error is not None:
        hint = f" ({event.error.hint})" if event.error.hint else ""
        texts.append(f"frame {event.frame} needs attention: {event.error.message}{hint}")
    receipt = None if report is None else report.receipt
    if receipt is not None and receipt.nan_count + receipt.inf_count:
        texts.append(
            f"frame {event.frame}: {receipt.nan_count} NaN and {receipt.inf_count} Inf passed "
            "through unchanged"
        )
    return texts


def _span(name: str, values: list[float]) -> str:
    """Return a measured value over all frames, as text: one number, or a range."""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return f"{name} {low}" if low == high else f"{name} {low} to {high}"


def _summary(done: JobDone) -> str:
    parts = [f"{done.done} done"]
    parts += [f"{done.skipped} kept"] if done.skipped else []
    needing = done.failed + done.attention
    parts += [f"{needing} need attention"] if needing else []
    parts += [f"{done.cancelled} cancelled"] if done.cancelled else []
    return ", ".join(parts)


def _without_none(event: JobEvent) -> dict[str, object]:
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    report = values.pop("report")
    if report is not None:
        values |= {field.name: getattr(report, field.name) for field in fields(report)}
        del values["provenance"]  # read from the file
    return {name: value for name, value in values.items() if value not in (None, "", (), {})}


class _FramesPerSecond(ProgressColumn):
    """Show the speed in frames per second."""

    def render(self, task: Task) -> Text:
        """Return the column's text."""
        return Text("" if task.speed is None else f"{task.speed:.2f} frames/s")
