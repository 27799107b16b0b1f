"""Run the demonstration: film, spoil, enhance through a real server, score.

Owns the order of things, the server it started, and the folder it fills. Must not know how results
are shown.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kwaflux_core.client import Client
from kwaflux_core.errors import (
    DeadlineExceeded,
    KwafluxError,
    ResourceError,
    Unavailable,
    from_wire,
)
from kwaflux_core.files import read_image
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.messages import Failed, RangeReceipt
from kwaflux_server.app import ensure_server
from kwaflux_server.demo.folders import FIRST_FRAME, Folders, Sequence
from kwaflux_server.demo.footage import DATA_WINDOW, DISPLAY_WINDOW, Photograph, camera_path, film
from kwaflux_server.demo.picture import Panel, draw_before_after
from kwaflux_server.demo.plate import DEGRADATION, Plate, shoot, write_frames
from kwaflux_server.demo.readback import check, read_back
from kwaflux_server.demo.report import Check, Report, Run
from kwaflux_server.demo.score import COLOR, differing_channels, merged_receipt, quality

__all__ = ["FRAMES", "Onlooker", "run_demo"]

FRAMES = 24
_FLOW = "denoise"
_STOP_S = 30.0
_FRAME_TIMEOUT_S = 600.0
# The engine and the tank, in the frame in the middle.
_CROP = Box.from_size(304, 300, x0=200, y0=60)


class Onlooker(Protocol):
    """See how far the demonstration is."""

    def begin(self, what: str, *, steps: int) -> None:
        """Hear that something of so many steps begins; what was before it is over."""
        ...

    def step(self) -> None:
        """Hear that one step is done."""
        ...


@dataclass(frozen=True, slots=True)
class _Served:
    """Hold what came of the server's part."""

    server_start_s: float | None
    device: str
    cold: Run
    warm: Run
    receipt: RangeReceipt
    by_memory: Check


def run_demo(
    out: Path,
    *,
    onlooker: Onlooker,
    environ: Mapping[str, str],
    endpoint: str | None = None,
    frames: int = FRAMES,
) -> Report:
    """Make a plate, enhance it twice through a server, and report.

    Args:
        out: The folder to fill; made when it is missing.
        onlooker: Hears how far it is.
        environ: Where the server's places are.
        endpoint: Where the server is; None for the user's own.
        frames: How many frames, at least 1.

    Raises:
        KwafluxError: Nothing could be done: no server comes up, no disk space, no frame was good.
    """
    folders = Folders.claimed(out, passing="second_run")
    try:
        plate = _make_plate(folders, frames, onlooker)
        served = _serve(folders, frames, onlooker, environ=environ, endpoint=endpoint)
        return _report(folders, plate, served, onlooker)
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


def _serve(
    folders: Folders,
    frames: int,
    onlooker: Onlooker,
    *,
    environ: Mapping[str, str],
    endpoint: str | None,
) -> _Served:
    onlooker.begin("starting the server", steps=1)
    began_s = time.monotonic()
    is_ours = ensure_server(environ=environ, endpoint=endpoint)
    start_s = time.monotonic() - began_s if is_ours else None
    onlooker.step()
    with contextlib.ExitStack() as stack:
        if is_ours:
            stack.callback(_stop_server, endpoint, environ)
        client = stack.enter_context(Client.connect(endpoint, name="demo", environ=environ))
        onlooker.begin("enhancing", steps=frames)
        receipts: list[RangeReceipt] = []
        cold = _enhance(client, folders, folders.enhanced, frames, onlooker, receipts)
        onlooker.begin("again, warm", steps=frames)
        warm = _enhance(client, folders, folders.repeated, frames, onlooker, [])
        device = ", ".join(w.device_label or w.device for w in client.status().workers)
        by_memory = _by_memory(folders, frames, endpoint=endpoint, environ=environ)
    return _Served(start_s, device, cold, warm, merged_receipt(receipts), by_memory)


def _enhance(
    client: Client,
    folders: Folders,
    target: Sequence,
    frames: int,
    onlooker: Onlooker,
    receipts: list[RangeReceipt],
) -> Run:
    """Run the flow over the plate, files to files, and add a receipt per frame.

    Raises:
        KwafluxError: What was wrong with the first frame, where no frame is good.
    """
    began_s = time.monotonic()
    job = client.submit(
        folders.plate.pattern,
        target.pattern,
        flow=_FLOW,
        frames=f"{_numbers(frames)[0]}-{_numbers(frames)[-1]}",
    )
    first_s, failures = 0.0, []
    for event in job.events(timeout_s=_FRAME_TIMEOUT_S):
        if event.state == "started":
            continue
        onlooker.step()
        if event.state == "done":
            first_s = first_s or time.monotonic() - began_s
            if event.receipt is not None:
                receipts.append(event.receipt)
        else:
            failures.append((event.frame, _error_of(event.error)))
    done = job.result()
    wall_s = time.monotonic() - began_s
    if not done.done:
        raise failures[0][1] if failures else Unavailable("the server did no frame of the plate")
    failed = tuple(f"frame {frame}: {error.message}" for frame, error in failures)
    return Run(done.done, failed, first_s, wall_s)


def _numbers(frames: int) -> range:
    return range(FIRST_FRAME, FIRST_FRAME + frames)


def _error_of(failed: Failed | None) -> KwafluxError:
    if failed is None:
        return KwafluxError("the server does not say why")
    return from_wire(
        {
            "code": failed.code,
            "message": failed.message,
            "hint": failed.hint,
            "fields": failed.fields,
        }
    )


def _by_memory(
    folders: Folders, frames: int, *, endpoint: str | None, environ: Mapping[str, str]
) -> Check:
    """Render one frame from memory to memory, and compare it with the file of the sequence."""
    done = [f for f in _numbers(frames) if folders.enhanced.file(f).is_file()]
    frame = done[len(done) // 2]
    plate = read_image(folders.plate.file(frame))
    road = "shared memory"
    try:
        with Client.connect(endpoint, transport="shm", name="demo", environ=environ) as client:
            result = client.render(plate, _FLOW, frame=frame)
    except ResourceError:
        road = "ZeroMQ (there is no room for shared memory)"
        with Client.connect(endpoint, transport="inline", name="demo", environ=environ) as client:
            result = client.render(plate, _FLOW, frame=frame)
    standing = read_image(folders.enhanced.file(frame))
    names = sorted({*COLOR, *standing.part.channels})
    differing = differing_channels(result.image, standing, names)
    text = f"frame {frame} by {road} has the pixels of the file, bit for bit"
    return check(text, differing)


def _stop_server(endpoint: str | None, environ: Mapping[str, str]) -> None:
    """Stop the server that we started, and wait until it is gone."""
    with contextlib.suppress(Unavailable, DeadlineExceeded):
        with Client.connect(endpoint, environ=environ) as client:
            client.shutdown()
        deadline_s = time.monotonic() + _STOP_S
        while time.monotonic() < deadline_s:
            Client.connect(endpoint, timeout_s=0.5, environ=environ).close()
            time.sleep(0.05)


def _report(folders: Folders, plate: Plate, served: _Served, onlooker: Onlooker) -> Report:
    onlooker.begin("reading back, scoring", steps=len(plate.clean))
    found = read_back(folders, plate.clean, on_frame=onlooker.step)
    middle = len(found.enhanced) // 2
    panels = [
        Panel("plate", found.plate[middle]),
        Panel("enhanced", found.enhanced[middle]),
        Panel("clean", found.clean[middle]),
    ]
    draw_before_after(panels, folders.picture, crop=_CROP)
    return Report(
        plate_about=_about(plate),
        flow=_FLOW,
        device=served.device,
        plate=quality(found.plate, found.clean),
        enhanced=quality(found.enhanced, found.clean),
        server_start_s=served.server_start_s,
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
