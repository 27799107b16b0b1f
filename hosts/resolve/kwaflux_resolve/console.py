"""The same without a window: from Resolve's console, from a shell, under ``-nogui``.

Owns the command line and the choice between window and console. Must not know how anything is done.

    python -m kwaflux_resolve.console --flow "denoise(strength=0.6)" --mode take
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_core.hosting import link
from kwaflux_core.hosting.follow import drained
from kwaflux_core.hosting.layout import add_wheels
from kwaflux_core.hosting.panel import Panel
from kwaflux_resolve.back import made_in, revert
from kwaflux_resolve.check import check_road
from kwaflux_resolve.host import Host, find_host
from kwaflux_resolve.shots import ASKED, Wish, enhance

__all__ = ["main", "menu"]

_NO_WINDOW = (
    "There is no window here. In the console: from kwaflux_resolve.console import main; "
    "main(['--flow', 'denoise'], names=globals())"
)


def menu(names: Mapping[str, object]) -> None:
    """Run from Workspace > Scripts: the window, or what is said instead of it.

    Args:
        names: The script's global names: Resolve puts ``resolve``, ``fusion`` and ``bmd`` there.
    """
    add_wheels()
    try:
        host = find_host(names, say=_say)
        makers = host.window_makers()
        if makers is None:
            _say(_NO_WINDOW)
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
    parser = argparse.ArgumentParser("kwaflux_resolve", description="Enhance the selected clips.")
    parser.add_argument("--flow", help="the effects; without it: what there is")
    parser.add_argument(
        "--revert", nargs="?", const="", metavar="JOB", help="undo a job or the last"
    )
    parser.add_argument("--check", action="store_true", help="send a chart down the whole road")
    for control in ASKED:
        how: dict[str, object] = {"dest": control.name, "help": control.help}
        if control.kind == "boolean":
            how["action"] = "store_true"
        else:
            how |= {"default": control.default, "choices": control.choices or None}
            how["type"] = int if control.kind == "int" else str
        parser.add_argument(f"--{control.name.removeprefix('is_')}", **how)  # type: ignore[arg-type]
    asked = parser.parse_args(arguments)
    add_wheels()
    try:
        is_good = _done(find_host(names, say=_say), asked)
    except KwafluxError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("Cancelled; nothing was brought back")
        return 1
    return 0 if is_good else 1


def _done(host: Host, asked: argparse.Namespace) -> bool:
    if asked.check:
        return drained(check_road(host), say=_say)
    if asked.revert is not None:
        made = [one for one in made_in(host.timeline) if asked.revert in ("", one.job)]
        if not made:
            what = asked.revert or "Kwaflux"
            raise HostError(f"nothing of {what} is on this timeline", hint="open its own")
        revert(host, made[-1])
        _say(f"{made[-1].job} is reverted; its files stay")
        return True
    if asked.flow is not None:
        drained(enhance(host, Wish.of(asked.flow, vars(asked))), say=_say)
        return True
    for choice in _panel().choices:
        _say(f"{choice.id:24} {choice.label}")
    for one in made_in(host.timeline):
        _say(f"{one.job}: a {one.mode} on this timeline")
    return True


def _panel() -> Panel:
    with link.connect(say=_say, name="resolve") as client:
        return Panel.from_server(client)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the console is where Resolve shows what a script says


if __name__ == "__main__":
    sys.exit(main())
