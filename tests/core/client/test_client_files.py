"""Files and jobs through the client: paths, bytes, and the events of a frame range."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core import Client, Flow, Image
from kwaflux_core.client.exr_request import ExrRequest
from kwaflux_core.errors import DeadlineExceeded, ProtocolError, RequestError, Unavailable
from kwaflux_core.images.exr.read import exr_to_bytes, read_exr
from kwaflux_core.protocol.failures import failure_of
from kwaflux_core.protocol.messages import (
    ExrPixels,
    FrameReport,
    PathPixels,
    PathTarget,
    Pong,
    RangeReceipt,
    Render,
    Rendered,
    Submit,
)
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_testing.fake_server import FakeServer, wait_until

_NO_ENVIRONMENT: Mapping[str, str] = {}
_RECEIPT = RangeReceipt(0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    with FakeServer(tmp_path) as made:
        yield made


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client.connect(server.endpoint, environ=_NO_ENVIRONMENT) as made:
        yield made


def _request(server: FakeServer) -> Render:
    request = server.of_kind("render")[-1]
    assert isinstance(request, Render)
    return request


# --- one frame ------------------------------------------------------------------------------


def test_relative_paths_are_made_absolute_because_the_server_works_elsewhere(
    server: FakeServer, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.exr").write_bytes(b"plate")
    result = client.render_file(
        "a.exr",
        Path("sub/../b.exr"),
        Flow.parse("double"),
        frame=1001,
        neighbors={1000: "z.exr", 1001: "never.exr"},
        options=RenderOptions(colorspace="ACEScg", half=True, existing="verify", compression="piz"),
    )
    request = _request(server)
    assert (result.path, result.state) == (str(tmp_path / "b.exr"), "done")
    assert (tmp_path / "b.exr").read_bytes() == b"plate"
    assert [source.pixels for source in request.sources] == [
        PathPixels(str(tmp_path / "a.exr")),
        PathPixels(str(tmp_path / "z.exr")),
    ]
    assert request.target == PathTarget(str(tmp_path / "b.exr"))
    assert result.report.provenance["colorspace"] == "ACEScg"


def test_a_path_that_is_no_unicode_is_refused_before_it_is_sent(
    server: FakeServer, client: Client
) -> None:
    with pytest.raises(RequestError, match="Unicode"):
        client.render_file(os.fsdecode(b"/plate\xff.exr"), "b.exr", "double")
    assert "render" not in server.kinds()


def test_the_bytes_of_an_exr_travel_there_and_back(client: Client) -> None:
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    data = exr_to_bytes(Image.from_channels(dict.fromkeys("RGB", plane)))
    answer = client.render_exr(ExrRequest(data=data, flow="double", frame=3)).data
    np.testing.assert_array_equal(read_exr(answer).part.channels["G"], plane * 2)


@pytest.mark.parametrize("part", [-1, 1])
def test_an_answer_without_its_file_is_a_protocol_error(tmp_path: Path, part: int) -> None:
    answer = Rendered(0, ExrPixels(part), FrameReport(_RECEIPT))
    with (
        FakeServer(tmp_path, replies={"render": lambda _: (answer, (b"x",))}) as server,
        Client.connect(server.endpoint, environ=_NO_ENVIRONMENT) as client,
    ):
        with pytest.raises(ProtocolError):
            client.render_exr(ExrRequest(data=b"x", flow="double"))
        with pytest.raises(ProtocolError):
            client.render_file("/a.exr", "/b.exr", "double")


def test_files_bytes_and_jobs_need_no_numpy(server: FakeServer, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['numpy'] = None\n"
        "from kwaflux_core import Client\n"
        "from kwaflux_core.client.exr_request import ExrRequest\n"
        "with Client.connect(sys.argv[1], environ={}) as client:\n"
        "    client.render_file(sys.argv[2], sys.argv[2] + '.out', 'double')\n"
        "    request = ExrRequest(data=b'plate', flow='identity')\n"
        "    assert client.render_exr(request).data == b'plate'\n"
        "    assert client.submit('a.####.exr', 'b.####.exr', flow='double').result().done == 2\n"
        "    assert client.effects()\n"
    )
    plate = tmp_path / "a.exr"
    plate.write_bytes(b"plate")
    done = subprocess.run(
        [sys.executable, "-c", code, server.endpoint, str(plate)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.exr.out").read_bytes() == b"plate"


# --- jobs -----------------------------------------------------------------------------------


def test_a_jobs_events_come_in_order_and_end(server: FakeServer, client: Client) -> None:
    job = client.submit(
        "plate.####.exr",
        "clean.####.exr",
        flow=Flow.parse("double"),
        frames="1001-1003",
        options=RenderOptions(existing="skip", half=True),
    )
    assert (job.id, job.frames) == ("j1", (1001, 1002, 1003))
    events = list(job.events(timeout_s=5))
    assert [(event.frame, event.state) for event in events] == [
        (1001, "started"),
        (1001, "done"),
        (1002, "started"),
        (1002, "failed"),
        (1003, "started"),
        (1003, "done"),
    ]
    error = events[3].error
    assert error is not None
    assert failure_of(error).message == "the frame is not there"
    assert list(job.events()) == []
    assert (job.result().done, job.result().failed) == (2, 1)
    (request,) = server.of_kind("submit")
    assert request == Submit(
        os.path.abspath("plate.####.exr"),
        os.path.abspath("clean.####.exr"),
        "double",
        "1001-1003",
        options=RenderOptions(half=True, existing="skip"),
    )


def test_the_result_of_a_job_can_be_waited_for_without_its_events(client: Client) -> None:
    job = client.submit("a.####.exr", "b.####.exr", flow="double")
    assert job.result(timeout_s=5).done == 2


def test_a_job_that_says_nothing_is_a_deadline_and_goes_on(
    server: FakeServer, client: Client
) -> None:
    job = client.submit("a.####.exr", "b.####.exr", flow="hold")
    with pytest.raises(DeadlineExceeded):
        next(job.events(timeout_s=0.1))
    with pytest.raises(DeadlineExceeded):
        job.result(timeout_s=0.1)
    assert "cancel" not in server.kinds()


def test_cancelling_a_job_tells_the_server(server: FakeServer, client: Client) -> None:
    job = client.submit("a.####.exr", "b.####.exr", flow="hold")
    job.cancel()
    wait_until(lambda: "cancel" in server.kinds())


def test_a_job_ends_with_its_server(server: FakeServer, client: Client) -> None:
    job = client.submit("a.####.exr", "b.####.exr", flow="hold")
    server.stop()
    for _ in range(2):
        with pytest.raises(Unavailable):
            job.result(timeout_s=30)


def test_a_job_that_is_refused_raises_where_it_was_submitted(tmp_path: Path) -> None:
    with (
        FakeServer(tmp_path, replies={"submit": lambda _: (Pong(), ())}) as server,
        Client.connect(server.endpoint, environ=_NO_ENVIRONMENT) as client,
        pytest.raises(ProtocolError, match="'pong'"),
    ):
        client.submit("a.####.exr", "b.####.exr", flow="double")
