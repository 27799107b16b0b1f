"""The command line of a timeline host."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_hosting.panel.controls import Control
from kwaflux_hosting.timeline_host.task_runner import run_task
from kwaflux_hosting.timeline_host.timeline_host import TimelineHost

__all__ = ["add_options", "run_command"]


def run_command(
    find_host: Callable[[], TimelineHost],
    arguments: Sequence[str] | None,
    *,
    asked: Iterable[Control],
    say: Callable[[str], None],
) -> int:
    """Run a command; return 0 on success, 1 on failure.

    Args:
        find_host: Finds the host; called once the options are valid.
        arguments: The command line; None: this process's own.
        asked: The controls beside the effects'.
        say: Gets each message.
    """
    parser = argparse.ArgumentParser("kwaflux", description="Enhance the selected clips.")
    parser.add_argument("--flow", help="the effects; without it, effects and results are listed")
    parser.add_argument(
        "--revert", nargs="?", const="", metavar="JOB", help="revert a job, or the last one"
    )
    parser.add_argument("--check", action="store_true", help="run the round trip check")
    add_options(parser, asked)
    typed = parser.parse_args(arguments)
    try:
        return 0 if _done(find_host(), typed, say=say) else 1
    except KwafluxError as error:
        say(str(error))
    except KeyboardInterrupt:
        say("Cancelled; nothing was imported")
    return 1


def add_options(parser: argparse.ArgumentParser, controls: Iterable[Control]) -> None:
    """Add an option for each control; that of a check box ``is_graded`` is ``--graded``."""
    for control in controls:
        option = f"--{control.name.removeprefix('is_')}"
        if control.kind == "boolean":
            parser.add_argument(option, dest=control.name, help=control.help, action="store_true")
            continue
        parser.add_argument(
            option,
            dest=control.name,
            help=control.help,
            default=control.default,
            choices=control.choices or None,
            type={"int": int, "double": float}.get(control.kind, str),
        )


def _done(host: TimelineHost, typed: argparse.Namespace, *, say: Callable[[str], None]) -> bool:
    if typed.check:
        return run_task(host.check(), say=say)
    if typed.revert is not None:
        made = [one for one in host.made() if typed.revert in ("", one.job)]
        if not made:
            what = f"result of {typed.revert or 'Kwaflux'}"
            raise HostError(f"no {what} is on this timeline", hint="open the timeline with it")
        host.revert(made[-1])
        say(f"{made[-1].job} is reverted; its files remain")
    elif typed.flow is not None:
        run_task(host.enhance(typed.flow, vars(typed)), say=say)
    else:
        for choice in host.panel().choices:
            say(f"{choice.id:24} {choice.label}")
        for one in host.made():
            say(f"{one.job}: a {one.mode} on this timeline")
    return True
