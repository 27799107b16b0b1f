"""Time and memory of a sequence against its slowest stage and its number of frames."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kwaflux_core.client.client import Client
from kwaflux_core.errors import KwafluxError
from kwaflux_core.images.image import Image
from kwaflux_core.images.io import read_image, write_image
from kwaflux_models.rendering.local_renderer import LocalRenderer
from kwaflux_server.bench.fixtures import noisy_planes, plate_image
from kwaflux_server.bench.rows import Row, timed

__all__ = ["frames_memory", "large_frame_memory", "pipelining"]

_THREADS = 2
_LONG_S = 3600.0


def pipelining(
    client: Client,
    local: LocalRenderer,
    *,
    flow: str,
    frame_count: int,
    size: tuple[int, int],
    compression: str,
    cpu: Callable[[], float],
) -> list[Row]:
    """Return a sequence's wall time over that of its slowest stage alone.

    On a CPU the stages share the cores, so EXR compression slows down computing.
    """
    width, height = size
    with tempfile.TemporaryDirectory(prefix="kw-") as name:
        folder = Path(name)
        planes = noisy_planes(height, width)
        image = plate_image(planes)
        _write_plates(folder, image, frame_count, compression=compression)
        _job(client, folder, flow, 1)
        whole = timed(lambda: _job(client, folder, flow, frame_count), cpu=cpu)
        sources = [folder / f"plate.{1001 + index}.exr" for index in range(frame_count)]
        stages = {
            "read": _spread(lambda index: read_image(sources[index]), frame_count),
            "compute": frame_count * _one(lambda: local.render(flow, planes)),
            "write": _spread(
                lambda index: write_image(
                    folder / f"alone.{index}.exr", image, compression=compression
                ),
                frame_count,
            ),
        }
    slowest = max(stages, key=lambda stage: stages[stage])
    parts = ", ".join(f"{stage} {seconds:.2g} s" for stage, seconds in stages.items())
    row = Row(
        f"{frame_count} frames of {width} x {height} ({compression}) over the slowest stage alone "
        f"({slowest})",
        whole.wall_s / stages[slowest],
        "x",
        1.10,
        f"{flow}: {whole}; alone: {parts}",
    )
    return [row]


def frames_memory(
    client: Client, *, flow: str, size: tuple[int, int], short: int, long: int
) -> Row:
    """Return a worker's peak memory for many frames over that for few."""
    pid = client.status().workers[0].pid
    width, height = size
    with tempfile.TemporaryDirectory(prefix="kw-") as name:
        folder = Path(name)
        _write_plates(folder, plate_image(noisy_planes(height, width)), long)
        few = _peak_bytes(pid, lambda: _job(client, folder, flow, short))
        many = _peak_bytes(pid, lambda: _job(client, folder, flow, long))
    detail = f"{flow}: {many / 1e6:.0f} MB over {few / 1e6:.0f} MB, {width} x {height}"
    return Row(f"worker's peak memory, {long} frames over {short}", many / few, "x", 1.05, detail)


def large_frame_memory(client: Client, *, flow: str) -> Row:
    """Return a worker's peak memory for an 8K frame."""
    pid = client.status().workers[0].pid
    with tempfile.TemporaryDirectory(prefix="kw-") as name:
        folder = Path(name)
        image = plate_image(noisy_planes(4320, 7680))
        _write_plates(folder, image, 1, compression="none")
        peak = _peak_bytes(pid, lambda: _job(client, folder, flow, 1))
    return Row(
        "worker's peak memory for an 8K frame", peak / 1e9, "GB", 6.0, f"{flow}: 7680 x 4320, RGBA"
    )


def _write_plates(folder: Path, image: Image, count: int, *, compression: str = "zip") -> None:
    """Write one plate and link it under every frame's number."""
    first = folder / "plate.1001.exr"
    write_image(first, image, compression=compression)
    for index in range(1, count):
        os.link(first, folder / f"plate.{1001 + index}.exr")


def _job(client: Client, folder: Path, flow: str, count: int) -> None:
    job = client.submit(
        str(folder / "plate.####.exr"),
        str(folder / "clean.####.exr"),
        flow=flow,
        frames=f"1001-{1000 + count}",
    )
    for event in job.events(timeout_s=_LONG_S):
        if event.error is not None:
            raise KwafluxError(f"frame {event.frame} failed: {event.error.message}")


def _spread(stage: Callable[[int], object], count: int) -> float:
    """Return the seconds of a stage alone, on as many threads as the engine gives it."""
    stage(0)
    start = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(stage, range(count)))
    return time.perf_counter() - start


def _one(run: Callable[[], object], *, rounds: int = 3) -> float:
    run()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _peak_bytes(pid: int, run: Callable[[], object]) -> int:
    """Return the greatest resident memory of a process while ``run`` runs (Linux: VmHWM)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    run()
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise KwafluxError("this system does not report the peak memory of a process")
