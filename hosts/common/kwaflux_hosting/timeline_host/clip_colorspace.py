"""Map a host's name for a clip's colorspace to OCIO's, or refuse the clip.

Nothing is guessed: the name is in the table, or the user gives one.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from kwaflux_core.errors import UnknownColorspace

__all__ = ["ClipColor", "is_camera_raw", "names_of", "said_or"]

_RAW: Final = frozenset({".ari", ".arx", ".braw", ".cine", ".crm", ".dng", ".nef", ".r3d", ".rmf"})
_DEFAULTS: Final = frozenset(
    {"", "project", "projectsetting", "sameasproject", "sameastimeline", "timeline"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipColor:
    """Hold what a host says of a clip's color, in its own words.

    Args:
        is_managed: Whether the host converts between the clip and what is rendered.
        source: The clip's input space.
        output: What a render of the timeline carries.
        tone_mapping: How the output transform squeezes highlights; empty or ``None``: not at all.
        is_raw: Whether decoding a camera's raw file decides on the space.
        names: OCIO's names under the host's.
    """

    is_managed: bool
    source: str
    output: str
    tone_mapping: str
    is_raw: bool
    names: Mapping[str, str]

    def of_source(self, asked: str) -> str:
        """Return the OCIO name of the clip's own numbers.

        Args:
            asked: What a person says they are; empty: what the host says.

        Raises:
            UnknownColorspace: Nothing says it.
        """
        if asked:
            return asked
        if self.is_raw:
            raise _unnamed("a camera's raw file is decoded by its own settings, not by a name")
        if not self.is_managed:
            raise _unnamed("this project is not color managed, so nothing says what its clips are")
        return self._named(self.source)

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
        return self._named(self.output)

    def _named(self, space: str) -> str:
        table = {_plain(theirs): ocio for theirs, ocio in self.names.items()}
        if _plain(space) not in table:
            raise _unnamed(f"the host calls it {space!r}, which is in no table of ours")
        return table[_plain(space)]


def names_of(package: str) -> dict[str, str]:
    """Return the table of an adapter: OCIO's names under its host's, ``colorspaces.json``."""
    path = importlib.resources.files(package).joinpath("colorspaces.json")
    names: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return names


def said_or(said: str, default: str) -> str:
    """Return what is said, or the default where that only points to it (``Same as Timeline``)."""
    return default if _plain(said) in _DEFAULTS else said


def _plain(name: str) -> str:
    """Return the letters and digits of a name, in lower case: versions spell the rest anew."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_camera_raw(path: str) -> bool:
    """Tell whether a file is decoded by settings of its own."""
    return PurePath(path).suffix.lower() in _RAW


def _unnamed(why: str) -> UnknownColorspace:
    return UnknownColorspace(
        f"the clip's colorspace is not known: {why}",
        hint="name it, as OCIO does: ARRI LogC3 (EI800), ACEScg, scene_linear, Camera Rec.709",
    )
