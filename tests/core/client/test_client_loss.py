"""A server that goes away, and the end of a client."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kwaflux_core import Client
from kwaflux_core.errors import (
    DeadlineExceeded,
    KwafluxError,
    Unavailable,
)
from kwaflux_core.protocol.messages import Failed
from kwaflux_testing.fake_server import Behavior, FakeServer, wait_until

_NO_ENVIRONMENT: Mapping[str, str] = {}


def _connect(server: FakeServer, *, silence_s: float = 10.0, timeout_s: float = 5.0) -> Client:
    return Client.connect(
        server.endpoint, timeout_s=timeout_s, silence_s=silence_s, environ=_NO_ENVIRONMENT
    )


# --- a server that goes away ----------------------------------------------------------------


def test_a_server_that_dies_ends_every_call_at_once(tmp_path: Path) -> None:
    behavior: dict[str, Behavior] = {"ping": "silence", "status": "silence"}
    with FakeServer(tmp_path, behavior=behavior) as server, _connect(server) as client:
        errors: list[KwafluxError] = []

        def ask(question: str) -> None:
            try:
                getattr(client, question)(timeout_s=60)
            except KwafluxError as error:
                errors.append(error)

        threads = [threading.Thread(target=ask, args=(name,)) for name in ("ping", "status")]
        for thread in threads:
            thread.start()
        wait_until(lambda: {"ping", "status"} <= set(server.kinds()))
        start_s = time.monotonic()
        server.stop()
        for thread in threads:
            thread.join(timeout=10)
        assert time.monotonic() - start_s < 5
        assert [type(error) for error in errors] == [Unavailable, Unavailable]
        assert errors[0] is not errors[1]
        assert "lost the connection" in errors[0].message


def test_a_server_that_vanishes_in_the_middle_of_a_call_is_noticed(tmp_path: Path) -> None:
    with (
        FakeServer(tmp_path, behavior={"ping": "vanish"}) as server,
        _connect(server) as client,
        pytest.raises(Unavailable),
    ):
        client.ping(timeout_s=30)


def test_a_server_that_hangs_is_noticed_by_its_silence(tmp_path: Path) -> None:
    with (
        FakeServer(tmp_path, behavior={"ping": "silence"}) as server,
        _connect(server, silence_s=0.3) as client,
    ):
        server.beats = False
        start_s = time.monotonic()
        with pytest.raises(Unavailable, match="silent"):
            client.ping(timeout_s=30)
        assert time.monotonic() - start_s < 10


def test_a_server_that_is_slow_but_beats_is_waited_for(tmp_path: Path) -> None:
    with (
        FakeServer(tmp_path, behavior={"ping": "silence"}) as server,
        _connect(server, silence_s=0.25) as client,
        pytest.raises(DeadlineExceeded),
    ):
        client.ping(timeout_s=0.7)


def test_idleness_is_not_taken_for_silence(tmp_path: Path) -> None:
    with FakeServer(tmp_path, beats=False) as server, _connect(server, silence_s=0.2) as client:
        time.sleep(0.5)
        assert client.ping() > 0


def test_a_server_that_was_started_again_is_used_by_the_next_call(tmp_path: Path) -> None:
    first = FakeServer(tmp_path)
    with first, _connect(first) as client:
        client.ping()
        first.stop()
        with pytest.raises(Unavailable):
            client.ping()
        with FakeServer(tmp_path) as second:
            assert client.ping() > 0
            assert second.kinds() == ["hello", "ping"]


def test_a_session_that_the_server_forgot_is_opened_again_by_the_next_call(tmp_path: Path) -> None:
    forgot = Failed("unavailable", "the server does not know this session")
    with FakeServer(tmp_path, replies={"status": lambda _: (forgot, ())}) as server:
        with _connect(server) as client:
            with pytest.raises(Unavailable, match="does not know"):
                client.status()
            server.replies.clear()
            assert client.status().pid == 1
        assert len(server.sessions) == 2


# --- the end --------------------------------------------------------------------------------


def test_a_closed_client_says_so(tmp_path: Path) -> None:
    with FakeServer(tmp_path) as server:
        client = _connect(server)
        client.close()
        client.close()
        with pytest.raises(Unavailable, match="closed"):
            client.ping()


def test_closing_ends_the_calls_of_other_threads(tmp_path: Path) -> None:
    with FakeServer(tmp_path, behavior={"ping": "silence"}) as server:
        client = _connect(server)
        errors: list[KwafluxError] = []

        def ask() -> None:
            try:
                client.ping(timeout_s=60)
            except KwafluxError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: "ping" in server.kinds())
        client.close()
        thread.join(timeout=10)
        assert [type(error) for error in errors] == [Unavailable]


def test_a_client_that_nobody_holds_any_more_ends_its_thread(tmp_path: Path) -> None:
    def threads() -> int:
        return sum(thread.name == "kwaflux-client" for thread in threading.enumerate())

    with FakeServer(tmp_path) as server:
        before = threads()
        client = _connect(server)
        assert threads() == before + 1
        del client
        gc.collect()
        wait_until(lambda: threads() == before)
        wait_until(lambda: "goodbye" in server.kinds())


def test_a_process_that_forgets_to_close_its_client_ends_all_the_same(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from kwaflux_core import Client\n"
        "client = Client.connect(sys.argv[1], environ={})\n"
        "client.ping()\n"
        "print('done')\n"
    )
    with FakeServer(tmp_path) as server:
        done = subprocess.run(
            [sys.executable, "-c", code, server.endpoint],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
        wait_until(lambda: server.kinds() == ["hello", "ping", "goodbye"])
