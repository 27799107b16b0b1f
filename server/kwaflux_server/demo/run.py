"""Run the demonstration: film, spoil, enhance through a real server, score."""

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
from kwaflux_server.demo.enhance_run import Onlooker, Served, Service
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
    onlooker: Onlooker,
    environ: Mapping[str, str],
    endpoint: str | None = None,
    flow: str,
    frames: int,
) -> Report:
    """Make a plate, enhance it twice through a server, and report.

    Args:
        out: The folder to fill; made when it is missing.
        onlooker: Hears how far it is.
        environ: Where the server's places are.
        endpoint: Where the server is; None for the user's own.
        flow: What is done to the plate; it keeps the size.
        frames: How many frames, at least 1.

    Raises:
        KwafluxError: Nothing could be done: no server comes up, no disk space, no frame was good.
    """
    folders = Folders.claimed(out, passing="second_run")
    try:
        plate = _make_plate(folders, frames, onlooker)
        serve = Service(
            folders, flow, range(FIRST_FRAME, FIRST_FRAME + frames), onlooker, environ, endpoint
        )
        return _report(folders, plate, serve.run(), onlooker, flow=flow)
    finally:
        shutil.rmtree(folders.passing, ignore_errors=True)


def _make_plate(folders: Folders, frames: int, onlooker: Onlooker) -> Plate:
    onlooker.begin("filming, adding noise, encoding", steps=2)
    shot = film(Photograph.load(), camera_path(frames))
    onlooker.step()
    plate = shoot(shot, folders.movie)
    onlooker.step()
    onlooker.begin("writing EXRs", steps=2 * frames)
    for _ in write_frames(folders.plate, plate.degraded, shot=shot):
        onlooker.step()
    for _ in write_frames(folders.clean, plate.clean):
        onlooker.step()
    return plate


def _report(
    folders: Folders, plate: Plate, served: Served, onlooker: Onlooker, *, flow: str
) -> Report:
    onlooker.begin("reading back", steps=len(plate.clean))
    found = read_back(folders, plate.clean, on_frame=onlooker.step)
    middle = len(found.enhanced) // 2
    panels = [
        Panel("plate", found.plate[middle]),
        Panel("enhanced", found.enhanced[middle]),
        Panel("clean", found.clean[middle]),
    ]
    draw_before_after(panels, folders.picture, crop=_CROP)
    onlooker.begin("scoring", steps=2)
    before = quality(found.plate, found.clean)
    onlooker.step()
    after = quality(found.enhanced, found.clean)
    onlooker.step()
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
        checks=(found.is_untouched, served.by_memory, found.is_repeated),
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
