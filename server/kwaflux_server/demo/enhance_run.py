"""Render the plate on a real server: twice from files, and one frame by shared memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kwaflux_core.client.client import Client, Transport
from kwaflux_core.errors import (
    DeadlineExceeded,
    KwafluxError,
    ResourceError,
    Unavailable,
)
from kwaflux_core.frames.shot_profile import profile_path
from kwaflux_core.images.io import read_image
from kwaflux_core.protocol.failures import failure_of
from kwaflux_core.protocol.messages import Failed, RangeReceipt
from kwaflux_server.demo.folders import Folders, Sequence
from kwaflux_server.demo.report import Check, Run
from kwaflux_server.demo.score import COLOR, differing_channels, merged_receipt
from kwaflux_server.demo.verify_outputs import check
from kwaflux_server.launcher import ensure_server

__all__ = ["ProgressListener", "Served", "Service"]

_STOP_S = 30.0
_AROUND = 2
"""How many frames on either side a temporal effect may read."""
_FRAME_TIMEOUT_S = 600.0


class ProgressListener(Protocol):
    """Receives the progress of the demonstration."""

    def begin(self, what: str, *, steps: int) -> None:
        """Begin a stage of so many steps; this ends the stage before it."""
        ...

    def step(self) -> None:
        """Count one step as done."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """The results of the renders on the server.

    Args:
        start_s: Seconds until the server was ready; None if one was already running.
        device: Devices of its workers.
        cold: The first run.
        warm: The second run.
        receipt: The range receipt of the first run.
        by_memory: Whether a frame by shared memory equals the same frame by files.
    """

    start_s: float | None
    device: str
    cold: Run
    warm: Run
    receipt: RangeReceipt
    by_memory: Check


@dataclass(frozen=True, slots=True)
class Service:
    """Render on the server: both runs, and the frame by shared memory.

    Args:
        folders: Folders of the plate and of the results.
        flow: The flow to render.
        numbers: The frames.
        progress: Receives the progress.
        environ: The environment, which names the server's folders.
        endpoint: Address of the server; None for the user's own.
    """

    folders: Folders
    flow: str
    numbers: range
    progress: ProgressListener
    environ: Mapping[str, str]
    endpoint: str | None

    def run(self) -> Served:
        """Find or start a server, use it, and stop it if it was started.

        Raises:
            KwafluxError: The server did not start, or no frame is good.
        """
        self.progress.begin("starting the server", steps=1)
        began_s = time.monotonic()
        is_ours = ensure_server(environ=self.environ, endpoint=self.endpoint)
        start_s = time.monotonic() - began_s if is_ours else None
        self.progress.step()
        with contextlib.ExitStack() as stack:
            if is_ours:
                stack.callback(self._stop_server)
            client = stack.enter_context(self._connect())
            receipts: list[RangeReceipt] = []
            cold = self._enhance(client, "enhancing", self.folders.enhanced, receipts)
            warm = self._enhance(client, "again, warm", self.folders.repeated, [])
            workers = client.status().workers
            by_memory = self._by_memory()
        device = ", ".join(worker.device_label or worker.device for worker in workers)
        return Served(start_s, device, cold, warm, merged_receipt(receipts), by_memory)

    def _connect(self, transport: Transport | None = None, *, timeout_s: float = 5.0) -> Client:
        return Client.connect(
            self.endpoint,
            timeout_s=timeout_s,
            transport=transport,
            name="demo",
            environ=self.environ,
        )

    def _enhance(
        self, client: Client, what: str, target: Sequence, receipts: list[RangeReceipt]
    ) -> Run:
        """Run the flow over the plate, files to files, and add a receipt per frame.

        Raises:
            KwafluxError: The error of the first frame, if no frame is good.
        """
        self.progress.begin(what, steps=len(self.numbers))
        began_s = time.monotonic()
        job = client.submit(
            self.folders.plate.pattern,
            target.pattern,
            flow=self.flow,
            frames=f"{self.numbers[0]}-{self.numbers[-1]}",
        )
        first_s, failures = 0.0, []
        for event in job.events(timeout_s=_FRAME_TIMEOUT_S):
            if event.state == "started":
                continue
            self.progress.step()
            if event.state == "done":
                first_s = first_s or time.monotonic() - began_s
                if event.report is not None:
                    receipts.append(event.report.receipt)
            else:
                failures.append((event.frame, _error_of(event.error)))
        done = job.result()
        wall_s = time.monotonic() - began_s
        if not done.done:
            raise failures[0][1] if failures else Unavailable("the server rendered no frame")
        failed = tuple(f"frame {frame}: {error.message}" for frame, error in failures)
        return Run(done.done, failed, first_s, wall_s)

    def _by_memory(self) -> Check:
        """Render one frame from memory to memory, and compare it with the rendered file."""
        done = [frame for frame in self.numbers if self.folders.enhanced.file(frame).is_file()]
        frame = done[len(done) // 2]
        plate = read_image(self.folders.plate.file(frame))
        around = {
            number: read_image(self.folders.plate.file(number))
            for number in range(frame - _AROUND, frame + _AROUND + 1)
            if number in done and number != frame
        }
        # Pixels in memory have no clip: they are told what its shots were judged to be.
        judged = Path(profile_path(self.folders.enhanced.pattern))
        profile = judged.read_text(encoding="utf-8") if judged.is_file() else ""
        transport = "shared memory"
        try:
            with self._connect("shm") as client:
                result = client.render(
                    plate, self.flow, frame=frame, neighbors=around, profile=profile
                )
        except ResourceError:
            transport = "ZeroMQ (no room for shared memory)"
            with self._connect("inline") as client:
                result = client.render(
                    plate, self.flow, frame=frame, neighbors=around, profile=profile
                )
        rendered_file = read_image(self.folders.enhanced.file(frame))
        names = sorted({*COLOR, *rendered_file.part.channels})
        differing = differing_channels(result.image, rendered_file, names)
        return check(
            f"frame {frame} by {transport} has the pixels of the file, bit for bit", differing
        )

    def _stop_server(self) -> None:
        """Stop the server that we started, and wait until it is gone."""
        with contextlib.suppress(Unavailable, DeadlineExceeded):
            with self._connect() as client:
                client.shutdown()
            deadline_s = time.monotonic() + _STOP_S
            while time.monotonic() < deadline_s:
                self._connect(timeout_s=0.5).close()
                time.sleep(0.05)


def _error_of(failed: Failed | None) -> KwafluxError:
    if failed is None:
        return KwafluxError("the server gave no reason")
    return failure_of(failed)
