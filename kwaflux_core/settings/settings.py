"""Settings of the server and of the client: defaults < file < environment < flags.

The file is TOML with the tables ``[server]``, ``[client]`` and ``[models]``; in the environment
``tile_px`` is ``KWAFLUX_TILE_PX``. A key or a ``KWAFLUX_*`` variable that is not known is refused
with the nearest name: a misspelt setting that is silently ignored costs a night. An empty variable
counts as not set.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, TypeVar, cast

from kwaflux_core.errors import SettingsError
from kwaflux_core.settings.fields import Rule, rule_of, setting, spelled
from kwaflux_core.settings.runtime_dir import default_endpoint, runtime_dir
from kwaflux_core.settings.sources import OTHER_VARIABLES, PREFIX, gathered
from kwaflux_core.settings.user_dirs import ModelsSettings, default_models_dir
from kwaflux_core.suggestions import shortened
from kwaflux_core.tiling import TILE_PX
from kwaflux_core.transport.endpoint import parse_endpoint

__all__ = [
    "OTHER_VARIABLES",
    "ClientSettings",
    "ModelsSettings",
    "ServerSettings",
    "SettingRow",
    "default_endpoint",
    "load_client_settings",
    "load_models_dir",
    "load_server_settings",
    "runtime_dir",
    "settings_file",
    "settings_table",
]

_AUTO_ENDPOINT = "ipc://<runtime directory>/server.sock"
_DEVICE = re.compile(r"cpu|cuda:[0-9]{1,3}")
_Settings: TypeAlias = "ServerSettings | ClientSettings | ModelsSettings"
_T = TypeVar("_T", "ServerSettings", "ClientSettings", "ModelsSettings")

_ENDPOINT = Rule(
    kind="text",
    help="where the server is met: ipc:///path, or tcp://host:port (beyond loopback with CURVE "
    "keys only)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Hold what a server is started with.

    ``endpoint`` has no default here, for the default makes a directory: see
    ``load_server_settings``. ``roots`` that are not given are everything on an ipc endpoint, which
    only this user can open, and refused on a tcp one.

    Raises:
        SettingsError: A value out of its range, an endpoint beyond this machine without CURVE
            keys, or a tcp endpoint without roots.
    """

    endpoint: str = field(metadata={"rule": _ENDPOINT})
    roots: tuple[str, ...] = setting(
        (),
        Rule(
            kind="paths",
            help="folders that clients may read and write; none given: all that the user can, on "
            "an ipc endpoint; a tcp endpoint must be given some",
        ),
    )
    devices: tuple[str, ...] = setting(
        ("auto",),
        Rule(kind="names", help="what computes, a worker each: auto, or cpu, cuda:0, cuda:1 ..."),
    )
    precision: Literal["auto", "float32"] = setting(
        "auto",
        Rule(
            kind="choice",
            choices=("auto", "float32"),
            help="auto: half precision where it is faster and within the effect's tolerance",
        ),
    )
    tile_px: int = setting(
        TILE_PX, Rule(kind="whole", low=16, high=16384, help="about how large a tile is a side")
    )
    memory_budget_bytes: int = setting(
        0,
        Rule(kind="bytes", help="memory a worker may fill with models and tiles; 0: it judges"),
    )
    frame_bytes_max: int = setting(
        8 << 30, Rule(kind="bytes", low=1, help="pixels of one frame that are accepted, as float32")
    )
    message_bytes_max: int = setting(
        4 << 30, Rule(kind="bytes", low=1024, help="one message that is accepted, with its parts")
    )
    requests_in_flight_max: int = setting(
        64, Rule(kind="whole", low=1, high=65536, help="unfinished requests a client may have")
    )
    ring_bytes_max: int = setting(
        2 << 30, Rule(kind="bytes", low=4096, help="shared memory one client may hold")
    )
    ring_dir: str = setting(
        "",
        Rule(
            kind="text",
            help="where shared memory lies: an absolute path; empty: a private folder on a "
            "RAM-backed file system, if there is one; none: no shared memory",
        ),
    )
    frames_in_flight: int = setting(
        4,
        Rule(kind="whole", low=1, high=256, help="frames a worker reads ahead and writes behind"),
    )
    worker_start_s: float = setting(
        120.0, Rule(kind="seconds", low=0.1, help="how long a worker may take to get ready")
    )
    session_silence_s: float = setting(
        10.0, Rule(kind="seconds", low=0.01, help="a client that is silent so long is gone")
    )
    beat_s: float = setting(
        1.0, Rule(kind="seconds", low=0.001, help="how often both ends say that they live")
    )
    curve_secret_file: str = setting(
        "", Rule(kind="text", help="the server's own CURVE key pair; empty: no CURVE")
    )
    curve_clients_dir: str = setting(
        "", Rule(kind="text", help="folder with the public CURVE keys of clients that may come in")
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info",
        Rule(
            kind="choice",
            choices=("debug", "info", "warning", "error"),
            help="the least important lines that are logged",
        ),
    )

    def __post_init__(self) -> None:
        _normalize(self)
        keys = {
            "curve_secret_file": self.curve_secret_file,
            "curve_clients_dir": self.curve_clients_dir,
        }
        _check_curve(self.endpoint, keys)
        if not self.roots:
            if self.endpoint.startswith("tcp:"):
                raise SettingsError(
                    f"the endpoint {self.endpoint} is open to others, and no roots are given",
                    hint="name the folders that clients may read and write: roots",
                    setting="roots",
                )
            object.__setattr__(self, "roots", (os.path.abspath(os.sep),))
        _check_devices(self.devices)
        if self.ring_dir not in ("", "none") and not os.path.isabs(self.ring_dir):
            raise SettingsError(
                f"ring_dir is {shortened(self.ring_dir)}, no absolute path",
                hint="give an absolute path, none, or nothing",
                setting="ring_dir",
            )
        if self.beat_s >= self.session_silence_s:
            raise SettingsError(
                f"beat_s is {self.beat_s:g} and session_silence_s {self.session_silence_s:g}: "
                "every client would be taken for gone",
                hint="make session_silence_s several times beat_s",
                setting="beat_s",
            )

    @property
    def uses_curve(self) -> bool:
        """Whether clients must have a key, and everything is encrypted."""
        return bool(self.curve_secret_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Hold what a client is opened with.

    Raises:
        SettingsError: A value out of its range, or an endpoint beyond this machine without CURVE
            keys.
    """

    endpoint: str = field(metadata={"rule": _ENDPOINT})
    timeout_s: float = setting(
        120.0, Rule(kind="seconds", low=0.001, help="how long a call waits for its answer")
    )
    transport: Literal["auto", "shm", "inline", "exr"] = setting(
        "auto",
        Rule(
            kind="choice",
            choices=("auto", "shm", "inline", "exr"),
            help="how pixels travel; auto: the quickest that both ends can",
        ),
    )
    curve_server_key_file: str = setting(
        "", Rule(kind="text", help="the server's public CURVE key; empty: no CURVE")
    )
    curve_secret_file: str = setting("", Rule(kind="text", help="the client's own CURVE key pair"))

    def __post_init__(self) -> None:
        _normalize(self)
        keys = {
            "curve_server_key_file": self.curve_server_key_file,
            "curve_secret_file": self.curve_secret_file,
        }
        _check_curve(self.endpoint, keys)
        if self.endpoint.endswith(":*"):
            raise SettingsError(
                f"the endpoint {self.endpoint} has no port",
                hint="name the port that the server says it has (kwaflux status)",
                setting="endpoint",
            )

    @property
    def uses_curve(self) -> bool:
        """Whether everything is encrypted."""
        return bool(self.curve_server_key_file)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """Describe one setting for a page of documentation; every field is ready to be shown."""

    section: str
    name: str
    variable: str
    default: str
    accepted: str
    help: str


def settings_table() -> list[SettingRow]:
    """Return every setting, the server's first, in the order of their fields."""
    return [
        SettingRow(
            section,
            name,
            PREFIX + name.upper(),
            _AUTO_ENDPOINT if name == "endpoint" else spelled(default, kind=rule.kind),
            rule.accepted,
            rule.help,
        )
        for section, cls in _SECTIONS.items()
        for name, (rule, default) in _rules(cls).items()
    ]


def settings_file(environ: Mapping[str, str]) -> Path | None:
    """Return the settings file to read, or None when there is none.

    ``$KWAFLUX_SETTINGS_FILE``, else ``kwaflux/settings.toml`` in ``$XDG_CONFIG_HOME``,
    ``~/.config`` or (Windows) ``%APPDATA%``, if it is there.

    Args:
        environ: The environment.
    """
    named = environ.get("KWAFLUX_SETTINGS_FILE", "")
    if named:
        return Path(named)
    folder = environ.get("XDG_CONFIG_HOME", "") or environ.get("APPDATA", "")
    home = environ.get("HOME", "")
    if not folder and home:
        folder = str(Path(home) / ".config")
    path = Path(folder) / "kwaflux" / "settings.toml"
    return path if folder and path.is_file() else None


def load_server_settings(
    *,
    environ: Mapping[str, str],
    file: Path | None,
    flags: Mapping[str, object],
    platform: str = sys.platform,
) -> ServerSettings:
    """Return the server's settings: defaults < file < environment < flags.

    Args:
        environ: The environment.
        file: A TOML file, or None; see ``settings_file``.
        flags: What the command line was given, under the settings' names; None counts as not
            given.
        platform: As ``sys.platform`` says it.

    Raises:
        SettingsError: A key or variable that is not known, a value that is not accepted, or a
            file that cannot be read.
    """
    return _loaded(ServerSettings, environ=environ, file=file, flags=flags, platform=platform)


def load_client_settings(
    *,
    environ: Mapping[str, str],
    file: Path | None,
    flags: Mapping[str, object],
    platform: str = sys.platform,
) -> ClientSettings:
    """Return the client's settings; everything is as in ``load_server_settings``.

    Raises:
        SettingsError: As there.
    """
    return _loaded(ClientSettings, environ=environ, file=file, flags=flags, platform=platform)


def load_models_dir(
    *, environ: Mapping[str, str], file: Path | None, platform: str = sys.platform
) -> Path:
    """Return the folder of the user's own models, which need not be there.

    Every process finds it by itself, from the same environment and file.

    Raises:
        SettingsError: As in ``load_server_settings``, or no absolute path.
    """
    found = _loaded(ModelsSettings, environ=environ, file=file, flags={}, platform=platform)
    return Path(found.models_dir or default_models_dir(environ, platform=platform))


_SECTIONS: Mapping[str, type[_Settings]] = MappingProxyType(
    {"server": ServerSettings, "client": ClientSettings, "models": ModelsSettings}
)


def _rules(cls: type[_Settings]) -> dict[str, tuple[Rule, object]]:
    return {entry.name: (rule_of(entry), entry.default) for entry in fields(cls)}


def _loaded(
    cls: type[_T],
    *,
    environ: Mapping[str, str],
    file: Path | None,
    flags: Mapping[str, object],
    platform: str,
) -> _T:
    rules = {
        section: {name: rule for name, (rule, _) in _rules(known).items()}
        for section, known in _SECTIONS.items()
    }
    found = gathered(
        next(section for section, known in _SECTIONS.items() if known is cls),
        rules,
        environ=environ,
        other_variables=OTHER_VARIABLES,
        file=file,
        flags=flags,
    )
    if "endpoint" in _rules(cls) and not found.get("endpoint"):
        found["endpoint"] = default_endpoint(environ, platform=platform)
    make = cast("Callable[..., _T]", cls)  # each value was read by the rule of its field
    return make(**found)


def _normalize(settings: _Settings) -> None:
    """Check every field by its rule, for those that are made by hand."""
    for name, (rule, _) in _rules(type(settings)).items():
        value = getattr(settings, name)
        object.__setattr__(settings, name, rule.read(value, name=name, where=name))


def _check_curve(endpoint: str, keys: Mapping[str, str]) -> None:
    is_loopback = parse_endpoint(endpoint).is_loopback
    missing = [name for name, value in keys.items() if not value]
    if not missing or (len(missing) == len(keys) and is_loopback):
        return
    why = "CURVE is half set up" if is_loopback else f"{endpoint} is open to the network"
    raise SettingsError(
        f"{why}, and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not given",
        hint="give both, or stay on ipc:// or tcp://127.0.0.1",
        setting=missing[0],
    )


def _check_devices(devices: tuple[str, ...]) -> None:
    is_known = all(_DEVICE.fullmatch(device) for device in devices) or devices == ("auto",)
    if not devices or not is_known or len(set(devices)) != len(devices):
        raise SettingsError(
            f"devices is {','.join(devices)!r}, neither auto nor a list of cpu, cuda:0 and so on",
            hint="name each device once",
            setting="devices",
        )
