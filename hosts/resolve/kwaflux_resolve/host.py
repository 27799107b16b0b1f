"""The connection to a Resolve that can be scripted, and its state.

The only module that fetches Resolve, or reads the names that a menu script is given. No answer of
the API proves anything: ``hasattr`` is true for every name (use ``dir``), and a returned True does
not mean that a value was accepted (values are read back).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from kwaflux_core.errors import HostError
from kwaflux_resolve.external_scripting import external_resolve
from kwaflux_resolve.resolve_api import MediaPool, Project, Resolve, Timeline
from kwaflux_resolve.restore_state import State, restored
from kwaflux_resolve.verified_settings import text_of

__all__ = ["Host", "find_host"]

_OLDEST = (18, 5)
_FREE_WITHOUT_PYTHON = (21, 1)
_NO_PYTHON = "it has no Python scripting since 21.1"
_HOW = (
    "in the console: from kwaflux_resolve.entry_points import main; "
    "main(['--flow', 'denoise'], names=globals())"
)


@dataclass(frozen=True, slots=True)
class Host:
    """A running Resolve Studio.

    Args:
        resolve: Its scripting object.
        names: The global names of a script that it runs (``bmd``).
        say: Shows a message.
    """

    resolve: Resolve
    names: Mapping[str, object] = field(default_factory=dict)
    say: Callable[[str], None] = print

    @property
    def project(self) -> Project:
        """The open project; Resolve is asked each time."""
        project = self.resolve.GetProjectManager().GetCurrentProject()
        if project is None:
            raise HostError("no project is open in Resolve", hint="open one and a timeline in it")
        return project

    @property
    def pool(self) -> MediaPool:
        """The media pool of the open project."""
        return self.project.GetMediaPool()

    @property
    def timeline(self) -> Timeline:
        """The open timeline."""
        timeline = self.project.GetCurrentTimeline()
        if timeline is None:
            raise HostError("no timeline is open in Resolve", hint="open the one with the clips")
        return timeline

    @property
    def version(self) -> tuple[int, ...]:
        """Major, minor and patch."""
        return tuple(int(str(part)) for part in list(self.resolve.GetVersion())[:3])

    def save(self) -> None:
        """Save the project; placements that failed silently disappear then."""
        if not self.resolve.GetProjectManager().SaveProject():
            raise HostError("Resolve did not save the project", hint="close its dialog, if any")

    def window_makers(self) -> tuple[object, object]:
        """Return Fusion's UIManager and its dispatcher.

        Raises:
            HostError: Resolve runs without a user interface.
        """
        fusion = self.names.get("fusion") or self.names.get("fu") or self.resolve.Fusion()
        ui = getattr(fusion, "UIManager", None)
        dispatcher = getattr(self.names.get("bmd"), "UIDispatcher", None)
        if ui is None or dispatcher is None:
            raise HostError("dialogs are not available here", hint=_HOW)
        return ui, dispatcher(ui)

    @contextlib.contextmanager
    def kept(self, show: Timeline | None = None) -> Iterator[None]:
        """Restore page, timeline, bin and Deliver page after the block; in it, show a timeline."""
        project, pool, name = self.project, self.pool, f"Kwaflux {os.getpid()}-{time.time_ns()}"
        preset = name if project.SaveAsNewRenderPreset(name) else None
        if preset is None:
            self.say("Resolve did not save the Deliver page's settings: check them afterwards")
        set_codec = project.SetCurrentRenderFormatAndCodec
        now = project.GetCurrentRenderFormatAndCodec()
        states: list[State] = [
            ("render settings", lambda: preset, project.LoadRenderPreset),
            ("render presets", lambda: preset, project.DeleteRenderPreset),
            ("format", lambda: (now["format"], now["codec"]), lambda was: set_codec(*was)),
            ("render mode", project.GetCurrentRenderMode, project.SetCurrentRenderMode),
            ("timeline", project.GetCurrentTimeline, project.SetCurrentTimeline),
            ("bin", pool.GetCurrentFolder, pool.SetCurrentFolder),
            ("page", self.resolve.GetCurrentPage, self.resolve.OpenPage),
        ]
        with restored(states, say=self.say):
            if show is not None:
                project.SetCurrentTimeline(show)
            yield


def find_host(
    names: Mapping[str, object] | None = None, *, say: Callable[[str], None] = print
) -> Host:
    """Return the running Resolve Studio.

    Args:
        names: The global names of a script that Resolve runs; None: it is reached from outside.
        say: Shows a message.

    Raises:
        HostError: It is the free edition, too old, not reachable, or its project was never saved.
    """
    given = names or {}
    host = Host(cast("Resolve", given.get("resolve") or external_resolve()), given, say)
    product = text_of(host.resolve.GetProductName())
    shown = f"{product} {'.'.join(map(str, host.version))}"
    # Asked first: a Studio call on the free edition opens a window, and later calls then fail.
    if not product.endswith("Studio"):
        has_python = host.version < _FREE_WITHOUT_PYTHON
        why = "much of its scripting is in Studio only" if has_python else _NO_PYTHON
        hint = "Kwaflux needs DaVinci Resolve Studio; without it, use kwaflux enhance on files"
        raise HostError(f"this is {shown}, the free edition: {why}", hint=hint)
    if host.version < _OLDEST:
        raise HostError(
            f"this is {shown}", hint=f"Kwaflux needs {_OLDEST[0]}.{_OLDEST[1]} or later"
        )
    if host.project.GetName() == "Untitled Project":
        raise HostError("this project was never saved", hint="save it once: a script cannot")
    return host
