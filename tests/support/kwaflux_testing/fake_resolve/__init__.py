"""A DaVinci Resolve for tests, as hostile as the real one where that has been measured or written.

Owns a project with media, bins, timelines, takes, render jobs and Fusion comps, behind objects that
have the names of the scripting API and no others. Its render really reads the media's EXR files and
writes EXR files. Must not know the adapter that is tested with it.

What it is hostile in, and who says so, stands beside each class. ``World`` is what a test builds
and looks into; ``Resolve`` is what a script gets.
"""

from kwaflux_testing.fake_resolve.application import Resolve
from kwaflux_testing.fake_resolve.model import Clip, Cut, Placed, Quirks, World
from kwaflux_testing.fake_resolve.windows import FakeUser

__all__ = ["Clip", "Cut", "FakeUser", "Placed", "Quirks", "Resolve", "World"]
