"""Fixtures that tests of several folders share."""

from __future__ import annotations

import os
import tempfile

# What a developer has installed for themselves is not what is tested; processes inherit this.
os.environ["KWAFLUX_MODELS_DIR"] = os.path.join(
    tempfile.gettempdir(), f"kwaflux-no-models-{os.getpid()}"
)

# Threads of torch that spin while they wait take the two cores from the servers under test. This is
# read when torch is first imported; processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

pytest_plugins = ("kwaflux_testing.servers",)
