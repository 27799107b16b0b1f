"""The README's example of Python, run as it stands there, against a server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from kwaflux_core.images.image import Image
from kwaflux_core.images.io import read_image, write_image
from kwaflux_testing.packages import REPOSITORY
from kwaflux_testing.servers import RunningServer

FRAMES = range(1001, 1005)


def test_the_example_in_the_readme_does_what_it_says(server: RunningServer, tmp_path: Path) -> None:
    (example,) = re.findall(
        r"^```python\n(.*?)^```$", (REPOSITORY / "README.md").read_text("utf-8"), re.M | re.S
    )
    for frame in FRAMES:
        write_image(tmp_path / f"plate.{frame}.exr", _plate(seed=frame))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        env=dict(server.place.environ),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout
    assert printed.startswith("brightest: ")
    assert {f"{frame} done" for frame in FRAMES} <= set(printed.splitlines())
    for frame in FRAMES:
        plate = read_image(tmp_path / f"plate.{frame}.exr").part
        clean = read_image(tmp_path / f"clean.{frame}.exr").part
        assert "kwaflux/flow" in clean.attributes
        assert float(np.std(clean.channels["G"])) < float(np.std(plate.channels["G"]))


def _plate(*, seed: int) -> Image:
    """Return a small gray picture with noise, so that something is there to take away."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0.18, 0.03, (3, 24, 32)).astype(np.float32)
    return Image.from_channels(dict(zip("RGB", noise, strict=True)))
