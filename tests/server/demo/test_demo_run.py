from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from kwaflux_core.client.client import Client
from kwaflux_core.errors import ParamError, Unavailable
from kwaflux_core.images.io import read_image
from kwaflux_core.protocol.messages import RangeReceipt
from kwaflux_server.cli.console import OUT
from kwaflux_server.demo.report import Check, Report, Run, as_fields, as_table
from kwaflux_server.demo.run import run_demo
from kwaflux_server.demo.score import Quality

FRAMES = 3


class Listener:
    """Remember what was heard, and do something when a stage begins."""

    def __init__(self, at: str = "", file: Path | None = None) -> None:
        self.steps: dict[str, list[int]] = {}
        self._at, self._file = at, file

    def begin(self, what: str, *, steps: int) -> None:
        self.steps[what] = [0, steps]
        if what == self._at and self._file is not None:
            os.truncate(self._file, 2000)

    def step(self) -> None:
        next(reversed(self.steps.values()))[0] += 1


@pytest.fixture(scope="module")
def environ() -> Iterator[Mapping[str, str]]:
    """A place of our own for a server; a socket's path must be short."""
    folder = tempfile.mkdtemp(prefix="kwx-")
    yield {
        **os.environ,
        "KWAFLUX_RUNTIME_DIR": folder,
        "KWAFLUX_DEVICES": "cpu",
        "KWAFLUX_PRECISION": "float32",
    }
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def running(environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    command = [sys.executable, "-m", "kwaflux_server", "serve"]
    with (Path(environ["KWAFLUX_RUNTIME_DIR"]) / "test.log").open("wb") as log:
        server = subprocess.Popen(command, env=dict(environ), stdout=log, stderr=log)
    deadline_s = time.monotonic() + 60.0
    with Client.connect(environ=environ, waits_for_server=True, timeout_s=60.0) as client:
        while not any(worker.is_ready for worker in client.status().workers):
            assert time.monotonic() < deadline_s, "the worker is not ready"
            time.sleep(0.05)
    yield environ
    with Client.connect(environ=environ) as client:
        client.shutdown()
    server.wait(30.0)


def test_the_demo_uses_a_running_server_and_leaves_it_running(
    running: Mapping[str, str], tmp_path: Path
) -> None:
    listener = Listener()
    report = run_demo(
        tmp_path / "demo", progress=listener, environ=running, flow="identity", frames=FRAMES
    )
    assert all(done == steps for done, steps in listener.steps.values()), listener.steps
    assert report.server_start_s is None
    assert report.exit_status == 0, report.checks
    assert (report.cold.frames, report.warm.frames) == (FRAMES, FRAMES)
    assert 0 < report.cold.first_frame_s <= report.cold.wall_s
    assert report.psnr_gain_db == 0.0
    assert 20.0 < report.plate.psnr_db < 32.0
    assert 0.0 <= report.receipt.min_in < report.receipt.max_in <= 1.0
    assert "by shared memory" in report.checks[1].text
    with Client.connect(environ=running) as client:
        assert client.status().workers
    out = tmp_path / "demo"
    names = sorted(entry.name for entry in out.iterdir())
    assert names == [".kwaflux-demo", "before_after.png", "clean", "enhanced", "plate", "plate.mp4"]
    written = read_image(out / "enhanced" / "plate.1001.exr")
    assert written.part.data_window.as_tuple() == (-8, -8, 648, 368)
    assert written.part.attributes["kwaflux/flow"] == "identity"
    with PIL.Image.open(out / "before_after.png") as opened:
        sheet = np.asarray(opened)
    assert (sheet[:300, :304] == sheet[:300, 308:612]).all()
    assert (sheet[:300, :304] != sheet[:300, 616:920]).mean() > 0.5


def test_the_shipped_denoiser_gains_what_the_demo_promises(
    running: Mapping[str, str], tmp_path: Path
) -> None:
    report = run_demo(
        tmp_path / "demo", progress=Listener(), environ=running, flow="denoise", frames=3
    )
    assert report.exit_status == 0, report.checks
    assert report.psnr_gain_db >= 1.5
    assert report.enhanced.ssim > report.plate.ssim + 0.05


def test_a_frame_that_is_damaged_on_its_way_is_told_and_the_others_are_done(
    running: Mapping[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    damage = Listener("starting the server", out / "plate" / "plate.1002.exr")
    report = run_demo(out, progress=damage, environ=running, flow="identity", frames=FRAMES)
    assert (report.exit_status, report.cold.frames) == (1, FRAMES - 1)
    assert len(report.cold.failed) == 1
    assert report.cold.failed[0].startswith("frame 1002: ")
    assert not (out / "enhanced" / "plate.1002.exr").exists()
    assert all(check.is_good for check in report.checks)


def test_a_flow_that_cannot_be_is_an_error_of_its_own_kind(
    running: Mapping[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ParamError):
        run_demo(
            tmp_path / "demo",
            progress=Listener(),
            environ=running,
            flow="denoise(strength=7)",
            frames=1,
        )
    assert not (tmp_path / "demo" / "second_run").exists()


def test_a_server_that_the_demo_started_is_gone_afterwards(tmp_path: Path) -> None:
    runtime = Path(tempfile.mkdtemp(prefix="kwx-"))
    environ = {**os.environ, "KWAFLUX_RUNTIME_DIR": str(runtime), "KWAFLUX_DEVICES": "cpu"}
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "kwaflux_server", "demo", "--json", "--out", str(out)]
    try:
        ended = subprocess.run(
            [*command, "--flow", "identity", "--count", "2"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        (line,) = ended.stdout.splitlines()
        report = json.loads(line)
        assert report["event"] == "demo"
        assert report["server_start_s"] > 0
        assert report["cold"]["frames"] == 2
        assert report["psnr_gain_db"] == 0.0
        assert all(check["is_good"] for check in report["checks"])
        assert len(list((out / "enhanced").glob("plate.*.exr"))) == 2
        with pytest.raises(Unavailable):
            Client.connect(environ=environ, timeout_s=0.5)
    finally:
        shutil.rmtree(runtime)


def test_without_pyav_the_other_commands_work_and_the_demo_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['av'] = None; sys.argv = ['kwaflux', sys.argv[1]]; "
        "from kwaflux_server.__main__ import main; sys.exit(main())"
    )
    listed, shown = (
        subprocess.run(
            [sys.executable, "-c", script, command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for command in ("effects", "demo")
    )
    assert listed.returncode == 0, listed.stderr
    assert "identity" in listed.stdout
    assert shown.returncode == 2
    assert "needs av" in shown.stderr
    assert 'pip install "kwaflux[train]"' in shown.stderr
    assert "Traceback" not in shown.stderr


def report_of(**changes: object) -> Report:
    run = Run(24, (), 0.5, 6.0)
    fields: dict[str, object] = {
        "plate_about": "24 frames of something",
        "flow": "denoise",
        "device": "CPU",
        "plate": Quality(26.0, 0.75),
        "enhanced": Quality(28.5, 0.85),
        "server_start_s": 3.0,
        "cold": Run(24, (), 2.0, 8.0),
        "warm": run,
        "receipt": RangeReceipt(0.0, 1.0, -0.01, 1.25, 0.0, 0, 0),
        "checks": (Check("all is as it was", True),),
        "files": {"plate": "demo/plate/plate.####.exr"},
        **changes,
    }
    return Report(**fields)  # type: ignore[arg-type]


def printed(report: Report) -> str:
    with OUT.capture() as capture:
        OUT.print(as_table(report))
    return capture.get()


def test_the_page_says_gain_speed_range_and_files() -> None:
    page = printed(report_of())
    for words in ("+2.50 dB", "+0.1000", "3.00", "4.00", "-0.01 to 1.25 out", "plate.####.exr"):
        assert words in page
    assert "cold" in page
    assert "NOT" not in page


def test_where_a_server_ran_already_no_run_is_called_cold() -> None:
    page = printed(report_of(server_start_s=None))
    assert "cold" not in page
    assert "was running" in page


def test_a_check_that_does_not_hold_is_said_and_changes_the_exit_status() -> None:
    report = report_of(checks=(Check("all is as it was; but not R", False),))
    assert report.exit_status == 1
    assert "NOT all is as it was; but not R" in printed(report)
    failed = Run(23, ("frame 1002: it is truncated",), 2.0, 8.0)
    assert report_of(warm=failed).exit_status == 1
    assert "frame 1002: it is truncated" in printed(report_of(warm=failed))


def test_the_json_holds_what_the_page_holds() -> None:
    fields = json.loads(json.dumps(as_fields(report_of())))
    assert fields["psnr_gain_db"] == 2.5
    assert fields["exit_status"] == 0
    assert fields["cold"]["frames_per_s"] == 3.0
    assert fields["warm"]["frames_per_s"] == 4.0
    assert fields["receipt"]["max_out"] == 1.25
