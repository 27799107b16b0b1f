"""A Nuke that is none: its API, its rules and its traps, with Reads and Writes that really work.

``running`` puts it in the place of ``nuke``. It knows only names that Nuke has, renders EXR through
the library, and is as unforgiving as the real one: codec knobs come with ``file_type``, defaults
are lossy, calls from other threads fail, a render in a render fails, a script at proxy scale
renders small.
"""

from __future__ import annotations

from kwaflux_testing.fake_nuke.script import commands
from kwaflux_testing.fake_nuke.session import FakeNuke, running

__all__ = ["FakeNuke", "commands", "running"]
