"""The client's connection: opening it, and asking."""

from __future__ import annotations

import socket as sockets
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kwaflux_core import Client
from kwaflux_core.errors import (
    DeadlineExceeded,
    KwafluxError,
    ParamError,
    ProtocolError,
    SettingsError,
    Unavailable,
)
from kwaflux_core.protocol.messages import Failed, Hello
from kwaflux_core.transport.curve_keys import make_keys
from kwaflux_core.transport.zeromq import CurveServerKeys
from kwaflux_testing.fake_server import Behavior, FakeServer, wait_until

_NO_ENVIRONMENT: Mapping[str, str] = {}


def _connect(server: FakeServer, *, silence_s: float = 10.0, timeout_s: float = 5.0) -> Client:
    return Client.connect(
        server.endpoint, timeout_s=timeout_s, silence_s=silence_s, environ=_NO_ENVIRONMENT
    )


# --- opening --------------------------------------------------------------------------------


def test_a_session_is_opened_used_and_closed_with_a_goodbye(tmp_path: Path) -> None:
    with FakeServer(tmp_path) as server:
        with Client.connect(server.endpoint, name="nuke", environ=_NO_ENVIRONMENT) as client:
            assert 0 < client.ping() < 5
            assert client.endpoint == server.endpoint
        wait_until(lambda: "goodbye" in server.kinds())
        assert server.kinds() == ["hello", "ping", "goodbye"]
        (hello,) = server.of_kind("hello")
        assert isinstance(hello, Hello)
        assert hello.client == "nuke"


def test_a_server_that_is_not_there_is_an_error_at_once_with_what_to_do(tmp_path: Path) -> None:
    start_s = time.monotonic()
    with pytest.raises(Unavailable, match="no server") as caught:
        Client.connect(f"ipc://{tmp_path}/none", timeout_s=30, environ=_NO_ENVIRONMENT)
    assert time.monotonic() - start_s < 5
    assert "kwaflux start" in caught.value.hint
    assert caught.value.retryable


def test_the_default_endpoint_is_the_users_own_server(tmp_path: Path) -> None:
    environ = {"KWAFLUX_RUNTIME_DIR": str(tmp_path)}
    tmp_path.chmod(0o700)
    with pytest.raises(Unavailable) as caught:
        Client.connect(timeout_s=5, environ=environ)
    assert str(tmp_path) in caught.value.message


def test_a_client_can_wait_for_a_server_that_is_being_started(tmp_path: Path) -> None:
    server = FakeServer(tmp_path)
    starter = threading.Timer(0.2, server.__enter__)
    starter.start()
    try:
        with Client.connect(
            server.endpoint, timeout_s=10, waits_for_server=True, environ=_NO_ENVIRONMENT
        ) as client:
            assert client.status().pid == 1
    finally:
        starter.join()
        server.stop()


def test_a_server_that_never_comes_is_waited_for_no_longer_than_allowed(tmp_path: Path) -> None:
    start_s = time.monotonic()
    with pytest.raises(Unavailable):
        Client.connect(
            f"ipc://{tmp_path}/none", timeout_s=0.3, waits_for_server=True, environ=_NO_ENVIRONMENT
        )
    assert 0.25 < time.monotonic() - start_s < 3


def test_a_server_that_does_not_answer_is_given_up_in_time(tmp_path: Path) -> None:
    with (
        FakeServer(tmp_path, behavior={"hello": "silence"}) as server,
        pytest.raises(Unavailable, match="did not answer within"),
    ):
        _connect(server, timeout_s=0.2)


def test_a_listener_that_never_speaks_is_given_up_in_time() -> None:
    with sockets.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Unavailable, match="did not answer"):
            Client.connect(endpoint, timeout_s=0.3, environ=_NO_ENVIRONMENT)


def test_a_newer_server_is_refused_with_both_versions(tmp_path: Path) -> None:
    with (
        FakeServer(tmp_path, behavior={"hello": "newer"}) as server,
        pytest.raises(ProtocolError, match="protocol 7"),
    ):
        _connect(server)


@pytest.mark.parametrize(
    ("behavior", "error"),
    [("garbage", ProtocolError), ("wrong_kind", ProtocolError), ("vanish", Unavailable)],
)
def test_a_hello_that_is_answered_badly_is_a_typed_error(
    tmp_path: Path, behavior: Behavior, error: type[KwafluxError]
) -> None:
    with FakeServer(tmp_path, behavior={"hello": behavior}) as server, pytest.raises(error):
        _connect(server)


def test_a_refusal_of_the_server_arrives_as_the_class_that_was_raised(tmp_path: Path) -> None:
    failed = Failed("settings", "this client is too old", "update it", fields={"since": 2})
    with (
        FakeServer(tmp_path, replies={"hello": lambda _: (failed, ())}) as server,
        pytest.raises(SettingsError, match="too old") as caught,
    ):
        _connect(server)
    assert (caught.value.hint, caught.value.fields) == ("update it", {"since": 2})


def test_an_endpoint_beyond_this_machine_needs_keys() -> None:
    with pytest.raises(SettingsError):
        Client.connect("tcp://10.0.0.9:5555", environ=_NO_ENVIRONMENT)


def test_a_client_whose_key_is_known_is_let_in_and_others_are_told_why(tmp_path: Path) -> None:
    public, secret = make_keys(tmp_path / "server", "server")
    _, own = make_keys(tmp_path / "own", "own")
    _, other_server = make_keys(tmp_path / "other", "other")
    environ = {
        "KWAFLUX_CURVE_SERVER_KEY_FILE": str(public),
        "KWAFLUX_CURVE_SECRET_FILE": str(own),
    }
    keys = CurveServerKeys.load(secret)
    with FakeServer(tmp_path, endpoint="tcp://127.0.0.1:*", curve=keys) as server:
        with Client.connect(server.endpoint, environ=environ) as client:
            assert client.ping() > 0
        # libzmq tells a keyless client that the mechanisms differ, or only that it was cut off.
        with pytest.raises(Unavailable, match=r"key was not accepted|requires keys"):
            Client.connect(server.endpoint, timeout_s=5, environ=_NO_ENVIRONMENT)
    with (
        FakeServer(
            tmp_path, endpoint="tcp://127.0.0.1:*", curve=CurveServerKeys.load(other_server)
        ) as impostor,
        pytest.raises(Unavailable, match="key was not accepted"),
    ):
        Client.connect(impostor.endpoint, timeout_s=5, environ=environ)


def test_a_key_that_the_server_does_not_know_is_an_error_and_not_a_time_out(tmp_path: Path) -> None:
    public, secret = make_keys(tmp_path / "server", "server")
    _, own = make_keys(tmp_path / "own", "own")
    accepted = tmp_path / "accepted"
    accepted.mkdir()
    environ = {
        "KWAFLUX_CURVE_SERVER_KEY_FILE": str(public),
        "KWAFLUX_CURVE_SECRET_FILE": str(own),
    }
    keys = CurveServerKeys.load(secret)
    with FakeServer(tmp_path, endpoint="tcp://127.0.0.1:*", curve=keys, accepts=accepted) as server:
        start_s = time.monotonic()
        with pytest.raises(Unavailable, match="key was not accepted") as caught:
            Client.connect(server.endpoint, timeout_s=30, environ=environ)
        assert time.monotonic() - start_s < 10
        assert "public key" in caught.value.hint


# --- asking ---------------------------------------------------------------------------------


def test_the_servers_effects_and_status_can_be_read(tmp_path: Path) -> None:
    with FakeServer(tmp_path) as server, _connect(server) as client:
        assert [card.id for card in client.effects()] == ["double", "hold", "identity", "upscale"]
        client.effects()
        assert server.kinds().count("describe_effects") == 1
        assert client.status().endpoint == server.endpoint
        client.shutdown()
        assert server.kinds()[-1] == "shutdown"


def test_an_answer_that_does_not_come_is_a_deadline(tmp_path: Path) -> None:
    with FakeServer(tmp_path, behavior={"ping": "silence"}) as server, _connect(server) as client:
        start_s = time.monotonic()
        with pytest.raises(DeadlineExceeded) as caught:
            client.ping(timeout_s=0.1)
        assert 0.08 < time.monotonic() - start_s < 3
        assert caught.value.retryable
        assert client.status().pid == 1


def test_an_answer_to_another_question_is_never_taken_for_mine(tmp_path: Path) -> None:
    with FakeServer(tmp_path, behavior={"ping": "wrong_id"}) as server, _connect(server) as client:
        with pytest.raises(DeadlineExceeded):
            client.ping(timeout_s=0.1)
        assert client.status().pid == 1


def test_an_answer_of_another_kind_is_a_protocol_error(tmp_path: Path) -> None:
    behavior: dict[str, Behavior] = {"ping": "wrong_kind"}
    with (
        FakeServer(tmp_path, behavior=behavior) as server,
        _connect(server) as client,
        pytest.raises(ProtocolError, match=r"'job_done'.*'pong'"),
    ):
        client.ping()


def test_an_answer_that_is_damaged_ends_the_call_it_belongs_to(tmp_path: Path) -> None:
    with FakeServer(tmp_path, behavior={"ping": "newer"}) as server, _connect(server) as client:
        with pytest.raises(ProtocolError, match="protocol 7"):
            client.ping(timeout_s=5)
        assert client.status().pid == 1


def test_garbage_that_belongs_to_no_call_is_survived(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeServer(tmp_path, behavior={"ping": "garbage"}) as server, _connect(server) as client:
        with pytest.raises(DeadlineExceeded):
            client.ping(timeout_s=0.1)
        assert client.status().pid == 1
    assert "invalid message" in caplog.text


def test_an_error_of_the_server_is_raised_as_its_own_class_with_its_fields(tmp_path: Path) -> None:
    failed = Failed(
        "param", "strength is 2", "give 0 to 1", fields={"column": 9, "param": "strength"}
    )
    with (
        FakeServer(tmp_path, replies={"status": lambda _: (failed, ())}) as server,
        _connect(server) as client,
        pytest.raises(ParamError, match="strength is 2") as caught,
    ):
        client.status()
    assert caught.value.column == 9
    assert caught.value.hint == "give 0 to 1"


def test_many_threads_may_ask_at_once_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    with FakeServer(tmp_path) as server, _connect(server) as client:
        answers: list[int] = []

        def ask() -> None:
            for _ in range(30):
                client.ping()
                answers.append(client.status().pid)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert answers == [1] * 240
        assert len(server.sessions) == 1


def test_the_client_beats_while_it_lives_so_that_the_server_keeps_its_session(
    tmp_path: Path,
) -> None:
    with FakeServer(tmp_path, beat_s=0.02) as server, _connect(server):
        wait_until(lambda: len(server.of_kind("beat")) > 3)
