"""The way in: from Resolve's menu, and the same without a window, from its console or a shell.

Owns the choice between window and console. Must not know how anything is done.

    python -m kwaflux_resolve.console --flow "denoise(strength=0.6)" --mode take
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from kwaflux_core.errors import KwafluxError
from kwaflux_core.hosting.command_line import run_command
from kwaflux_core.hosting.layout import add_wheels
from kwaflux_resolve.host import find_host
from kwaflux_resolve.shots import ASKED, ResolveDesk

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
    try:
        desk = _desk(names)
        makers = desk.host.window_makers()
        if makers is None:
            _say(_NO_WINDOW)
            return
        from kwaflux_resolve.dialog import Dialog

        Dialog(desk, desk.panel(), makers=makers).run()
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
    asked = ASKED.controls
    program = "kwaflux_resolve"
    return run_command(lambda: _desk(names), arguments, program=program, asked=asked, say=_say)


def _desk(names: Mapping[str, object] | None) -> ResolveDesk:
    add_wheels()
    return ResolveDesk(find_host(names, say=_say))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the console is where Resolve shows what a script says


if __name__ == "__main__":
    sys.exit(main())
