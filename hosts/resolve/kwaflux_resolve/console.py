"""The same without a window: from Resolve's console, from a shell, under ``-nogui``.

Owns the command line and the choice between window and console. Must not know how anything is done.

    python -m kwaflux_resolve.console --flow "denoise(strength=0.6)" --mode take
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_core.hosting import link
from kwaflux_core.hosting.panel import Panel
from kwaflux_resolve.back import MODES, made_in, revert
from kwaflux_resolve.host import Host, find_host
from kwaflux_resolve.shots import Wish, enhance

__all__ = ["main", "menu"]

_TICK_S = 0.1


def menu(names: Mapping[str, object]) -> None:
    """Run from Workspace > Scripts: the window, or what is said instead of it.

    Args:
        names: The script's global names: Resolve puts ``resolve``, ``fusion`` and ``bmd`` there.
    """
    try:
        host = find_host(names, say=_say)
        makers = host.window_makers()
        if makers is None:
            _say("There is no window here; in the console: from kwaflux_resolve.console import "
                 "main; main(['--flow', 'denoise'], names=globals())")  # fmt: skip
            return
        from kwaflux_resolve.dialog import Dialog

        Dialog(host, _panel(), makers=makers).run()
    except KwafluxError as error:
        _say(str(error))


def main(
    arguments: Sequence[str] | None = None, *, names: Mapping[str, object] | None = None
) -> int:
    """Run from a command line; return 0 when all went well, 1 when not.

    Args:
        arguments: What was typed; None: this process's own.
        names: As in ``menu``; None: Resolve is reached from outside.
    """
    asked = _parser().parse_args(arguments)
    try:
        host = find_host(names, say=_say)
        if asked.revert is not None:
            _revert(host, asked.revert)
        elif asked.flow is None:
            _list(host)
        else:
            _run(host, Wish(flow=asked.flow, mode=asked.mode, is_graded=asked.graded,
                            handles=asked.handles, colorspace=asked.colorspace,
                            folder=asked.out))  # fmt: skip
    except KwafluxError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("Cancelled; nothing was brought back")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kwaflux_resolve", description="Enhance the selected clips.")
    parser.add_argument("--flow", help="the effects; without it: what there is")
    parser.add_argument("--mode", choices=list(MODES), default="take", help="how it comes back")
    parser.add_argument("--graded", action="store_true", help="the graded composite, on a track")
    parser.add_argument("--handles", type=int, default=0, help="frames more on both sides")
    parser.add_argument("--colorspace", default="", help="what the numbers mean, as OCIO names it")
    parser.add_argument("--out", default="", help="where results are kept; else beside the media")
    parser.add_argument("--revert", nargs="?", const="", metavar="JOB",
                        help="undo a job; without its id, the last on the timeline")  # fmt: skip
    return parser


def _run(host: Host, wish: Wish) -> None:
    steps, last = enhance(host, wish), ""
    try:
        for said in steps:
            if said != last:
                _say(said)
            last = said
            time.sleep(_TICK_S)
    finally:
        steps.close()


def _revert(host: Host, job: str) -> None:
    made = [one for one in made_in(host.timeline) if job in ("", one.job)]
    if not made:
        raise HostError(f"nothing of {job or 'Kwaflux'} is on this timeline", hint="open its own")
    revert(host, made[-1])
    _say(f"{made[-1].job} is reverted; its files stay")


def _list(host: Host) -> None:
    for choice in _panel().choices:
        _say(f"{choice.id:24} {choice.label}")
    for one in made_in(host.timeline):
        _say(f"{one.job}: a {one.mode} on this timeline")


def _panel() -> Panel:
    with link.connect(say=_say, name="resolve") as client:
        return Panel.from_server(client)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the console is where Resolve shows what a script says


if __name__ == "__main__":
    sys.exit(main())
