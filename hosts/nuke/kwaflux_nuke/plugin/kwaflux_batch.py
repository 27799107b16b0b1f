"""Enhance a node's frames without windows: nuke -t kwaflux_batch.py SCRIPT.nk --node X --range R.

The script is never saved. Exit status: 0 all good, 1 some need attention, 2 nothing could be done.
"""

import argparse
import os
import sys
from typing import Any

import nuke


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nuke -t kwaflux_batch.py")
    parser.add_argument("script")
    parser.add_argument("--node", required=True, help="the Kwaflux node's full name")
    parser.add_argument("--range", default="", help="1001-1100x2; none: the node's own range")
    parser.add_argument("--views", default="", help="left,right; none: the node's own")
    parser.add_argument("--redo", action="store_true", help="also frames that are up to date")
    # Nuke takes a frame range at the end for itself; rawArgs has what was typed.
    words = list(nuke.rawArgs)
    at = [i for i, word in enumerate(words) if os.path.basename(word) == "kwaflux_batch.py"]
    return parser.parse_args(words[at[0] + 1 :] if at else sys.argv[1:])


def _main(asked: argparse.Namespace) -> int:
    from kwaflux_core.errors import HostError, KwafluxError
    from kwaflux_core.frames.frame_range import FrameRange
    from kwaflux_nuke.enhance import Enhancement

    nuke.scriptOpen(asked.script)
    group: Any = nuke.toNode(asked.node)
    try:
        if group is None or group.knob("kw_panel") is None:
            raise HostError(f"{asked.script} has no Kwaflux node {asked.node}")
        group["kw_views"].setValue(asked.views or group["kw_views"].value())
        frames = FrameRange.parse(asked.range).frames if asked.range else ()
        found = Enhancement(group, frames=frames, is_redone=asked.redo)
    except KwafluxError as error:
        nuke.tprint(str(error))
        return 2
    found.start()
    nuke.tprint(found.work.summary())
    return found.work.exit_status


if __name__ == "__main__":
    sys.exit(_main(_arguments()))
