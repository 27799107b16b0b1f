"""The folder of a user's own models: checkpoints that were added, LoRAs that were trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kwaflux_core.errors import SettingsError
from kwaflux_core.settings.fields import Rule, setting
from kwaflux_core.suggestions import shortened

__all__ = ["ModelsSettings", "default_models_dir", "user_data_dir"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsSettings:
    """Hold where models are looked for that did not come with Kwaflux.

    Raises:
        SettingsError: No absolute path.
    """

    models_dir: str = setting(
        "",
        Rule(
            kind="text",
            help="your own folder of effects and LoRAs: an absolute path; empty: kwaflux/models "
            "where the system keeps a user's data",
        ),
    )

    def __post_init__(self) -> None:
        if self.models_dir and not os.path.isabs(self.models_dir):
            raise SettingsError(
                f"models_dir is {shortened(self.models_dir)}, no absolute path",
                hint="give an absolute path, or nothing",
                setting="models_dir",
            )


def default_models_dir(environ: Mapping[str, str], *, platform: str) -> Path:
    """Return ``models`` in the folder of the user's data; it need not be there."""
    return user_data_dir(environ, platform=platform) / "models"


def user_data_dir(environ: Mapping[str, str], *, platform: str) -> Path:
    """Return ``kwaflux`` where the system keeps a user's data; it need not be there.

    Args:
        environ: The environment.
        platform: As ``sys.platform`` says it.

    Source: XDG Base Directory Specification 0.8; Apple's File System Programming Guide;
        Microsoft's KNOWNFOLDERID (LocalAppData).
    """
    home = Path(environ.get("HOME", "") or environ.get("USERPROFILE", "") or Path.home())
    if platform == "win32":
        data = Path(environ.get("LOCALAPPDATA", "") or home / "AppData" / "Local")
    elif platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        named = Path(environ.get("XDG_DATA_HOME", ""))
        data = named if named.is_absolute() else home / ".local" / "share"
    return data / "kwaflux"
