"""The command line of a timeline host."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_hosting.panel.controls import Control
from kwaflux_hosting.timeline_host.step_generators import drained
from kwaflux_hosting.timeline_host.timeline_host import TimelineHost

__all__ = ["add_options", "run_command"]


def run_command(
    find_desk: Callable[[], TimelineHost],
    arguments: Sequence[str] | None,
    *,
    asked: Iterable[Control],
    say: Callable[[str], None],
) -> int:
    """Do what was typed; return 0 when all went well, 1 when not.

    Args:
        find_desk: Finds the host, once the options were understood.
        arguments: What was typed; None: this process's own.
        asked: What is asked beside the effects.
        say: Gets each sentence.
    """
    parser = argparse.ArgumentParser("kwaflux", description="Enhance the selected clips.")
    parser.add_argument("--flow", help="the effects; without it: what there is")
    parser.add_argument(
        "--revert", nargs="?", const="", metavar="JOB", help="undo a job or the last"
    )
    parser.add_argument("--check", action="store_true", help="send a chart down the whole road")
    add_options(parser, asked)
    typed = parser.parse_args(arguments)
    try:
        return 0 if _done(find_desk(), typed, say=say) else 1
    except KwafluxError as error:
        say(str(error))
    except KeyboardInterrupt:
        say("Cancelled; nothing was brought back")
    return 1


def add_options(parser: argparse.ArgumentParser, controls: Iterable[Control]) -> None:
    """Give a parser an option for each control: a tick ``is_graded`` is ``--graded``."""
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


def _done(desk: TimelineHost, typed: argparse.Namespace, *, say: Callable[[str], None]) -> bool:
    if typed.check:
        return drained(desk.check(), say=say)
    if typed.revert is not None:
        made = [one for one in desk.made() if typed.revert in ("", one.job)]
        if not made:
            what = typed.revert or "Kwaflux"
            raise HostError(f"nothing of {what} is on this timeline", hint="open its own")
        desk.revert(made[-1])
        say(f"{made[-1].job} is reverted; its files stay")
    elif typed.flow is not None:
        drained(desk.enhance(typed.flow, vars(typed)), say=say)
    else:
        for choice in desk.panel().choices:
            say(f"{choice.id:24} {choice.label}")
        for one in desk.made():
            say(f"{one.job}: a {one.mode} on this timeline")
    return True
