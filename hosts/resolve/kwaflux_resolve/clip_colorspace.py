"""The colorspace of a clip, from Resolve's settings, and OCIO's name of it.

Nothing is guessed: Resolve's name is in the table ``colorspaces.json``, or the user gives OCIO's.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from kwaflux_core.errors import HostError, UnknownColorspace
from kwaflux_resolve.resolve_api import MediaPoolItem, Project, Timeline
from kwaflux_resolve.verified_settings import property_of, refused, rejected_settings, text_of

__all__ = ["ClipColor", "is_camera_raw", "ocio_names", "or_default"]

_RAW: Final = frozenset({".ari", ".arx", ".braw", ".cine", ".crm", ".dng", ".nef", ".r3d", ".rmf"})
_DEFAULTS: Final = frozenset(
    {"", "project", "projectsetting", "sameasproject", "sameastimeline", "timeline"}
)
_SPACES: Final = ("Input Color Space", "IDT")
_LEVEL: Final = "Data Level"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipColor:
    """The color settings that apply to a clip, in Resolve's words.

    Args:
        science: The color science.
        source: The clip's input space.
        output: The space that a render of the timeline has.
        tone_mapping: How the output transform compresses highlights; empty or ``None``: not at all.
        is_raw: Whether the file is a camera's raw file, whose decoding decides on the space.
        own: The clip's own color properties, which a result of it gets too.
        level: The clip's data level.
    """

    science: str
    source: str
    output: str
    tone_mapping: str
    is_raw: bool
    own: Mapping[str, str]
    level: str

    @classmethod
    def of_clip(cls, clip: MediaPoolItem, *, project: Project, timeline: Timeline) -> ClipColor:
        """Read a clip's color settings as they apply on a timeline.

        Raises:
            HostError: The color science is not known.
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
        own = {name: property_of(clip, name) for name in _SPACES}
        source = own["IDT" if is_aces else "Input Color Space"]
        default = setting("colorAcesIDT") if is_aces else space("colorSpaceInput")
        output = setting("colorAcesODT") if is_aces else space("colorSpaceOutput")
        return cls(
            science=science,
            source=or_default(source, default),
            output=output and or_default(output, space("colorSpaceTimeline")),
            tone_mapping=f"ACES, {output}" if is_aces else setting("colorSpaceOutputToneMapping"),
            is_raw=is_camera_raw(property_of(clip, "File Path")),
            own={name: value for name, value in own.items() if value},
            level=property_of(clip, _LEVEL),
        )

    @property
    def is_managed(self) -> bool:
        """Whether Resolve converts between the clip and what is rendered."""
        return self.science != "davinciYRGB"

    def of_source(self, given: str) -> str:
        """Return the OCIO name of the clip's own values.

        Args:
            given: The name that the user gave; empty: Resolve's settings decide.

        Raises:
            UnknownColorspace: The settings do not name it.
        """
        if given:
            return given
        if self.is_raw:
            raise _unknown("a camera raw file is decoded by its own settings")
        if not self.is_managed:
            raise _unknown("this project is not color managed, so its clips have no input space")
        return _ocio_name(self.source)

    def of_composite(self, given: str) -> str:
        """Return the OCIO name of what the timeline renders.

        Args:
            given: The name that the user gave; empty: Resolve's settings decide.

        Raises:
            UnknownColorspace: The settings do not name it, or the output is tone mapped.
        """
        if given:
            return given
        if not self.is_managed:
            raise _unknown("this project is not color managed, so its output has no space")
        if self.tone_mapping.lower() not in ("", "none"):
            raise _unknown(f"the output is tone mapped ({self.tone_mapping}) to {self.output}")
        return _ocio_name(self.output)

    def keep_numbers(self, timeline: Timeline) -> None:
        """Set a temporary timeline so that its render has the clip's own values.

        Raises:
            HostError: Resolve accepts none of the settings that would do so.
        """
        ways = [{"colorScienceMode": "davinciYRGB"}]
        if self.science.startswith("davinciYRGBColorManaged") and "/" not in self.source:
            spaces = {"colorSpaceTimeline": self.source, "colorSpaceOutput": self.source}
            ways.append({**spaces, "colorSpaceOutputToneMapping": "None"})
        write, read = timeline.SetSetting, timeline.GetSetting
        if self.is_managed and all(rejected_settings(way, write=write, read=read) for way in ways):
            raise HostError(
                f"this project ({self.science}) converts the clip to {self.output} when it is "
                "rendered, and Resolve did not let a temporary timeline leave that out",
                hint="enhance it in a project of DaVinci YRGB, or choose the graded composite",
            )

    def put_on(self, clip: MediaPoolItem, *, level: str = "") -> None:
        """Give a result the source's color properties.

        Args:
            clip: The result's clip in the media pool.
            level: Its data level; empty: full or automatic, for Resolve renders full range.

        Raises:
            HostError: Resolve did not accept a property, and would show the wrong colors.
        """
        wanted: dict[str, tuple[str, ...]] = {name: (value,) for name, value in self.own.items()}
        wanted[_LEVEL] = (level,) if level else ("Full", "Auto")
        for name in refused(wanted, write=clip.SetClipProperty, read=clip.GetClipProperty):
            if self.is_managed or name == _LEVEL:
                raise HostError(
                    f"Resolve did not accept {name} = {wanted[name][0]}",
                    hint="the result would be shown in the wrong colors, so it was not imported",
                )


@functools.cache
def ocio_names() -> Mapping[str, str]:
    """Return OCIO's names by Resolve's, from ``colorspaces.json``."""
    path = importlib.resources.files(__package__).joinpath("colorspaces.json")
    names: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return names


def or_default(space: str, default: str) -> str:
    """Return a space, or the default where it only refers to that (``Same as Timeline``)."""
    return default if _plain(space) in _DEFAULTS else space


def is_camera_raw(path: str) -> bool:
    """Return whether a file is a camera's raw file, which is decoded by settings of its own."""
    return PurePath(path).suffix.lower() in _RAW


def _ocio_name(space: str) -> str:
    names = {_plain(resolve): ocio for resolve, ocio in ocio_names().items()}
    if _plain(space) not in names:
        raise _unknown(f"Resolve calls it {space!r}, which is not in Kwaflux's table of names")
    return names[_plain(space)]


def _plain(name: str) -> str:
    """Return a name's letters and digits in lower case: the rest differs between versions."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _unknown(why: str) -> UnknownColorspace:
    return UnknownColorspace(
        f"the clip's colorspace is not known: {why}",
        hint="give its OCIO name: ARRI LogC3 (EI800), ACEScg, scene_linear, Camera Rec.709",
    )
