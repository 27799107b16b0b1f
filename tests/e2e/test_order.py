"""Who comes first in a real server, and how soon a cancelled frame ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from kwaflux_core import write_image
from kwaflux_core.client.client import Client, RenderResult
from kwaflux_core.errors import Cancelled, DeadlineExceeded, TooManyRequests
from kwaflux_core.protocol.messages import Urgency
from kwaflux_testing.pictures import plate
from kwaflux_testing.servers import RunningServer, StartServer, wait_until

_T = TypeVar("_T")
TILES = 6
SMALL = plate(64, 96)
"""Six tiles of the shared server."""


def _slow(log: Path, name: str, *, seconds: float) -> str:
    return f'slow(seconds={seconds}, log="{log}", name="{name}")'


def _tiles(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").split() if log.exists() else []


def _unfinished(client: Client) -> int:
    status = client.status()
    return status.running + status.waiting


class _Aside:
    """Run calls on threads; wait for them in the end, whatever happened."""

    def __enter__(self) -> _Aside:
        self._pool = ThreadPoolExecutor(8)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)

    def __call__(self, run: Callable[[], _T]) -> Future[_T]:
        return self._pool.submit(run)


def test_a_cancelled_render_ends_within_a_tile(server: RunningServer, tmp_path: Path) -> None:
    log, cancel = tmp_path / "log", threading.Event()
    with server.client() as client, _Aside() as aside:
        flow = _slow(log, "long", seconds=0.3)
        call = aside(lambda: client.render(plate(96, 256), flow, cancel=cancel, timeout_s=60))
        wait_until(lambda: len(_tiles(log)) >= 2, what="two tiles began")
        cancel.set()
        with pytest.raises(Cancelled):
            call.result(30)
        client.render(SMALL, "soften", timeout_s=30)
        begun = len(_tiles(log))
        time.sleep(0.7)
        assert len(_tiles(log)) == begun < 12, "the cancelled frame went on"


def test_a_cancelled_frame_that_waits_for_its_turn_is_answered_at_once(
    server: RunningServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    path = tmp_path / "plate.0001.exr"
    write_image(path, SMALL)
    with server.client() as first, server.client() as second, _Aside() as aside:
        enough = threading.Event()
        flow = _slow(log, "long", seconds=0.3)
        long = aside(
            lambda: first.render(
                plate(96, 256), flow, urgency="sequence", cancel=enough, timeout_s=60
            )
        )
        wait_until(lambda: bool(_tiles(log)), what="the first frame began")
        job = second.submit(path, tmp_path / "c.0001.exr", flow="soften", timeout_s=30)
        wait_until(lambda: _unfinished(second) == 2, what="the job's frame waits")
        time.sleep(0.3)  # the worker has read it: it waits for its turn to compute
        job.cancel()
        assert job.result(timeout_s=30).cancelled == 1
        assert not long.done(), "the first frame was to compute still"
        enough.set()
        with pytest.raises(Cancelled):
            long.result(60)


def test_a_call_that_runs_out_of_time_is_cancelled_on_the_server(
    server: RunningServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with server.client() as client:
        with pytest.raises(DeadlineExceeded):
            client.render(plate(96, 256), _slow(log, "late", seconds=0.2), timeout_s=0.5)
        wait_until(lambda: client.status().running == 0, what="the server let go of the frame")
        assert len(_tiles(log)) < 12


def test_the_newest_request_of_a_node_replaces_the_older_ones(
    server: RunningServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with server.client() as client, _Aside() as aside:

        def render(name: str, node: str) -> Callable[[], RenderResult]:
            flow = _slow(log, name, seconds=0.1)
            return lambda: client.render(SMALL, flow, node=node, timeout_s=60)

        other = aside(render("other", "Kwaflux2"))
        wait_until(lambda: "other" in _tiles(log), what="the other node's frame began")
        calls = []
        for name in ("first", "second", "third"):
            calls.append(aside(render(name, "Kwaflux1")))
            time.sleep(0.1)
        for old in calls[:2]:
            with pytest.raises(Cancelled, match="newer"):
                old.result(30)
        assert calls[2].result(30).report.receipt is not None
        other.result(30)
    counts = {name: _tiles(log).count(name) for name in ("first", "second", "third", "other")}
    assert counts["third"] == counts["other"] == TILES
    assert counts["first"] + counts["second"] < TILES


@pytest.mark.parametrize("lower", ["sequence", "batch"])
def test_an_interactive_frame_goes_between_the_tiles_of_a_running_one(
    server: RunningServer, lower: Urgency, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with server.client() as client, _Aside() as aside:
        flow = _slow(log, lower, seconds=0.15)
        call = aside(lambda: client.render(SMALL, flow, urgency=lower, timeout_s=60))
        wait_until(lambda: bool(_tiles(log)), what="the running frame began")
        client.render(SMALL, _slow(log, "urgent", seconds=0.0), timeout_s=30)
        assert not call.done()
        call.result(30)
    order = _tiles(log)
    begin, end = order.index("urgent"), TILES + order.index("urgent")
    assert order[begin:end] == ["urgent"] * TILES
    assert 1 <= begin < TILES
    assert order.count(lower) == TILES


def test_a_sequence_goes_before_a_batch_that_waits(server: RunningServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for number in range(1, 9):
        write_image(tmp_path / f"plate.{number:04d}.exr", plate(32, 32))
    with server.client() as night, server.client() as day:
        jobs = {}
        for client, urgency in ((night, "batch"), (day, "sequence")):
            flow = _slow(log, urgency, seconds=0.1)
            jobs[urgency] = client.submit(
                tmp_path / "plate.####.exr",
                tmp_path / f"{urgency}.####.exr",
                flow=flow,
                urgency="batch" if urgency == "batch" else "sequence",
                timeout_s=30,
            )
        assert jobs["sequence"].result(timeout_s=60).done == 8
        unfinished = 8 - _tiles(log).count("batch")
        assert unfinished >= 3, _tiles(log)
        assert jobs["batch"].result(timeout_s=60).done == 8


def test_pings_and_questions_are_answered_while_frames_render(
    server: RunningServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with server.client() as client, _Aside() as aside:
        flow = _slow(log, "long", seconds=0.2)
        call = aside(lambda: client.render(SMALL, flow, timeout_s=60))
        wait_until(lambda: bool(_tiles(log)), what="the frame began")
        for _ in range(5):
            client.ping(timeout_s=10)
        status = client.status()
        assert status.running == 1
        assert not call.done()
        call.result(30)


def test_a_client_that_asks_for_too_much_at_a_time_is_told_so(start_server: StartServer) -> None:
    own = start_server({"KWAFLUX_REQUESTS_IN_FLIGHT_MAX": "2"})
    large, enough = plate(96, 256), threading.Event()
    with own.client() as client, _Aside() as aside:
        calls = [
            aside(lambda: client.render(large, "slow(seconds=0.2)", cancel=enough, timeout_s=60))
            for _ in range(2)
        ]
        wait_until(lambda: client.status().running == 2, what="two frames are under way")
        with pytest.raises(TooManyRequests) as caught:
            client.render(SMALL, "soften", timeout_s=30)
        assert caught.value.retryable
        enough.set()
        for call in calls:
            with pytest.raises(Cancelled):
                call.result(30)
        wait_until(lambda: _unfinished(client) == 0, what="the server let go of both")
        client.render(SMALL, "soften", timeout_s=30)
