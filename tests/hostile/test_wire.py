"""Bytes and messages that no client of ours sends: answered or dropped, and nobody else suffers."""

from __future__ import annotations

import socket as sockets
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from kwaflux_core.protocol.messages import (
    PROTOCOL_VERSION,
    Beat,
    Cancel,
    Failed,
    Goodbye,
    Message,
    Ping,
    Pong,
    ServerStatus,
    ShuttingDown,
    Started,
    StatusRequest,
    Submit,
    WorkerReady,
)
from kwaflux_testing.pictures import plate
from kwaflux_testing.raw_client import RawClient
from kwaflux_testing.servers import RunningServer, StartServer, wait_until

SMALL = plate(32, 48)


@pytest.fixture(autouse=True)
def _the_server_serves_on(server: RunningServer) -> Iterator[None]:
    """Whatever a test did: a good client is served by the same gateway and the same worker."""
    before = server.status()
    yield
    with server.client() as client:
        client.render(SMALL, "soften", timeout_s=30)
        after = client.status()
    assert after.pid == before.pid
    assert [worker.pid for worker in after.workers] == [worker.pid for worker in before.workers]


def _header(**changes: object) -> bytes:
    header = {"v": PROTOCOL_VERSION, "kind": "ping", "id": 9, "body": {}, **changes}
    packed: bytes = msgpack.packb({key: value for key, value in header.items() if value != "-"})
    return packed


def _nested(depth: int) -> object:
    nest: object = 1
    for _ in range(depth):
        nest = [nest]
    return nest


_NO_MESSAGES: dict[str, list[bytes]] = {
    "an empty part": [b""],
    "bytes of nothing": [b"\xc1" * 64],
    "half a header": [_header()[:-3]],
    "a list": [msgpack.packb([1, 2, 3])],
    "a header without an id": [_header(id="-")],
    "a negative id": [_header(id=-1)],
    "an id of text": [_header(id="seven")],
    "an extension type": [msgpack.packb({"v": 1, "x": msgpack.ExtType(4, b"abc")})],
    "a map with keys that are numbers": [msgpack.packb({1: 2})],
    "a header of nine megabytes": [b"\x00" * (9 << 20)],
    "a list that claims four billion entries": [b"\x81\xa1v\xdd\xff\xff\xff\xff"],
    "a text that claims four gigabytes": [b"\x81\xa1v\xdb\xff\xff\xff\xff"],
    "a pickle": [b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."],
    "a header without a version": [_header(v="-")],
    "nesting without end": [_header(body={"x": _nested(300)})],
    "seventy parts": [_header(), *[b"x"] * 70],
}

_BAD_MESSAGES: dict[str, list[bytes]] = {
    "a newer version": [_header(v=PROTOCOL_VERSION + 7)],
    "an unknown kind": [_header(kind="format_disk")],
    "a kind that names a method": [_header(kind="__class__")],
    "a body of the wrong type": [_header(kind="cancel", body=[1])],
    "a field of the wrong type": [_header(kind="cancel", body={"request": "all"})],
    "a field that is missing": [_header(kind="cancel", body={})],
}


@pytest.mark.parametrize("frames", _NO_MESSAGES.values(), ids=_NO_MESSAGES)
def test_garbage_is_answered_as_garbage(server: RunningServer, frames: list[bytes]) -> None:
    with RawClient(server.endpoint) as raw:
        raw.send_bytes(frames)
        answer = raw.receive()
        assert answer is not None
        assert isinstance(answer.message, Failed)
        assert answer.message.code == "protocol"
        assert isinstance(raw.ask(Ping()), Pong)


@pytest.mark.parametrize("frames", _BAD_MESSAGES.values(), ids=_BAD_MESSAGES)
def test_a_bad_message_with_an_id_is_answered_under_it(
    server: RunningServer, frames: list[bytes]
) -> None:
    with RawClient(server.endpoint) as raw:
        raw.send_bytes(frames)
        answer = raw.receive()
        assert answer is not None
        assert isinstance(answer.message, Failed)
        assert answer.message.code == "protocol"
        assert answer.request_id == 9


def test_another_version_is_told_which_end_to_update(server: RunningServer) -> None:
    with RawClient(server.endpoint) as raw:
        raw.send_bytes([_header(v=99)])
        answer = raw.receive()
        assert answer is not None
        assert isinstance(answer.message, Failed)
        assert "99" in answer.message.message
        assert "update" in answer.message.hint


@pytest.mark.parametrize(
    "message",
    [StatusRequest(), Submit("/tmp/a.exr", "/tmp/b.exr", "soften"), Cancel(3)],
    ids=lambda message: message.kind,
)
def test_who_never_says_hello_is_asked_to_connect(server: RunningServer, message: Message) -> None:
    with RawClient(server.endpoint) as raw:
        refused = raw.refused(message)
        assert refused.code == "unavailable"
        assert "connect again" in refused.hint
        raw.send(Beat())
        raw.send(Goodbye())
        assert isinstance(raw.ask(Ping()), Pong)


@pytest.mark.parametrize(
    "message",
    [
        Pong(),
        ShuttingDown(),
        Started(),
        WorkerReady("cpu-0.0", "cpu", "CPU", 1),
    ],
    ids=lambda message: message.kind,
)
def test_a_client_that_speaks_as_server_or_worker_is_refused(
    server: RunningServer, message: Message
) -> None:
    with RawClient(server.endpoint) as raw:
        raw.hello()
        assert raw.refused(message).code == "protocol"
        assert isinstance(raw.ask(StatusRequest()), ServerStatus)


def test_a_second_hello_opens_a_session_anew(server: RunningServer) -> None:
    with RawClient(server.endpoint) as raw:
        first, second = raw.hello(), raw.hello()
        assert first.session != second.session
        assert isinstance(raw.ask(StatusRequest()), ServerStatus)


def test_something_that_is_no_zeromq_at_all_is_dropped(server: RunningServer) -> None:
    path = server.endpoint.removeprefix("ipc://")
    for said in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00" * 4096, b""):
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as stream:
            stream.settimeout(10)
            stream.connect(path)
            stream.sendall(said)


def test_a_client_that_falls_silent_loses_its_session_and_its_rings(server: RunningServer) -> None:
    with RawClient(server.endpoint) as raw, server.client() as other:
        welcome = raw.hello()
        ring = Path(welcome.ring_dir) / f"{welcome.session}.0"
        ring.write_bytes(bytes(4096))
        other.render(SMALL, "soften", timeout_s=30)
        wait_until(lambda: not ring.exists(), what="the silent client's ring is removed")
        other.render(SMALL, "soften", timeout_s=30)
        assert raw.refused(StatusRequest()).code == "unavailable"
        raw.hello()
        assert isinstance(raw.ask(StatusRequest()), ServerStatus)


def test_a_message_over_the_limit_costs_its_sender_the_connection(
    start_server: StartServer,
) -> None:
    small = start_server({"KWAFLUX_MESSAGE_BYTES_MAX": str(1 << 20)})
    with RawClient(small.endpoint) as raw:
        raw.hello()
        raw.send_bytes([_header(), bytes(2 << 20)])
        # libzmq drops the connection and makes it anew: the session is gone with it.
        refused = raw.refused(StatusRequest())
        assert refused.code == "unavailable"
    with RawClient(small.endpoint) as raw:
        raw.hello()
        raw.send_bytes([_header(), bytes(700 << 10), bytes(700 << 10)])
        answer = raw.receive()
        assert answer is not None
        assert isinstance(answer.message, Failed)
        assert answer.message.code == "protocol"
    with small.client(transport="shm") as client:
        client.render(SMALL, "soften", timeout_s=60)
