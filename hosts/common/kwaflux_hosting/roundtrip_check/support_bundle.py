"""The support bundle: a zip of report, versions, settings, server state and charts.

Holds no pixels but the chart's, no keys, and ``~`` for the home folder.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import kwaflux_core
from kwaflux_core.errors import KwafluxError
from kwaflux_core.images.atomic_write import atomic_path
from kwaflux_core.settings.settings import load_client_settings, runtime_dir, settings_file
from kwaflux_hosting.install_layout import INSTALL_FILE, installed_root, python_tag
from kwaflux_hosting.roundtrip_check.compare import FRAMES, CheckReport
from kwaflux_hosting.server_link.local_server import import_problem

if TYPE_CHECKING:
    from kwaflux_core.client.client import Client

__all__ = ["write_bundle"]

_LOG_BYTES: Final = 256 << 10
_COMPRESSED: Final = zipfile.ZIP_DEFLATED
_VARIABLES: Final = ("KWAFLUX_", "OCIO", "NUKE_", "RESOLVE_", "FUSION_")


def write_bundle(
    report: CheckReport,
    *,
    about: Mapping[str, str] | None = None,
    client: Client | None = None,
    environ: Mapping[str, str] = os.environ,
    path: str = "",
) -> str:
    """Write the bundle of a check; return its path.

    Args:
        report: What the check found; its charts go in.
        about: What only the adapter can say: the host's version, its color management.
        client: Asked how the server is; None: it is left out.
        environ: The environment.
        path: Where it goes; empty: into the report's folder, with the time in its name.

    Raises:
        ImageWriteFailed: It cannot be written there.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    target = path or f"{report.folder}/kwaflux-{report.host}-{stamp}.zip"
    texts = {
        "report.txt": report.text() + "\n",
        "report.json": _as_json({**asdict(report), "is_good": report.is_good}),
        "about.json": _as_json(_about(report.host, about or {}, environ)),
        "server.json": _as_json(_server(client)),
        "server.log": _log(environ),
        "installed.json": _read(installed_root() / INSTALL_FILE),
    }
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", _COMPRESSED) as archive:
        for name, text in texts.items():
            if text:
                archive.writestr(name, _without_home(text))
        for file in sorted(Path(report.folder).glob(f"*.{FRAMES[0]:04d}.exr")):
            archive.write(file, f"pictures/{file.name}")
    return target


def _about(host: str, about: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, object]:
    problem = import_problem()
    return {
        "kwaflux": kwaflux_core.__version__,
        "host": host,
        **about,
        "python": sys.version,
        "program": sys.executable,
        "python_tag": python_tag(),
        "system": platform.platform(),
        "packages": _versions(),
        "import_problem": "" if problem is None else str(problem),
        "settings": _settings(environ),
        "environment": {
            name: value for name, value in sorted(environ.items()) if name.startswith(_VARIABLES)
        },
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("pyzmq", "msgpack"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the client's settings: where its keys lie, and never what they are."""
    try:
        file = settings_file(environ)
        settings = load_client_settings(environ=environ, file=file, flags={})
    except KwafluxError as error:
        return {"problem": str(error)}
    return {
        "file": "" if file is None else str(file),
        "endpoint": settings.endpoint,
        "transport": settings.transport,
        "uses_curve": str(settings.uses_curve),
    }


def _server(client: Client | None) -> Mapping[str, object]:
    if client is None:
        return {}
    try:
        return {**asdict(client.status()), "effects": [card.id for card in client.effects()]}
    except KwafluxError as error:
        return {"problem": str(error)}


def _log(environ: Mapping[str, str]) -> str:
    """Return the end of this machine's server's log; empty where none is here."""
    try:
        with (runtime_dir(environ) / "server.log").open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - _LOG_BYTES))
            return file.read().decode(errors="replace")
    except (OSError, KwafluxError):
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _as_json(raw: Mapping[str, object]) -> str:
    return json.dumps(raw, indent=1, default=_plain) + "\n" if raw else ""


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def _without_home(text: str) -> str:
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text
