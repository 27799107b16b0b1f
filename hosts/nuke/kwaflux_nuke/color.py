"""What the numbers in a script's pixels mean: the name of its working space, never a guess.

Owns the reading of the root's color knobs. Must not know files or servers. Main thread only.
"""

from __future__ import annotations

import os
import re

from kwaflux_core.errors import HostError
from kwaflux_nuke.host import nuke

__all__ = ["config_path", "working_space"]

_NUKES_OWN = "Linear Rec.709 (sRGB)"
_ROLE = re.compile(r"\((.+)\)\s*$")


def working_space() -> str:
    """Return the OCIO name of the script's working space.

    Nuke's own color management works in linear light and never touches the primaries, which its
    viewers show as Rec.709's: that is the name it has in OCIO. A role stands for the space that
    Nuke shows behind it, for another config may give it another one.

    Raises:
        HostError: The script does not say, or works in something that is not linear.
    """
    root = nuke.root()
    space = root.knob("workingSpaceLUT")
    name, _, label = str(space.value() if space is not None else "").partition("\t")
    if str(root["colorManagement"].value()) == "OCIO" and name:
        entries = [str(entry).partition("\t") for entry in space.values()]  # type: ignore[union-attr]
        shown = label or next((text for entry, _, text in entries if entry == name), "")
        behind = _ROLE.search(shown)
        return behind[1] if behind else name
    if name != "linear":
        raise HostError(
            f"the script's working space is {name or 'not named'}, which may not be linear light",
            hint="write its OCIO name into the node's colorspace knob",
        )
    return _NUKES_OWN


def config_path() -> str:
    """Return the file of the OCIO config that the script uses; empty where it has none of its own.

    The environment wins, as it does in Nuke.
    """
    root = nuke.root()
    if os.environ.get("OCIO") or str(root["colorManagement"].value()) != "OCIO":
        return os.environ.get("OCIO", "")
    is_custom = str(root["OCIO_config"].value()) == "custom"
    return str(root["customOCIOConfigPath"].value() or "") if is_custom else ""
