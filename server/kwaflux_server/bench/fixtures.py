"""Fixtures of the measurements: a server and plates."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kwaflux_core.client.client import Client
from kwaflux_core.images.image import Image
from kwaflux_server.launcher import ensure_server

__all__ = ["noisy_planes", "plate_image", "private_server"]


@contextmanager
def private_server(environ: Mapping[str, str], *arguments: str) -> Iterator[Client]:
    """Start a server in its own directory; yield a client of it; stop it.

    The server ends with this process, however that ends.
    """
    with tempfile.TemporaryDirectory(prefix="kw-") as folder:
        private = {**environ, "KWAFLUX_RUNTIME_DIR": str(Path(folder) / "run")}
        ensure_server(environ=private, arguments=("--parent-pid", str(os.getpid()), *arguments))
        with Client.connect(environ=private) as client:
            try:
                yield client
            finally:
                client.shutdown()


def noisy_planes(
    height: int, width: int, *, count: int = 4, seed: int = 1
) -> npt.NDArray[np.float32]:
    """Return (count, height, width) planes: gradients and texture with noise; alpha last, at 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = np.empty((count, height, width), np.float32)
    for index in range(min(count, 3)):
        planes[index] = 0.3 + 0.25 * np.sin(x / (37 + index)) * np.cos(y / (53 - index))
        planes[index] += rng.normal(0, 0.03, (height, width)).astype(np.float32)
    if count == 4:
        planes[3] = 1.0
    return planes


def plate_image(planes: npt.NDArray[np.float32]) -> Image:
    """Return planes as a picture in scene-linear."""
    names = ("R", "G", "B", "A")[: len(planes)]
    return Image.from_channels(dict(zip(names, planes, strict=True)))
