"""Resolve itself: how it is reached, whether it is one that can be scripted, and its state.

The only module that fetches Resolve, or looks into the names that a menu script is given. Must not
know clips, color or effects.

Trust no answer of the API: ``hasattr`` is true for every name (``offers`` asks ``dir``), and a True
says nothing (whatever is written is read back).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from kwaflux_core.errors import HostError

if TYPE_CHECKING:
    from kwaflux_resolve.api import Folder, MediaPool, Project, ProjectManager, Resolve, Timeline

__all__ = ["Host", "find_host", "offers", "text_of"]

_OLDEST = (18, 5)
_FREE_WITHOUT_PYTHON = (21, 1)
_PROBE_S = 30.0
_SCRIPTING = {
    "win32": r"%PROGRAMDATA%\Blackmagic Design\DaVinci Resolve\Support\Developer\Scripting",
    "darwin": "/Library/Application Support/Blackmagic Design/DaVinci Resolve/Developer/Scripting",
    "linux": "/opt/resolve/Developer/Scripting",
}


@dataclass(frozen=True, slots=True)
class Host:
    """Hold a Resolve Studio with an open project that can be saved.

    Args:
        resolve: The application.
        names: What Resolve gave to a script it runs itself (``bmd``, ``fusion``); else empty.
        say: Where sentences for the person go.
    """

    resolve: Resolve
    names: Mapping[str, object] = field(default_factory=dict)
    say: Callable[[str], None] = print

    @property
    def projects(self) -> ProjectManager:
        """The project manager."""
        return self.resolve.GetProjectManager()

    @property
    def project(self) -> Project:
        """The open project, asked anew each time."""
        project = self.projects.GetCurrentProject()
        if project is None:
            raise HostError("no project is open in Resolve", hint="open one and a timeline in it")
        return project

    @property
    def pool(self) -> MediaPool:
        """Its media pool."""
        return self.project.GetMediaPool()

    @property
    def timeline(self) -> Timeline:
        """The timeline that is open."""
        timeline = self.project.GetCurrentTimeline()
        if timeline is None:
            raise HostError("no timeline is open in Resolve", hint="open the one with the clips")
        return timeline

    @property
    def version(self) -> tuple[int, ...]:
        """Major, minor and patch."""
        return tuple(int(str(part)) for part in list(self.resolve.GetVersion())[:3])

    def save(self) -> None:
        """Save the project: what errored in silence vanishes then, so read back after it.

        Raises:
            HostError: It was not saved.
        """
        if not self.projects.SaveProject():
            raise HostError(
                "Resolve did not save the project, so nothing is sure to stay",
                hint="close the dialog that is open in Resolve, if any, and try again",
            )

    def window_makers(self) -> tuple[object, object] | None:
        """Return Fusion's UIManager and its dispatcher; None without a user interface."""
        fusion = self.names.get("fusion") or self.names.get("fu") or self.resolve.Fusion()
        ui = getattr(fusion, "UIManager", None)
        dispatcher = getattr(self.names.get("bmd"), "UIDispatcher", None)
        return None if ui is None or dispatcher is None else (ui, dispatcher(ui))

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Put back page, timeline, bin and the Deliver page's state, whatever happens inside."""
        project, pool = self.project, self.pool
        page, timeline = self.resolve.GetCurrentPage(), project.GetCurrentTimeline()
        folder, mode = pool.GetCurrentFolder(), project.GetCurrentRenderMode()
        now = project.GetCurrentRenderFormatAndCodec()
        codec = (now["format"], now["codec"])
        preset = f"Kwaflux kept {os.getpid()}-{time.time_ns()}"
        has_preset = project.SaveAsNewRenderPreset(preset)
        if not has_preset:
            self.say("Resolve did not keep the Deliver page's settings: look at them afterwards")
        back: list[tuple[str, Callable[[], bool]]] = [
            ("render settings", lambda: project.LoadRenderPreset(preset)),
            ("render presets", lambda: project.DeleteRenderPreset(preset)),
            ("format", lambda: project.SetCurrentRenderFormatAndCodec(*codec)),
            ("render mode", lambda: project.SetCurrentRenderMode(mode)),
            ("timeline", lambda: timeline is None or project.SetCurrentTimeline(timeline)),
            ("bin", lambda: pool.SetCurrentFolder(folder)),
            ("page", lambda: page is None or self.resolve.OpenPage(page)),
        ]
        try:
            yield
        finally:
            for what, call in back if has_preset else back[2:]:
                try:
                    is_back = call()
                except Exception:  # noqa: BLE001 - the others must be put back all the same
                    is_back = False
                if not is_back:
                    self.say(f"Resolve did not take back its {what}: please look at it")

    def bin(self, name: str) -> Folder:
        """Return the bin of that name under the root, made if need be; the current one changes."""
        root = self.pool.GetRootFolder()
        found = next((inner for inner in root.GetSubFolderList() if inner.GetName() == name), None)
        found = found or self.pool.AddSubFolder(root, name)
        if found is None:
            raise HostError(f"Resolve did not make the bin {name!r}", hint="make it by hand")
        self.pool.SetCurrentFolder(found)
        return found


def offers(thing: object, name: str) -> bool:
    """Tell whether an object of Resolve really has a method."""
    return name in dir(thing)


def text_of(value: object) -> str:
    """Return a property or setting as text; what is not there is empty."""
    return "" if value is None else str(value).strip()


def find_host(
    names: Mapping[str, object] | None = None, *, say: Callable[[str], None] = print
) -> Host:
    """Return the running Resolve Studio, once it was found fit.

    Args:
        names: The global names of a script that Resolve runs; None: reach it from outside.
        say: Where sentences for the person go.

    Raises:
        HostError: None runs, it is the free edition, too old, or has no project that was saved.
    """
    given = names or {}
    resolve = given.get("resolve") or _from_outside()
    host = Host(cast("Resolve", resolve), given, say)
    product = text_of(host.resolve.GetProductName())
    shown = ".".join(map(str, host.version))
    # Asked first: a Studio call on the free edition opens a window, and later calls then fail.
    if not product.endswith("Studio"):
        since = (
            "it has no Python scripting since 21.1"
            if host.version >= _FREE_WITHOUT_PYTHON
            else "much of its scripting is Studio's alone"
        )
        raise HostError(
            f"this is {product} {shown}, the free edition: {since}",
            hint="Kwaflux needs DaVinci Resolve Studio; without it, use kwaflux enhance on files",
        )
    if host.version < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise HostError(f"this is {product} {shown}", hint=f"Kwaflux needs {oldest} or later")
    if host.project.GetName() == "Untitled Project":
        raise HostError(
            "this project was never saved, and a script cannot save it the first time",
            hint="save it under a name, and run Kwaflux again",
        )
    return host


def _from_outside() -> object:
    """Fetch Resolve through its scripting module; in a child first where a mismatch crashes."""
    default = os.path.expandvars(_SCRIPTING.get(sys.platform, _SCRIPTING["linux"]))
    modules = os.path.join(os.environ.get("RESOLVE_SCRIPT_API", default), "Modules")
    if modules not in sys.path:
        sys.path.append(modules)
    try:
        if sys.platform == "win32":
            _probe(modules)
        import DaVinciResolveScript  # type: ignore[import-not-found]

        found: object = DaVinciResolveScript.scriptapp("Resolve")
    except ImportError as error:
        raise HostError(
            f"Resolve's scripting module does not import: {error}",
            hint=f"install DaVinci Resolve Studio, or set RESOLVE_SCRIPT_API; tried {modules}",
        ) from error
    if found is None:
        raise HostError(
            "no Resolve answers",
            hint="start DaVinci Resolve Studio, and set Preferences > System > General > External "
            "scripting using to Local; the free edition lets no one in",
        )
    return found


def _probe(modules: str) -> None:
    """Import Resolve's library in a child: with a Python that does not fit it ends the process."""
    code = f"import sys; sys.path.append({modules!r}); import DaVinciResolveScript"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=_PROBE_S, check=False
    )
    if child.returncode != 0:
        raise HostError(
            f"Resolve's scripting library does not load into this Python ({sys.version[:6]})",
            hint=f"set FUSION_PYTHON3_HOME to {sys.base_prefix}, or use another Python",
        )
