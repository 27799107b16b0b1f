"""Fixtures that tests of several folders share."""

from __future__ import annotations

import os
import tempfile

# What a developer has installed for themselves is not what is tested; processes inherit this.
os.environ["KWAFLUX_MODELS_DIR"] = os.path.join(
    tempfile.gettempdir(), f"kwaflux-no-models-{os.getpid()}"
)

pytest_plugins = ("kwaflux_testing.servers",)
