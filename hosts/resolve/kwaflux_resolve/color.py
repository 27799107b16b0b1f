"""What the numbers of a clip mean, as far as Resolve tells: captured, and put back.

Owns the reading and the writing; ``kwaflux_core.hosting.clip_color`` names what was read, by the
table ``colorspaces.json`` (Resolve's names, and OCIO's). An EXR out of Resolve is not linear by
itself: it carries what the timeline makes of the clip.
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kwaflux_core.errors import HostError
from kwaflux_core.hosting.clip_color import ClipColor, is_camera_raw, said_or
from kwaflux_core.hosting.read_back import not_taken, refused, text_of

if TYPE_CHECKING:
    from kwaflux_resolve.api import MediaPoolItem, Project, Timeline

__all__ = ["Color", "capture"]

_REAPPLIED = ("Input Color Space", "IDT")
_LEVEL = "Data Level"


@dataclass(frozen=True, slots=True, kw_only=True)
class Color(ClipColor):
    """Hold what Resolve says of a clip's color.

    Args:
        science: The timeline's color science.
        own: The clip's own properties that say what it is, to be put back.
        level: The clip's data level.
    """

    science: str
    own: dict[str, str]
    level: str

    def keep_numbers(self, timeline: Timeline) -> None:
        """Set a temporary timeline so that its render carries the clip's own numbers.

        Raises:
            HostError: Resolve takes none of the ways there are.
        """
        ways = [{"colorScienceMode": "davinciYRGB"}]
        if self.science.startswith("davinciYRGBColorManaged") and "/" not in self.source:
            spaces = {"colorSpaceTimeline": self.source, "colorSpaceOutput": self.source}
            ways.append({**spaces, "colorSpaceOutputToneMapping": "None"})
        write, read = timeline.SetSetting, timeline.GetSetting
        if self.is_managed and all(not_taken(way, write=write, read=read) for way in ways):
            raise HostError(
                f"this project ({self.science}) would convert the clip to {self.output} on its way "
                "out, and Resolve did not let a temporary timeline leave that out",
                hint="enhance it in a project of DaVinci YRGB, or choose the graded composite",
            )

    def put_on(self, clip: MediaPoolItem, *, level: str = "") -> None:
        """Say of a clip what was said of the source, and read it back.

        Rendered frames are of full range whatever the source was; ``level`` says otherwise.

        Raises:
            HostError: Resolve did not take it.
        """
        wanted = {name: (value,) for name, value in self.own.items()}
        levels = {_LEVEL: (level,) if level else ("Full", "Auto")}
        asked = {**wanted, **levels}
        for name in refused(asked, write=clip.SetClipProperty, read=clip.GetClipProperty):
            if self.is_managed or name == _LEVEL:
                raise HostError(
                    f"Resolve did not take {name} = {asked[name][0]} for the result",
                    hint="it would be shown in the wrong colors, so it was not brought back",
                )


def capture(clip: MediaPoolItem, *, project: Project, timeline: Timeline) -> Color:
    """Return what Resolve says of a clip's color on a timeline.

    Raises:
        HostError: A color science that is not known.
    """

    def setting(name: str) -> str:
        return text_of(timeline.GetSetting(name)) or text_of(project.GetSetting(name))

    def space(name: str) -> str:
        gamma = setting(f"{name}Gamma") if setting("separateColorSpaceAndGamma") == "1" else ""
        return f"{setting(name)}/{gamma}" if gamma else setting(name)

    science = setting("colorScienceMode")
    is_aces = science.lower().startswith("aces")
    if not (is_aces or science.startswith("davinciYRGB")):
        raise HostError(f"the color science {science!r} is not known", hint="use DaVinci YRGB")
    own = {name: text_of(clip.GetClipProperty(name)) for name in _REAPPLIED}
    source = own["IDT" if is_aces else "Input Color Space"]
    default = setting("colorAcesIDT") if is_aces else space("colorSpaceInput")
    output = setting("colorAcesODT") if is_aces else space("colorSpaceOutput")
    table = importlib.resources.files(__package__).joinpath("colorspaces.json")
    return Color(
        is_managed=science != "davinciYRGB",
        source=said_or(source, default),
        output=output and said_or(output, space("colorSpaceTimeline")),
        tone_mapping=f"ACES, {output}" if is_aces else setting("colorSpaceOutputToneMapping"),
        is_raw=is_camera_raw(text_of(clip.GetClipProperty("File Path"))),
        names=json.loads(table.read_text(encoding="utf-8")),
        science=science,
        own={name: value for name, value in own.items() if value},
        level=text_of(clip.GetClipProperty(_LEVEL)),
    )
