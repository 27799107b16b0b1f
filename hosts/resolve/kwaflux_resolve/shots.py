"""One wish, clip by clip: out, enhanced, back.

Owns the order of things and where results lie. Must not know dialogs or consoles: ``enhance`` is a
generator that yields sentences, so that whoever waits can draw, and can close it to cancel.
"""

from __future__ import annotations

import importlib.resources
import os
import secrets
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_core.flow import Flow
from kwaflux_core.hosting.follow import followed, told
from kwaflux_core.hosting.hop import HopFolder, frames_text, slashed
from kwaflux_core.hosting.panel import Panel
from kwaflux_core.hosting.record import Order
from kwaflux_core.hosting.work import Work
from kwaflux_resolve.back import Made, Mode, bring_back
from kwaflux_resolve.clips import Shot, chosen_items, look
from kwaflux_resolve.color import capture
from kwaflux_resolve.host import Host
from kwaflux_resolve.render import Plates, render_composite, render_source

if TYPE_CHECKING:
    from kwaflux_core.hosting.work import OpenClient
    from kwaflux_resolve.api import Timeline

__all__ = ["ASKED", "Wish", "enhance"]

_DONE = "brought_back.json"


_TEXT = importlib.resources.files(__package__).joinpath("asked.json").read_text(encoding="utf-8")
ASKED = Panel.from_json(_TEXT).choice("Resolve").controls
"""What a person is asked beside the effect: rows of the window, options of the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Hold what a person asks for: the effects, and what ``ASKED`` says of the others."""

    flow: str
    mode: Mode = "take"
    is_graded: bool = False
    handles: int = 0
    colorspace: str = ""
    folder: str = ""

    @classmethod
    def of(cls, flow: str, values: Mapping[str, object]) -> Wish:
        """Return the wish of values that were asked for, each checked."""
        checked = {control.name: control.checked(values[control.name]) for control in ASKED}
        return cls(flow=flow, **checked)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        Flow.parse(self.flow)
        if self.is_graded and self.mode != "track":
            raise HostError(
                "a graded picture that comes back into the clip would be graded twice",
                hint="choose a new track for it, or the clip's own frames",
            )


def enhance(
    host: Host, wish: Wish, *, open_client: OpenClient | None = None
) -> Generator[str, None, list[Made]]:
    """Enhance the chosen clips; a clip that is refused or fails does not end the others.

    Raises:
        HostError: No clip could be enhanced; the message says why.
    """
    made: list[Made] = []
    problems: list[str] = []
    home = host.timeline  # a person may open another one while the server works
    for item in chosen_items(host):
        try:
            shot = look(item, timeline=home)
            made.append((yield from _one(host, shot, wish, home=home, open_client=open_client)))
            yield f"{shot.media.name}: brought back as a {wish.mode}, and found again after a save"
        except KwafluxError as error:
            problems.append(str(error))
            host.say(str(error))
    if problems and not made:
        raise HostError("; ".join(problems), hint="nothing was changed")
    return made


def _one(
    host: Host, shot: Shot, wish: Wish, *, home: Timeline, open_client: OpenClient | None
) -> Generator[str, None, Made]:
    if os.path.exists(os.path.join(os.path.dirname(shot.media.path), _DONE)):
        raise HostError(
            f"{shot.media.name} is itself a result of Kwaflux",
            hint="show the original take, or revert it, so that nothing is enhanced twice",
        )
    color = capture(shot.media.clip, project=host.project, timeline=home)
    name = color.of_composite if wish.is_graded else color.of_source
    order = Order(flow=wish.flow, colorspace=name(wish.colorspace))
    folder, stem = _results(shot, wish)
    with HopFolder.make(beside=os.path.dirname(folder)) as hop:
        frames = f"{hop.path}/plates"
        os.mkdir(frames)
        with host.kept():
            host.project.SetCurrentTimeline(home)
            rendering = (
                render_composite(host, shot, folder=frames)
                if wish.is_graded
                else render_source(
                    host,
                    shot,
                    color=color,
                    folder=frames,
                    handles=wish.handles,
                    is_whole=wish.mode == "replace",
                )
            )
            plates = yield from told(rendering, what=f"{shot.media.name}: Resolve renders")
        target = f"{folder}/{stem}.%04d.exr"
        numbers = range(plates.first, plates.last + 1)
        work = Work(
            order,
            source=plates.pattern,
            target=target,
            frames=numbers,
            open_client=open_client,
            name="resolve",
        )
        done = yield from followed(work, what=shot.media.name)
    if odd := done.in_state("attention"):
        host.say(f"{shot.media.name}: look at {frames_text(odd)}: {done.frames[odd[0]].reason}")
    results = Plates(pattern=target, first=plates.first, last=plates.last, used=plates.used)
    job = time.strftime("kw%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    with host.kept():
        host.project.SetCurrentTimeline(home)
        made = bring_back(
            host, shot, color=color, mode=wish.mode, job=job, results=results, note=wish.flow
        )
    with open(f"{folder}/{_DONE}", "w", encoding="utf-8") as file:
        file.write(made.data)
    return made


def _results(shot: Shot, wish: Wish) -> tuple[str, str]:
    """Return the folder of the results and the name of its files: the first version not in use.

    A version that was not brought back, for it failed or was cancelled, is used again.
    """
    stem = os.path.splitext(shot.media.name)[0].partition("[")[0].rstrip("._- ") or "clip"
    root = wish.folder or os.path.join(os.path.dirname(shot.media.path), "kwaflux")
    version = 1
    while os.path.exists(os.path.join(root, stem, f"v{version:03d}", _DONE)):
        version += 1
    return slashed(os.path.join(root, stem, f"v{version:03d}")), f"{stem}_v{version:03d}"
