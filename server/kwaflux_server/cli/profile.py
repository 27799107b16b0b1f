"""``kwaflux profile``: judge the shots of a clip once, for every later render."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from kwaflux_core.errors import ImageUnreadable
from kwaflux_core.frames.sequence import Sequence
from kwaflux_core.frames.shot_profile import ShotProfile
from kwaflux_core.images.io import is_movie
from kwaflux_core.protocol.messages import RenderOptions, Submit
from kwaflux_core.settings.settings import load_server_settings, settings_file
from kwaflux_server.cli.console import OUT
from kwaflux_server.cli.options import with_render_options
from kwaflux_server.gateway.supervisor import WORKER_ENVIRON

__all__ = ["profile", "read_profile"]


@with_render_options
def profile(
    source: Annotated[
        str, typer.Argument(help="plate.####.exr, plate.%04d.exr, one picture, or a movie.")
    ],
    *,
    flow: Annotated[
        str, typer.Option(help="The flow whose effects are to judge, as it will be rendered.")
    ] = "denoise",
    frames: Annotated[
        str, typer.Option(help="The shots of these frames. Default: every shot.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Default: NAME.profile.json in the current folder."),
    ] = None,
    options: RenderOptions,
) -> int:
    """Judge the shots of a clip and write a profile, which enhance --profile uses.

    A shot is judged by five of its frames. The profile is JSON: look at it, change a number in it,
    and the change is what every frame is rendered with. Runs in this process, without a server.
    """
    os.environ.update({**WORKER_ENVIRON, **os.environ})
    from kwaflux_server.worker.embedded import embedded_options, judge_here

    file = (out or Path(f"{_title(source)}.profile.json")).absolute()
    # Frames are read as for results beside the profile.
    target = str(file.with_suffix(".####.exr"))
    submit = Submit(os.path.abspath(source), target, flow, frames, options)
    settings = load_server_settings(environ=os.environ, file=settings_file(os.environ), flags={})
    found = judge_here(submit, file=str(file), options=embedded_options(settings))
    for shot in found.shots:
        OUT.print(f"frames {shot.first} to {shot.last}", markup=False)
        for name, record in shot.effects.items():
            shown = (f"{key} {value}" for key, value in record.items() if _is_short(value))
            OUT.print(f"  {name}: {', '.join(shown)}", markup=False)
    if found.shots:
        OUT.print(f"Wrote {file}", markup=False)
    else:
        OUT.print("The flow judges nothing; no profile was written.")
    return 0


def read_profile(path: Path) -> ShotProfile:
    """Return the profile in a file.

    Raises:
        ImageUnreadable: The file cannot be read.
        RequestError: It is not a profile.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageUnreadable(
            f"the shot profile {path} cannot be read: {error}",
            hint="make one: kwaflux profile SOURCE --flow FLOW",
        ) from error
    return ShotProfile.parse(text)


def _is_short(value: object) -> bool:
    return not isinstance(value, (str, list, dict))


def _title(source: str) -> str:
    """Return the name of a clip; a movie's name is no pattern."""
    return Path(source).stem if is_movie(source) else Sequence.parse(source).title
