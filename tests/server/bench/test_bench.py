"""The benchmark: frames that fit a budget, CPU time of other processes, and a server of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kwaflux_models.rendering.local_renderer import LocalRenderer
from kwaflux_server.bench.cost import denoise_cost, motion_cost
from kwaflux_server.bench.rows import Row, medians
from kwaflux_server.bench.workload import Cost, cpu_clock
from kwaflux_testing.servers import wait_until

_HOLD = """
import os, time
from kwaflux_server.bench.fixtures import private_server
with private_server(os.environ) as client:
    status = client.status()
    print(status.pid, *(worker.pid for worker in status.workers), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("renders", [1, 7, 200])
def test_a_frame_is_as_large_as_the_budget_allows_and_no_larger(renders: int) -> None:
    cost = Cost(seconds_a_megapixel=12.0)
    width, height = cost.fitting(1920, 1080, renders=renders, budget_s=20.0)
    taken_s = renders * cost.seconds_a_megapixel * width * height / 1e6
    assert taken_s <= 20.0
    assert taken_s > 10.0
    assert width / height == pytest.approx(16 / 9, rel=0.1)


def test_a_frame_is_never_larger_than_wanted_nor_too_small_to_render() -> None:
    assert Cost(0.01).fitting(1920, 1080, renders=1, budget_s=60.0) == (1920, 1080)
    assert Cost(900.0).fitting(1920, 1080, renders=50, budget_s=1.0) == (64, 64)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_cpu_time_of_another_process_counts() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        own, both = cpu_clock([]), cpu_clock([child.pid])
        wait_until(lambda: both() - own() > 0.2, what="the other process used the CPU")
        child.kill()
    assert both() - own() < 0.1


def test_medians_measure_alternately_after_a_warm_up() -> None:
    calls: list[str] = []
    taken = medians((lambda: calls.append("a"), lambda: calls.append("b")), rounds=3)
    assert "".join(calls) == "abababab"
    assert all(each.wall_s >= 0.0 and each.cpu_s >= 0.0 for each in taken)


def test_the_cost_rows_are_a_megapixel_and_say_the_size_they_used() -> None:
    local = LocalRenderer.on_cpu()
    rows: list[Row] = [
        *denoise_cost(local, 96, 64, is_temporal=True),
        *denoise_cost(local, 96, 64, is_temporal=False),
        *motion_cost(local, 96, 64),
    ]
    assert all(row.value > 0.0 for row in rows)
    assert all("96 x 64" in row.detail for row in rows)


@pytest.mark.skipif(sys.platform == "win32", reason="a parent's end is not seen there")
def test_the_private_server_ends_when_the_benchmark_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KWAFLUX_DEVICES", "cpu")
    # A killed process leaves its folder behind.
    with tempfile.TemporaryDirectory(prefix="kw-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        command = [sys.executable, "-c", _HOLD]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bench:
            assert bench.stdout is not None
            pids = [int(pid) for pid in bench.stdout.readline().split()]
            bench.kill()
        assert len(pids) == 2
        wait_until(lambda: not any(map(_runs, pids)), what="the server and its worker ended")


def _runs(pid: int) -> bool:
    """Return whether a process runs; one that ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    return state != "Z"
