"""The README's example of Python, run as it stands there, against a server of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.images.image import Image
from kwaflux_core.images.io import read_image, write_image
from kwaflux_testing.packages import REPOSITORY

FRAMES = range(1001, 1005)


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return an environment with a server that nobody else has, on the CPU."""
    environ = {name: value for name, value in os.environ.items() if "KWAFLUX" not in name}
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    environ |= {"KWAFLUX_RUNTIME_DIR": str(runtime), "KWAFLUX_DEVICES": "cpu"}
    _run(["-m", "kwaflux_server", "start"], environ=environ, folder=tmp_path)
    yield environ
    _run(["-m", "kwaflux_server", "stop"], environ=environ, folder=tmp_path)


def test_the_example_in_the_readme_does_what_it_says(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (example,) = re.findall(
        r"^```python\n(.*?)^```$", (REPOSITORY / "README.md").read_text("utf-8"), re.M | re.S
    )
    for frame in FRAMES:
        write_image(tmp_path / f"plate.{frame}.exr", _plate(seed=frame))
    printed = _run(["-W", "error", "-c", example], environ=environ, folder=tmp_path)
    assert printed.startswith("brightest: ")
    assert {f"{frame} done" for frame in FRAMES} <= set(printed.splitlines())
    for frame in FRAMES:
        plate = read_image(tmp_path / f"plate.{frame}.exr").part
        clean = read_image(tmp_path / f"clean.{frame}.exr").part
        assert "kwaflux/flow" in clean.attributes
        assert float(np.std(clean.channels["G"])) < float(np.std(plate.channels["G"]))


def _run(arguments: list[str], *, environ: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _plate(*, seed: int) -> Image:
    """Return a small gray picture with noise, so that something is there to take away."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0.18, 0.03, (3, 48, 64)).astype(np.float32)
    return Image.from_channels(dict(zip("RGB", noise, strict=True)))
