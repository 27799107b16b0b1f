"""What the numbers of a clip mean, as far as Resolve tells: captured, named, put back.

Owns the names (``colorspaces.json``: Resolve's under OCIO's) and every refusal. An EXR out of
Resolve is not linear by itself: it carries what the timeline makes of the clip. So nothing is ever
guessed: a space is in the table, or a person names it, or the clip is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from kwaflux_core.errors import HostError, UnknownColorspace
from kwaflux_resolve.host import text_of

if TYPE_CHECKING:
    from kwaflux_resolve.api import MediaPoolItem, Project, Timeline

__all__ = ["Color", "capture"]

_TABLE = "colorspaces.json"
_RAW = {".ari", ".arx", ".braw", ".cine", ".crm", ".dng", ".nef", ".r3d", ".rmf"}
_AS_PROJECT = {"", "project", "projectsetting", "sameasproject"}
_REAPPLIED = ("Input Color Space", "IDT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Color:
    """Hold what Resolve says of a clip's color, in its own words.

    Args:
        science: The timeline's color science.
        source: The clip's input space, the project's where the clip has none of its own.
        timeline: The timeline's working space.
        output: What a render of the timeline carries.
        tone_mapping: How the output transform squeezes highlights.
        own: The clip's own properties that say so, to be put back.
        level: The clip's data level.
        is_raw: Whether decoding a camera's raw file decides on the space.
    """

    science: str
    source: str
    timeline: str
    output: str
    tone_mapping: str
    own: tuple[tuple[str, str], ...]
    level: str
    is_raw: bool

    @property
    def is_managed(self) -> bool:
        """Whether Resolve converts between the clip and what is rendered."""
        return self.science != "davinciYRGB"

    def of_source(self, asked: str) -> str:
        """Return the OCIO name of the clip's own numbers.

        Args:
            asked: What a person says they are; empty: what Resolve says.

        Raises:
            UnknownColorspace: Nothing says it.
        """
        if asked:
            return asked
        if self.is_raw:
            raise _unnamed("a camera's raw file is decoded by its own settings, not by a name")
        if not self.is_managed:
            raise _unnamed("this project is not color managed, so nothing says what its clips are")
        return _named(self.source)

    def of_composite(self, asked: str) -> str:
        """Return the OCIO name of what the timeline renders.

        Raises:
            UnknownColorspace: Nothing says it, or highlights were squeezed on the way.
        """
        if asked:
            return asked
        if not self.is_managed:
            raise _unnamed("this project is not color managed, so nothing says what it renders")
        if self.tone_mapping.lower() not in ("", "none"):
            raise _unnamed(f"the output is tone mapped ({self.tone_mapping}) to {self.output}")
        return _named(self.output)

    def keep_numbers(self, timeline: Timeline) -> None:
        """Set a temporary timeline so that its render carries the clip's own numbers.

        What is set is read back: Resolve refuses some color settings and says nothing.

        Raises:
            HostError: Resolve takes none of the ways there are.
        """
        ways: list[dict[str, str]] = [{"colorScienceMode": "davinciYRGB"}]
        if self.science.startswith("davinciYRGBColorManaged") and "/" not in self.source:
            spaces = {"colorSpaceTimeline": self.source, "colorSpaceOutput": self.source}
            ways.append({**spaces, "colorSpaceOutputToneMapping": "None"})
        for way in ways if self.is_managed else []:
            for name, value in way.items():
                timeline.SetSetting(name, value)
            if all(text_of(timeline.GetSetting(name)) == value for name, value in way.items()):
                return
        if self.is_managed:
            raise HostError(
                f"this project ({self.science}) would convert the clip to {self.output} on its way "
                "out, and Resolve did not let a temporary timeline leave that out",
                hint="enhance it in a project of DaVinci YRGB, or choose the graded composite",
            )

    def put_on(self, clip: MediaPoolItem, *, is_original: bool = False) -> None:
        """Say of a clip what was said of the source, and read it back.

        Rendered frames are of full range whatever the source's data level was; ``is_original``
        puts that back too.

        Raises:
            HostError: Resolve did not take it.
        """
        full = ("Data Level", ("Full", "Auto"))
        level = ("Data Level", (self.level or "Auto",)) if is_original else full
        for name, values in (*((name, (value,)) for name, value in self.own), level):
            if text_of(clip.GetClipProperty(name)) in ("", *values):
                continue
            clip.SetClipProperty(name, values[0])
            is_taken = text_of(clip.GetClipProperty(name)) in values
            if not is_taken and (self.is_managed or name == "Data Level"):
                raise HostError(
                    f"Resolve did not take {name} = {values[0]} for the result",
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
    said = own["IDT" if is_aces else "Input Color Space"]
    default = setting("colorAcesIDT") if is_aces else space("colorSpaceInput")
    output = setting("colorAcesODT") if is_aces else space("colorSpaceOutput")
    working = space("colorSpaceTimeline")
    is_same = _plain(output) in ("sameastimeline", "timeline")
    return Color(
        science=science,
        source=default if _plain(said) in _AS_PROJECT else said,
        timeline=working,
        output=working if is_same else output,
        tone_mapping=f"ACES, {output}" if is_aces else setting("colorSpaceOutputToneMapping"),
        own=tuple((name, value) for name, value in own.items() if value),
        level=text_of(clip.GetClipProperty("Data Level")),
        is_raw=PurePath(text_of(clip.GetClipProperty("File Path"))).suffix.lower() in _RAW,
    )


def _named(space: str) -> str:
    import importlib.resources

    text = importlib.resources.files(__package__).joinpath(_TABLE).read_text(encoding="utf-8")
    table = {_plain(resolve): ocio for resolve, ocio in json.loads(text).items()}
    if _plain(space) not in table:
        raise _unnamed(f"Resolve calls it {space!r}, which is in no table of ours")
    return str(table[_plain(space)])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _unnamed(why: str) -> UnknownColorspace:
    return UnknownColorspace(
        f"the clip's colorspace is not known: {why}",
        hint="name it, as OCIO does: ARRI LogC3 (EI800), ACEScg, scene_linear, Camera Rec.709",
    )
