"""The gateway's loop, between a client that is real and a worker that a test plays."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import zmq

from kwaflux_core import Client, Image, write_image
from kwaflux_core.client.client import Job, RenderResult
from kwaflux_core.errors import (
    Cancelled,
    DeadlineExceeded,
    ParamError,
    Unavailable,
    WorkerError,
    all_errors,
)
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset
from kwaflux_core.protocol.codec import CodecLimits, Envelope, WirePart, decode, encode
from kwaflux_core.protocol.messages import (
    Cancel,
    Failed,
    FrameReport,
    InlinePixels,
    Message,
    RangeReceipt,
    Render,
    Rendered,
    WorkerReady,
)
from kwaflux_core.settings.settings import ServerSettings
from kwaflux_core.transport.zeromq import bind_router
from kwaflux_server.gateway.gateway import Gateway
from kwaflux_server.gateway.router_sockets import RouterSockets
from kwaflux_server.gateway.supervisor import CANNOT_START, Supervisor
from kwaflux_server.jobs.plan_processes import JobPlanner
from kwaflux_testing.effects import card
from kwaflux_testing.pictures import plate
from kwaflux_testing.servers import wait_until

CARDS = {name: card(name, identity_when={}) for name in ("soft", "hard")}
PAIR = Preset(
    id="pair",
    label="Pair",
    help="h",
    for_what="f",
    not_for="n",
    flow=Flow.parse("soft(strength=0.5) | hard"),
)
PICTURE = Image.from_channels({name: np.ones((4, 4), np.float32) for name in "RGB"})
RECEIPT = RangeReceipt(0.0, 1.0, 0.0, 1.0, 0.0, 0, 0)


class _Worker:
    """A worker's socket, in the test's hands."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.name = name
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.identity = name.encode()
        self._socket.linger = 0
        self._socket.connect(endpoint)
        self.say(WorkerReady(name, "cpu", "CPU", 1))

    def say(self, message: Message, *, task: int = 0, parts: tuple[WirePart, ...] = ()) -> None:
        self._socket.send_multipart(encode(message, request_id=task, parts=parts))

    def heard(self, *, timeout_s: float = 10.0) -> Envelope:
        """Return the next message that is no beat."""
        while self._socket.poll(int(timeout_s * 1000)):
            envelope = decode([bytes(part) for part in self._socket.recv_multipart()])
            if envelope.message.kind != "beat":
                return envelope
        raise AssertionError("the gateway sent nothing")

    def task(self) -> tuple[int, Render]:
        envelope = self.heard()
        assert isinstance(envelope.message, Render)
        return envelope.request_id, envelope.message

    def finish(self, task: int, request: Render) -> None:
        (source,) = request.sources
        if isinstance(source.pixels, InlinePixels):
            data = np.full((3, 4, 4), 2, np.float32).tobytes()
            pixels = source.pixels
            self.say(
                Rendered(request.frame, pixels, FrameReport(RECEIPT)), task=task, parts=(data,)
            )
        else:
            self.say(Rendered(request.frame, source.pixels, FrameReport(RECEIPT)), task=task)

    def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()


class _House:
    """A gateway on a thread, its clients, and its workers' places."""

    def __init__(
        self, folder: Path, stack: ExitStack, *, worker: str, planner: JobPlanner | None
    ) -> None:
        program = folder / "python"
        program.write_text(f"#!/bin/sh\n{worker}\n", encoding="utf-8")
        program.chmod(0o700)
        self.endpoint = f"ipc://{folder}/c"
        self.workers_endpoint = f"ipc://{folder}/w"
        settings = ServerSettings(
            endpoint=self.endpoint, beat_s=0.05, session_silence_s=2, frames_in_flight=2
        )
        context = stack.enter_context(zmq.Context())
        sockets = [bind_router(context, at) for at in (self.endpoint, self.workers_endpoint)]
        for socket in sockets:
            stack.callback(socket.close, linger=0)
        self.supervisor = Supervisor(
            ("cpu",),
            settings=settings,
            endpoint=self.workers_endpoint,
            ring_dir="",
            log_file=folder / "log",
        )
        executable, sys.executable = sys.executable, str(program)
        try:
            self.supervisor.start()
        finally:
            sys.executable = executable
        self.gateway = Gateway(
            RouterSockets(*sockets, limits=CodecLimits()),
            settings=settings,
            cards=CARDS,
            presets={PAIR.id: PAIR},
            supervisor=self.supervisor,
            rings=None,
            host_id="here",
            planner=planner,
        )
        self._stack = stack
        self._thread = threading.Thread(target=self.gateway.run)
        self._pool = stack.enter_context(ThreadPoolExecutor(8))
        self._thread.start()
        stack.callback(self.end)

    def client(self) -> Client:
        client = Client.connect(self.endpoint, transport="inline", environ={})
        self._stack.callback(client.close)
        return client

    def worker(self) -> _Worker:
        found = _Worker(self.workers_endpoint, self.supervisor.infos()[0].name)
        self._stack.callback(found.close)
        return found

    def render(self, client: Client, flow: str = "soft", **how: str) -> Future[RenderResult]:
        return self._pool.submit(
            client.render,
            PICTURE,
            flow,
            timeout_s=20,
            **how,  # type: ignore[arg-type]
        )

    def submit(self, client: Client, source: Path, target: Path) -> Future[Job]:
        return self._pool.submit(client.submit, source, target, flow="soft")

    def end(self) -> None:
        for process in (seat.process for seat in self.supervisor._seats):
            if process is not None:
                process.kill()
        self.gateway.stop()
        self.gateway.interrupt()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.supervisor.stop()


MakeHouse = Callable[..., _House]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[MakeHouse]:
    with ExitStack() as stack:
        yield lambda worker="exec sleep 60", planner=None: _House(
            tmp_path, stack, worker=worker, planner=planner
        )


def test_a_request_goes_to_the_worker_and_its_answer_to_who_asked(house: MakeHouse) -> None:
    made = house()
    worker, first, second = made.worker(), made.client(), made.client()
    calls = [made.render(first, "soft"), made.render(second, "hard")]
    tasks = [worker.task(), worker.task()]
    assert {request.flow for _, request in tasks} == {"soft", "hard"}
    assert len({task for task, _ in tasks}) == 2
    for task, request in reversed(tasks):
        worker.finish(task, request)
    for call in calls:
        assert float(call.result(20).image.part.channels["R"].max()) == 2


def test_presets_are_told_and_their_names_stand_in_flows(house: MakeHouse) -> None:
    made = house()
    worker, client = made.worker(), made.client()
    assert client.presets(timeout_s=20) == (PAIR,)
    assert [found.id for found in client.effects(timeout_s=20)] == ["soft", "hard"]
    with pytest.raises(ParamError, match="takes no params"):
        client.render(PICTURE, "pair(strength=1)", timeout_s=20)
    call = made.render(client, "pair | soft")
    worker.finish(*worker.task())
    call.result(20)


def test_requests_wait_until_a_worker_is_ready(house: MakeHouse) -> None:
    made = house()
    client = made.client()
    call = made.render(client)
    wait_until(lambda: client.status().waiting == 1, what="the request waits")
    worker = made.worker()
    worker.finish(*worker.task())
    call.result(20)
    assert client.status().done == 1


def test_every_error_of_a_worker_reaches_the_client_in_its_class(house: MakeHouse) -> None:
    made = house()
    worker, client = made.worker(), made.client()
    for code in sorted(set(all_errors()) - {"worker"}):
        call = made.render(client)
        task, _ = worker.task()
        worker.say(Failed(code, "what happened", "what to do", fields={"column": 3}), task=task)
        error = call.exception(20)
        assert type(error) is all_errors()[code]
        assert (error.message, error.hint) == ("what happened", "what to do")


def test_a_worker_that_broke_on_a_frame_is_asked_once_more(house: MakeHouse) -> None:
    made = house()
    worker, client = made.worker(), made.client()
    call = made.render(client)
    tasks = []
    for _ in range(2):
        task, _ = worker.task()
        tasks.append(task)
        worker.say(Failed("worker", "it broke", retryable=True), task=task)
    with pytest.raises(WorkerError, match="it broke"):
        call.result(20)
    assert tasks[0] == tasks[1]


def test_a_cancel_reaches_the_worker_and_its_answer_is_awaited(house: MakeHouse) -> None:
    made = house()
    worker, client = made.worker(), made.client()
    calls = [made.render(client, node="n"), made.render(client, node="m")]
    tasks = dict(worker.task() for _ in range(2))
    newer = made.render(client, node="n")
    cancel = worker.heard().message
    assert isinstance(cancel, Cancel)
    assert tasks[cancel.request].node == "n"
    assert not calls[0].done(), "the worker may still touch the frame's memory"
    worker.say(Failed("cancelled", "it was cancelled"), task=cancel.request)
    with pytest.raises(Cancelled):
        calls[0].result(20)
    (other,) = set(tasks) - {cancel.request}
    worker.finish(other, tasks[other])
    worker.finish(*worker.task())
    calls[1].result(20)
    newer.result(20)


def test_words_that_make_no_sense_are_ignored(house: MakeHouse) -> None:
    made = house()
    worker, client = made.worker(), made.client()
    stranger = _Worker(made.workers_endpoint, "cpu-9.9")
    try:
        call = made.render(client)
        task, request = worker.task()
        stranger.finish(task, request)
        worker.say(Rendered(1, request.sources[0].pixels, FrameReport(RECEIPT)), task=task + 50)
        worker.say(Cancel(3))
        worker._socket.send_multipart([b"garbage"])
        assert client.ping() < 5
        assert not call.done()
        worker.finish(task, request)
        call.result(20)
        worker.finish(task, request)
        assert client.status().done == 1
    finally:
        stranger.close()


def test_a_flow_is_refused_before_any_worker_hears_of_it(house: MakeHouse) -> None:
    client = house().client()
    with pytest.raises(ParamError):
        client.render(PICTURE, "soft(strength=9)", timeout_s=20)
    assert client.status().waiting == 0


def test_where_no_worker_can_be_started_frames_and_jobs_end_with_an_error(
    house: MakeHouse, tmp_path: Path
) -> None:
    made = house(f"exit {CANNOT_START}")
    client = made.client()
    for number in range(1, 12):
        write_image(tmp_path / f"plate.{number:04d}.exr", plate(4, 4))
    for _ in range(2):
        with pytest.raises(WorkerError, match="no worker could be started"):
            made.render(client).result(20)
    job = client.submit(tmp_path / "plate.####.exr", tmp_path / "c.####.exr", flow="soft")
    assert job.result(timeout_s=20).failed == 11
    status = client.status()
    assert (status.waiting, status.running) == (0, 0)


def test_a_stop_ends_what_runs_well_and_what_waits_with_an_error(
    house: MakeHouse, tmp_path: Path
) -> None:
    made = house()
    worker, client, other = made.worker(), made.client(), made.client()
    for number in range(1, 9):
        write_image(tmp_path / f"plate.{number:04d}.exr", plate(4, 4))
    job = client.submit(tmp_path / "plate.####.exr", tmp_path / "c.####.exr", flow="soft")
    tasks = [worker.task(), worker.task()]
    waiting = made.render(other, urgency="batch")
    wait_until(lambda: other.status().waiting > 0, what="the other request waits")
    other.shutdown()
    with pytest.raises(Unavailable, match="shutting down"):
        made.client().render(PICTURE, "soft", timeout_s=20)
    for task, request in tasks:
        worker.finish(task, request)
    states: list[str] = []
    with pytest.raises(Unavailable, match="shut down"):
        states.extend(event.state for event in job.events(timeout_s=20))
    assert states.count("done") == 2
    with pytest.raises(Unavailable):
        waiting.result(20)
    assert worker.heard().message.kind == "shutdown"


def test_a_disk_that_does_not_answer_holds_nobody_up(house: MakeHouse, tmp_path: Path) -> None:
    script = tmp_path / "planner.py"
    script.write_text(
        "import sys\nfrom kwaflux_server.jobs import plan_child as process\n"
        "answer = process._answer\n"
        "def stalling(data, **how):\n"
        "    if b'hung' in data:\n        import time\n        time.sleep(60)\n"
        "    return answer(data, **how)\n"
        "process._answer = stalling\nsys.exit(process.main(['100000000', '/']))\n"
    )
    planner = JobPlanner(
        ["/"], frame_bytes_max=1, sequence_s=3.0, command=[sys.executable, str(script)]
    )
    made = house(planner=planner)
    worker, client, other = made.worker(), made.client(), made.client()
    (tmp_path / "plate.0001.exr").write_bytes(b"")
    hung = made.submit(client, tmp_path / "hung.####.exr", tmp_path / "c.####.exr")
    for _ in range(5):
        assert other.ping() < 1.0
    call = made.render(other)
    worker.finish(*worker.task())
    call.result(20)
    job = other.submit(tmp_path / "plate.####.exr", tmp_path / "c.####.exr", flow="soft")
    worker.finish(*worker.task())
    assert job.result(timeout_s=20).done == 1
    assert not hung.done()
    with pytest.raises(DeadlineExceeded):
        hung.result(20)
    planner.close()


def test_a_task_that_cannot_be_sent_goes_to_the_next_worker(
    house: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="kwaflux.server.gateway")
    made = house()
    first, client = made.worker(), made.client()
    wait_until(lambda: client.status().workers[0].is_ready, what="the first worker is ready")
    first.close()  # its process lives on, and can't be reached
    wait_until(lambda: "cannot be reached" in caplog.text, what="a beat finds nobody there")
    call = made.render(client)
    wait_until(lambda: client.status().workers[0].restarts == 1, what="it is started again")
    worker = made.worker()
    worker.finish(*worker.task())
    call.result(20)
