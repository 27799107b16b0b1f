"""Processes that die: a client, a worker, the whole server. The others go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kwaflux_core import write_image
from kwaflux_core.errors import DeadlineExceeded, ModelError, Unavailable, WorkerError
from kwaflux_core.images.atomic_write import TEMPORARY_PREFIX
from kwaflux_core.protocol.messages import WorkerInfo
from kwaflux_testing.pictures import plate
from kwaflux_testing.servers import (
    Place,
    RunningServer,
    StartServer,
    new_place,
    serving,
    wait_until,
)

SMALL = plate(64, 96)

_CLIENT = """
import sys
from kwaflux_core import Client
from kwaflux_testing.pictures import plate
with Client.connect(name="doomed") as client:
    client.render(plate(64, 96), "identity", timeout_s=60)
    client.render(plate(96, 256), sys.argv[1], timeout_s=60)
"""


@pytest.fixture(scope="module")
def mortal(effects_folder: Path) -> Iterator[RunningServer]:
    """Give a server whose workers these tests may kill, and which lives on."""
    with new_place(effects_folder) as found, serving(found) as running:
        yield running


def _doomed(place: Place, flow: str) -> subprocess.Popen[bytes]:
    support = str(Path(__file__).parents[1] / "support")
    path = os.pathsep.join([support, place.environ["PYTHONPATH"]])
    return subprocess.Popen(
        [sys.executable, "-c", _CLIENT, flow], env={**place.environ, "PYTHONPATH": path}
    )


def _worker(server: RunningServer) -> WorkerInfo:
    (worker,) = server.status().workers
    return worker


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_a_client_that_is_killed_leaves_no_work_and_no_memory_behind(
    server: RunningServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    doomed = _doomed(server.place, f'slow(seconds=0.2, log="{log}", name="x")')
    try:
        wait_until(log.exists, what="the client's frame began")
        rings = server.ring_files()
        assert len(rings) >= 1
        with server.client() as other:
            doomed.kill()
            doomed.wait(10)
            wait_until(lambda: other.status().running == 0, what="its frame was dropped")
            tiles = len(log.read_text(encoding="utf-8").split())
            assert tiles < 24, "its frame was rendered to the end"
            wait_until(lambda: not server.ring_files(), what="its rings were removed", timeout_s=10)
            other.render(SMALL, "soften", timeout_s=30)
    finally:
        doomed.kill()


def test_a_worker_that_is_killed_in_a_frame_costs_no_frame(
    mortal: RunningServer, tmp_path: Path
) -> None:
    own, log = mortal, tmp_path / "log"
    before = _worker(own)
    with own.client() as client, ThreadPoolExecutor(1) as pool:
        flow = f'slow(seconds=0.2, log="{log}", name="x")'
        call = pool.submit(client.render, SMALL, flow, timeout_s=90)
        wait_until(log.exists, what="the frame began")
        os.kill(before.pid, signal.SIGKILL)
        assert call.result(90).report.receipt.max_out > 0
        after = _worker(own)
        assert after.pid != before.pid
        assert after.restarts == before.restarts + 1
        client.render(SMALL, "soften", timeout_s=60)
    assert "killed by signal 9" in own.log()

    mark = tmp_path / "mark"
    write_image(tmp_path / "plate.1001.exr", SMALL)
    with own.client() as client:
        # An effect that kills once is retried too, also from file to file.
        done = client.render_file(
            tmp_path / "plate.1001.exr",
            tmp_path / "clean.1001.exr",
            f'deadly(mark="{mark}")',
            timeout_s=90,
        )
        assert done.state == "done"
        assert mark.exists()
        assert _worker(own).restarts == before.restarts + 2
    assert own.process.poll() is None


def test_a_frame_that_kills_every_worker_is_reported_and_costs_a_job_no_other_frame(
    mortal: RunningServer, tmp_path: Path
) -> None:
    own, before = mortal, _worker(mortal)
    for number in range(1, 6):
        write_image(tmp_path / f"plate.{number:04d}.exr", plate(32, 32))
    with own.client() as client, own.client() as other:
        job = client.submit(
            tmp_path / "plate.####.exr", tmp_path / "c.####.exr", flow="soften", timeout_s=60
        )
        # It is tried on a second worker, and no third.
        with pytest.raises(WorkerError, match="lost") as caught:
            other.render(SMALL, "deadly", timeout_s=90)
        assert "log" in caught.value.hint
        assert caught.value.retryable
        assert job.result(timeout_s=90).done == 5
        assert _worker(own).restarts == before.restarts + 2
    assert own.process.poll() is None


def test_an_effect_that_raises_or_gives_nan_is_an_error_of_its_frame_alone(
    server: RunningServer,
) -> None:
    before = _worker(server)
    with server.client() as client:
        with pytest.raises(WorkerError, match="fell over its own feet"):
            client.render(SMALL, "clumsy", timeout_s=60)
        with pytest.raises(ModelError, match="NaN"):
            client.render(SMALL, "poison", timeout_s=60)
        client.render(SMALL, "soften", timeout_s=60)
    assert _worker(server).pid == before.pid


def test_after_a_killed_server_the_client_is_told_and_the_next_one_starts_clean(
    start_server: StartServer, tmp_path: Path
) -> None:
    rings, log = tmp_path / "rings", tmp_path / "log"
    rings.mkdir(mode=0o700)  # of its own: any server that starts sweeps the common one
    own = start_server({"KWAFLUX_RING_DIR": str(rings)})
    worker = _worker(own)
    write_image(tmp_path / "plate.0001.exr", SMALL)
    with own.client() as client, ThreadPoolExecutor(2) as pool:
        flow = f'slow(seconds=0.3, log="{log}", name="x")'
        call = pool.submit(client.render, SMALL, flow, timeout_s=90)
        job = client.submit(
            tmp_path / "plate.0001.exr", tmp_path / "c.0001.exr", flow=flow, timeout_s=60
        )
        ending = pool.submit(job.result, timeout_s=90)
        wait_until(log.exists, what="the frame began")
        ring_dir = own.ring_files()[0].parent
        own.process.kill()
        for waiting in (call, ending):
            with pytest.raises(Unavailable):
                waiting.result(15)
        own.process.wait(10)
        with pytest.raises(Unavailable, match="no server"):
            client.ping(timeout_s=10)
        wait_until(lambda: _is_gone(worker.pid), what="its worker ended", timeout_s=30)
        assert ring_dir.exists(), "a killed server cannot clean up"

        again = start_server(at=own.place)
        assert not ring_dir.exists(), "the next server removes what the killed one left"
        client.render(SMALL, "soften", timeout_s=60)
        assert client.status().pid == again.process.pid
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(TEMPORARY_PREFIX)]


def test_a_second_server_at_the_same_place_is_refused_and_harms_nobody(
    server: RunningServer,
) -> None:
    with server.client() as client:
        second = server.place.command("serve")
        assert second.returncode == 2
        assert "another server" in second.stderr
        assert "Traceback" not in second.stderr
        client.render(SMALL, "soften", timeout_s=60)
        assert client.status().pid == server.process.pid


def test_the_end_of_a_server_removes_its_socket_its_rings_and_its_workers(
    start_server: StartServer,
) -> None:
    own = start_server()
    worker = _worker(own)
    with own.client() as client:
        client.render(SMALL, "soften", timeout_s=60)
        ring_dir = own.ring_files()[0].parent
    assert own.end() == 0, own.log()
    assert not ring_dir.exists()
    assert _is_gone(worker.pid)
    left = {path.suffix for path in own.place.folder.iterdir()}
    assert ".sock" not in left
    assert "Traceback" not in own.log()


def test_ctrl_c_in_the_servers_terminal_finishes_the_frame_that_runs(
    start_server: StartServer, tmp_path: Path
) -> None:
    own, log = start_server(), tmp_path / "log"
    with own.client() as client, ThreadPoolExecutor(1) as pool:
        flow = f'slow(seconds=0.2, log="{log}", name="x")'
        call = pool.submit(client.render, SMALL, flow, timeout_s=60)
        wait_until(log.exists, what="the frame began")
        os.killpg(own.process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        assert call.result(60).report.receipt.max_out > 0
    assert own.process.wait(30) == 0
    assert "Traceback" not in own.log()


def _refuses_work(server: RunningServer) -> bool:
    with server.client() as client:
        try:
            client.render(SMALL, "identity", urgency="batch", timeout_s=0.1)
        except Unavailable as refused:
            return "shutting down" in refused.message
        except DeadlineExceeded:
            pass
    return False


def test_a_second_ctrl_c_does_not_wait_for_the_frame(
    start_server: StartServer, tmp_path: Path
) -> None:
    own, log = start_server(), tmp_path / "log"
    with own.client() as client, ThreadPoolExecutor(1) as pool:
        flow = f'slow(seconds=2, log="{log}", name="x")'
        call = pool.submit(client.render, SMALL, flow, timeout_s=60)
        wait_until(log.exists, what="the frame began")
        own.process.send_signal(signal.SIGINT)
        wait_until(lambda: _refuses_work(own), what="the signal has arrived")
        own.process.send_signal(signal.SIGINT)
        with pytest.raises(Unavailable):
            call.result(15)
    assert own.process.wait(30) == 0
    assert "Traceback" not in own.log()
