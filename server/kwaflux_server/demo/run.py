"""Run the demonstration: film, degrade, enhance on a real server, score."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from kwaflux_core.geometry import Box
from kwaflux_server.demo.before_after import Panel, draw_before_after
from kwaflux_server.demo.camera_shot import (
    DATA_WINDOW,
    DISPLAY_WINDOW,
    Photograph,
    camera_path,
    film,
)
from kwaflux_server.demo.degraded_plate import DEGRADATION, Plate, shoot, write_frames
from kwaflux_server.demo.enhance_run import ProgressListener, Served, Service
from kwaflux_server.demo.folders import FIRST_FRAME, Folders
from kwaflux_server.demo.report import Report
from kwaflux_server.demo.score import quality
from kwaflux_server.demo.verify_outputs import read_back

__all__ = ["run_demo"]

# The engine and the tank, in the frame in the middle.
_CROP = Box.from_size(304, 300, x0=200, y0=60)


def run_demo(
    out: Path,
    *,
    progress: ProgressListener,
    environ: Mapping[str, str],
    endpoint: str | None = None,
    flow: str,
    frames: int,
) -> Report:
    """Make a plate, render it twice on a server, and report.

    Args:
        out: The output folder; made if missing.
        progress: Receives the progress.
        environ: The environment, which names the server's folders.
        endpoint: Address of the server; None for the user's own.
        flow: The flow to render; its scale is 1.
        frames: Number of frames, at least 1.

    Raises:
        KwafluxError: The server did not start, the disk is full, or no frame is good.
    """
    folders = Folders.claimed(out, temporary="second_run")
    try:
        plate = _make_plate(folders, frames, progress)
        serve = Service(
            folders, flow, range(FIRST_FRAME, FIRST_FRAME + frames), progress, environ, endpoint
        )
        return _report(folders, plate, serve.run(), progress, flow=flow)
    finally:
        shutil.rmtree(folders.temporary, ignore_errors=True)


def _make_plate(folders: Folders, frames: int, progress: ProgressListener) -> Plate:
    progress.begin("filming, adding noise, encoding", steps=2)
    shot = film(Photograph.load(), camera_path(frames))
    progress.step()
    plate = shoot(shot, folders.movie)
    progress.step()
    progress.begin("writing EXRs", steps=2 * frames)
    for _ in write_frames(folders.plate, plate.degraded, shot=shot):
        progress.step()
    for _ in write_frames(folders.clean, plate.clean):
        progress.step()
    return plate


def _report(
    folders: Folders, plate: Plate, served: Served, progress: ProgressListener, *, flow: str
) -> Report:
    progress.begin("reading back", steps=len(plate.clean))
    results = read_back(folders, plate.clean, on_frame=progress.step)
    middle = len(results.enhanced) // 2
    panels = [
        Panel("plate", results.plate[middle]),
        Panel("enhanced", results.enhanced[middle]),
        Panel("clean", results.clean[middle]),
    ]
    draw_before_after(panels, folders.picture, crop=_CROP)
    progress.begin("scoring", steps=2)
    before = quality(results.plate, results.clean)
    progress.step()
    after = quality(results.enhanced, results.clean)
    progress.step()
    return Report(
        plate_about=_about(plate),
        flow=flow,
        device=served.device,
        plate=before,
        enhanced=after,
        server_start_s=served.start_s,
        cold=served.cold,
        warm=served.warm,
        receipt=served.receipt,
        checks=(results.is_untouched, served.by_memory, results.is_repeated),
        files={
            "plate": folders.plate.pattern,
            "enhanced": folders.enhanced.pattern,
            "clean": folders.clean.pattern,
            "movie": str(folders.movie),
            "before/after": str(folders.picture),
        },
    )


def _about(plate: Plate) -> str:
    return (
        f"{len(plate.clean)} frames of {DISPLAY_WINDOW.width} x {DISPLAY_WINDOW.height} "
        f"({DATA_WINDOW.width} x {DATA_WINDOW.height} with overscan), sensor noise "
        f"{DEGRADATION.sigma:g}, H.264 at CRF {DEGRADATION.crf} ({plate.kbit_s / 1000:.1f} Mbit/s)"
    )
