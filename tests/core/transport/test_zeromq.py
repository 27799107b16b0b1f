"""Endpoints, sockets, keys, and one server per path."""

from __future__ import annotations

import os
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from zmq.auth.thread import ThreadAuthenticator

from kwaflux_core.errors import ResourceError, SettingsError
from kwaflux_core.transport.curve_keys import make_keys
from kwaflux_core.transport.zeromq import (
    Connection,
    ConnectionWatch,
    CurveClientKeys,
    CurveServerKeys,
    SocketClaim,
    bind_router,
    connect_dealer,
    is_loopback,
    parse_endpoint,
    remove_stale_socket,
)

Context = zmq.Context[zmq.Socket[bytes]]
_KEPT: list[zmq.Socket[bytes]] = []


class _KeepingContext(Context):
    """Keep every socket until the test ends; one that nobody holds would warn."""

    def socket(self, *args: Any, **kwargs: Any) -> zmq.Socket[bytes]:
        made: zmq.Socket[bytes] = super().socket(*args, **kwargs)
        _KEPT.append(made)
        return made


@pytest.fixture
def context() -> Iterator[Context]:
    made = _KeepingContext()
    yield made
    made.destroy(linger=0)
    _KEPT.clear()


def _endpoint(socket: zmq.Socket[bytes]) -> str:
    found = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(found, bytes)
    return found.rstrip(b"\0").decode()


def _events(watch: ConnectionWatch, *wanted: Connection, timeout_s: float = 5.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if any(event in wanted for event in watch.read()):
            return True
        watch.socket.poll(20)
    return False


# --- endpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("ipc:///run/user/1/kwaflux/server.sock", True),
        ("tcp://127.0.0.1:5555", True),
        ("tcp://127.9.9.9:5555", True),
        ("tcp://localhost:*", True),
        ("tcp://[::1]:5555", True),
        ("tcp://::1:5555", True),
        ("tcp://0.0.0.0:5555", False),
        ("tcp://*:5555", False),
        ("tcp://[::]:5555", False),
        ("tcp://10.0.0.4:5555", False),
        ("tcp://127.0.0.1.example.com:5555", False),
        ("tcp://render01:5555", False),
        ("tcp://eth0:5555", False),
    ],
)
def test_an_endpoint_is_loopback_only_if_no_other_machine_can_reach_it(
    endpoint: str, expected: bool
) -> None:
    assert is_loopback(endpoint) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ipc://",
        "ipc://relative/path",
        "ipc://@abstract",
        "ipc:///" + "x" * 107,
        "tcp://127.0.0.1",
        "tcp://:5555",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:70000",
        "tcp://127.0.0.1:55x5",
        "tcp://127.0.0.1:٣",
        "inproc://x",
        "/run/x.sock",
    ],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_endpoint(text)


def test_the_longest_path_that_an_ipc_socket_can_have_is_accepted(context: Context) -> None:
    path = "/" + "x" * 106
    assert str(parse_endpoint(f"ipc://{path}")) == f"ipc://{path}"


@given(st.text(max_size=30))
@settings(deadline=None)
def test_any_text_gives_an_endpoint_or_a_settings_error(text: str) -> None:
    for candidate in (text, f"tcp://{text}", f"ipc:///{text}"):
        try:
            endpoint = parse_endpoint(candidate)
        except SettingsError:
            continue
        assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:*", "tcp://*:5555", "tcp://render01:5555"])
def test_beyond_loopback_nothing_is_bound_or_connected_without_keys(
    context: Context, endpoint: str
) -> None:
    with pytest.raises(SettingsError, match="no keys"):
        bind_router(context, endpoint)
    with pytest.raises(SettingsError, match="no keys"):
        connect_dealer(context, endpoint)


# --- sockets --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ipc", "tcp", "tcp6"])
def test_messages_travel_there_and_back(context: Context, tmp_path: Path, scheme: str) -> None:
    if scheme == "tcp6" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    wanted = {"ipc": f"ipc://{tmp_path}/s", "tcp": "tcp://127.0.0.1:*", "tcp6": "tcp://[::1]:*"}
    router = bind_router(context, wanted[scheme])
    dealer, watch = connect_dealer(context, _endpoint(router))
    assert _events(watch, Connection.READY)
    dealer.send_multipart([b"header", b"pixels"])
    assert router.poll(5000)
    identity, *parts = router.recv_multipart()
    router.send_multipart([identity, *parts[::-1]])
    assert dealer.poll(5000)
    assert dealer.recv_multipart() == [b"pixels", b"header"]
    watch.close()


def _has_ipv6() -> bool:
    try:
        with sockets.socket(sockets.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_an_ipc_socket_is_for_its_user_alone(context: Context, tmp_path: Path) -> None:
    bind_router(context, f"ipc://{tmp_path}/s")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_a_send_to_a_peer_that_is_gone_is_an_error_and_not_lost_silently(
    context: Context, tmp_path: Path
) -> None:
    router = bind_router(context, f"ipc://{tmp_path}/s")
    with pytest.raises(zmq.ZMQError) as caught:
        router.send_multipart([b"nobody", b"x"], zmq.NOBLOCK)
    assert caught.value.errno == zmq.EHOSTUNREACH


def test_nothing_is_queued_for_a_server_that_is_not_there(context: Context, tmp_path: Path) -> None:
    dealer, watch = connect_dealer(context, f"ipc://{tmp_path}/none")
    assert _events(watch, Connection.NOBODY)
    with pytest.raises(zmq.Again):
        dealer.send(b"x", zmq.NOBLOCK)
    watch.close()


def test_a_part_beyond_the_limit_ends_the_peers_connection_and_the_server_lives(
    context: Context, tmp_path: Path
) -> None:
    router = bind_router(context, f"ipc://{tmp_path}/s", part_bytes=1000)
    dealer, watch = connect_dealer(context, f"ipc://{tmp_path}/s")
    dealer.send(b"x" * 1001)
    assert _events(watch, Connection.LOST)
    watch.close()
    other, other_watch = connect_dealer(context, f"ipc://{tmp_path}/s")
    other.send(b"x" * 1000)
    assert router.poll(5000)
    assert len(router.recv_multipart()[1]) == 1000
    other_watch.close()


def test_a_server_that_is_killed_is_noticed(context: Context, tmp_path: Path) -> None:
    code = (
        "import sys, time, zmq\n"
        "from kwaflux_core.transport.zeromq import bind_router\n"
        "router = bind_router(zmq.Context(), sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    endpoint = f"ipc://{tmp_path}/s"
    with subprocess.Popen([sys.executable, "-c", code, endpoint], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        _, watch = connect_dealer(context, endpoint)
        assert _events(watch, Connection.READY)
        server.kill()
        assert _events(watch, Connection.LOST)
        watch.close()


def test_a_server_that_is_stopped_is_noticed_by_its_silence(
    context: Context, tmp_path: Path
) -> None:
    # Its process is stopped, as a debugger or a suspended machine does it.
    code = (
        "import sys, time, zmq\n"
        "from kwaflux_core.transport.zeromq import bind_router\n"
        "router = bind_router(zmq.Context(), sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    endpoint = f"ipc://{tmp_path}/s"
    with subprocess.Popen([sys.executable, "-c", code, endpoint], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        _, watch = connect_dealer(context, endpoint, heartbeat_s=0.1, silence_s=0.3)
        assert _events(watch, Connection.READY)
        os.kill(server.pid, 19)
        assert _events(watch, Connection.LOST)
        server.kill()
        watch.close()


def test_what_is_no_kwaflux_server_is_told_apart_from_nobody(
    context: Context,
) -> None:
    with sockets.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        _, watch = connect_dealer(context, f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8)
            accepted.shutdown(sockets.SHUT_WR)
            assert _events(watch, Connection.NOT_ZMTP)
        watch.close()


def test_an_address_that_is_taken_is_a_typed_error(context: Context) -> None:
    router = bind_router(context, "tcp://127.0.0.1:*")
    with pytest.raises(ResourceError, match="cannot listen") as caught:
        bind_router(context, _endpoint(router))
    assert "status" in caught.value.hint


def test_a_folder_that_is_not_there_is_a_typed_error(context: Context, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot listen"):
        bind_router(context, f"ipc://{tmp_path}/missing/s")


# --- keys -----------------------------------------------------------------------------------


@pytest.fixture
def authenticator(context: Context) -> Iterator[ThreadAuthenticator]:
    """Decide, as a server does, which client keys are accepted."""
    made = ThreadAuthenticator(context)
    made.start()
    yield made
    made.stop()


def test_a_known_key_is_let_in_and_an_unknown_one_is_told_so(
    context: Context, tmp_path: Path, authenticator: ThreadAuthenticator
) -> None:
    server_public, server_secret = make_keys(tmp_path / "server", "server")
    known_public, known_secret = make_keys(tmp_path / "known", "known")
    _, unknown_secret = make_keys(tmp_path / "unknown", "unknown")
    authenticator.configure_curve(domain="*", location=str(known_public.parent))
    router = bind_router(context, "tcp://127.0.0.1:*", curve=CurveServerKeys.load(server_secret))
    for secret, wanted in (
        (known_secret, Connection.READY),
        (unknown_secret, Connection.REFUSED_KEY),
    ):
        keys = CurveClientKeys.load(secret, server=server_public)
        _, watch = connect_dealer(context, _endpoint(router), curve=keys)
        assert _events(watch, wanted)
        watch.close()


def test_a_client_without_keys_or_with_the_wrong_servers_key_is_told_so(
    context: Context, tmp_path: Path
) -> None:
    _, server_secret = make_keys(tmp_path / "server", "server")
    other_public, other_secret = make_keys(tmp_path / "other", "other")
    keyed = bind_router(context, "tcp://127.0.0.1:*", curve=CurveServerKeys.load(server_secret))
    wrong = CurveClientKeys.load(other_secret, server=other_public)
    _, watch = connect_dealer(context, _endpoint(keyed), curve=wrong)
    assert _events(watch, Connection.REFUSED_KEY)
    watch.close()
    # libzmq tells a keyless client now that the mechanisms differ, now only that it was cut off.
    _, watch = connect_dealer(context, _endpoint(keyed))
    assert _events(watch, Connection.REFUSED_KEY, Connection.NOT_ZMTP)
    watch.close()


def test_a_client_with_keys_is_not_let_down_to_a_server_without(
    context: Context, tmp_path: Path
) -> None:
    public, secret = make_keys(tmp_path, "own")
    plain = bind_router(context, "tcp://127.0.0.1:*")
    keys = CurveClientKeys.load(secret, server=public)
    _, watch = connect_dealer(context, _endpoint(plain), curve=keys)
    assert _events(watch, Connection.REFUSED_KEY)
    watch.close()


def test_keys_are_made_for_their_owner_alone_and_never_shown(tmp_path: Path) -> None:
    public, secret = make_keys(tmp_path / "keys", "own")
    assert secret.stat().st_mode & 0o077 == 0
    keys = CurveServerKeys.load(secret)
    client = CurveClientKeys.load(secret, server=public)
    assert keys.secret_key.decode() not in repr(keys)
    assert keys.secret_key.decode() not in repr(client)


def test_a_secret_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    _, secret = make_keys(tmp_path, "own")
    secret.chmod(0o644)
    with pytest.raises(SettingsError, match="others can read") as caught:
        CurveServerKeys.load(secret)
    assert "chmod 600" in caught.value.hint


def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    public, _ = make_keys(tmp_path, "own")
    public.chmod(0o600)
    with pytest.raises(SettingsError, match="no secret key"):
        CurveServerKeys.load(public)
    with pytest.raises(SettingsError, match="read a key"):
        CurveServerKeys.load(tmp_path / "missing")
    odd = tmp_path / "odd"
    odd.write_text('public-key = "short"\nsecret-key = "x"\n')
    with pytest.raises(SettingsError, match="expected 40"):
        CurveServerKeys.load(odd)
    odd.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="read a key"):
        CurveServerKeys.load(odd)


# --- one server per path --------------------------------------------------------------------


def test_a_socket_that_a_killed_server_left_is_removed(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with sockets.socket(sockets.AF_UNIX) as left:
        left.bind(str(path))
    assert remove_stale_socket(path) is True
    assert not path.exists()
    assert remove_stale_socket(path) is False


def test_a_socket_that_somebody_listens_at_is_left_alone(context: Context, tmp_path: Path) -> None:
    bind_router(context, f"ipc://{tmp_path}/s")
    with pytest.raises(ResourceError, match="server is running"):
        remove_stale_socket(tmp_path / "s")
    assert (tmp_path / "s").is_socket()


def test_what_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("precious")
    link.symlink_to(tmp_path / "gone")
    for path in (file, link):
        with pytest.raises(ResourceError):
            remove_stale_socket(path)
    assert file.read_text() == "precious"


def test_two_servers_cannot_claim_one_path(context: Context, tmp_path: Path) -> None:
    first = SocketClaim(tmp_path / "s")
    with pytest.raises(ResourceError, match="another server") as caught:
        SocketClaim(tmp_path / "s")
    assert "stop" in caught.value.hint
    bind_router(context, f"ipc://{tmp_path}/s")
    first.release()
    first.release()
    SocketClaim(tmp_path / "s").release()


def test_the_claim_of_a_killed_server_is_free(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, zmq\n"
        "from kwaflux_core.transport.zeromq import SocketClaim, bind_router\n"
        "claim = SocketClaim(pathlib.Path(sys.argv[1]))\n"
        "router = bind_router(zmq.Context(), 'ipc://' + sys.argv[1])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "s"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], timeout=30, check=False)
    assert killed.returncode == -9
    assert path.is_socket()
    claim = SocketClaim(path)
    assert not path.exists()
    claim.release()


def test_a_path_in_a_folder_that_is_not_there_cannot_be_claimed(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot claim"):
        SocketClaim(tmp_path / "missing" / "s")
