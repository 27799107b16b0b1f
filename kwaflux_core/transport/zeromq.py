"""ZeroMQ sockets as Kwaflux sets them up: endpoints, options, what a connection went through.

Owns every socket option of the product (libzmq: zmq_setsockopt(3), zmq_socket_monitor(3)), the rule
that nothing but a loopback address is reachable without CURVE, and the one server per ipc path.
Must not know messages. Keys are in ``_curve``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket as sockets
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import zmq

from kwaflux_core.errors import ResourceError, SettingsError
from kwaflux_core.transport._curve import CurveClientKeys, CurveServerKeys

__all__ = [
    "Connection",
    "ConnectionWatch",
    "CurveClientKeys",
    "CurveServerKeys",
    "Endpoint",
    "SocketClaim",
    "bind_router",
    "connect_dealer",
    "is_loopback",
    "parse_endpoint",
    "remove_stale_socket",
]

# sockaddr_un holds 108 bytes with the final zero (unix(7)).
_MAX_IPC_PATH_BYTES = 107
_PART_BYTES = 1 << 30
_HIGH_WATER = 1000
_HEARTBEAT_S = 2.0
_SILENCE_S = 10.0
_HANDSHAKE_MS = 5000
_RECONNECT_MS, _RECONNECT_MAX_MS = 50, 1000
_PROBE_S = 1.0


# --- endpoints ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Hold an address that is understood.

    Args:
        scheme: ``ipc`` or ``tcp``.
        address: The absolute path of the socket, or the host without brackets.
        port: The port's number or ``*`` (any free one); empty for ipc.
    """

    scheme: Literal["ipc", "tcp"]
    address: str
    port: str = ""

    def __str__(self) -> str:
        if self.scheme == "ipc":
            return f"ipc://{self.address}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"tcp://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than ``localhost`` counts as not."""
        if self.scheme == "ipc" or self.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that a text means: ``ipc:///path`` or ``tcp://host:port``.

    Raises:
        SettingsError: Another scheme, a relative or too long path, no port.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "ipc":
        length_bytes = len(os.fsencode(rest))
        if not rest.startswith("/") or length_bytes > _MAX_IPC_PATH_BYTES:
            raise SettingsError(
                f"the path of the endpoint {text!r} is {length_bytes} bytes long or not absolute",
                hint=f"give an absolute path of at most {_MAX_IPC_PATH_BYTES} bytes",
            )
        return Endpoint("ipc", rest)
    if separator and scheme == "tcp":
        host, _, port = rest.rpartition(":")
        is_port = port == "*" or (port.isascii() and port.isdigit() and int(port) < 65536)
        if host and is_port:
            return Endpoint("tcp", host.removeprefix("[").removesuffix("]"), port)
    raise SettingsError(
        f"{text!r} is no endpoint", hint="write ipc:///path/to/socket or tcp://host:port"
    )


def is_loopback(endpoint: str) -> bool:
    """Tell whether only this machine can reach an endpoint."""
    return parse_endpoint(endpoint).is_loopback


def _checked(endpoint: str, *, has_keys: bool) -> Endpoint:
    found = parse_endpoint(endpoint)
    if not found.is_loopback and not has_keys:
        raise SettingsError(
            f"{endpoint} is beyond this machine and no keys are set",
            hint="use CURVE keys, or a loopback address (tcp://127.0.0.1:port)",
        )
    return found


# --- sockets --------------------------------------------------------------------------------


def connect_dealer(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoint: str,
    *,
    curve: CurveClientKeys | None = None,
    part_bytes: int = _PART_BYTES,
    high_water: int = _HIGH_WATER,
    heartbeat_s: float = _HEARTBEAT_S,
    silence_s: float = _SILENCE_S,
) -> tuple[zmq.Socket[bytes], ConnectionWatch]:
    """Return a DEALER that is connecting, and the watch that says how that goes.

    Nothing is queued for a server that is not there (ZMQ_IMMEDIATE): a send then raises
    ``zmq.Again``, so no request of an old session ever reaches a new server.

    Args:
        context: Of the process or of one client.
        endpoint: As ``parse_endpoint`` reads it.
        curve: Keys; needed beyond loopback.
        part_bytes: A longer part closes the connection (ZMQ_MAXMSGSIZE).
        high_water: Messages queued in each direction.
        heartbeat_s: Interval of ZMTP pings.
        silence_s: A peer silent for longer is taken for dead; it is told the same of us.

    Raises:
        SettingsError: The endpoint is wrong, or beyond loopback without keys.

    Thread: the socket and the watch belong to the thread that calls this.
    """
    target = _checked(endpoint, has_keys=curve is not None)
    socket = context.socket(zmq.DEALER)
    try:
        _set_options(socket, target, part_bytes, high_water, heartbeat_s, silence_s)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
        if curve is not None:
            curve.apply(socket)
        watch = ConnectionWatch(socket, has_keys=curve is not None)
        socket.connect(str(target))
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise SettingsError(f"cannot connect to {endpoint}: {error.strerror}") from error
    return socket, watch


def bind_router(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoint: str,
    *,
    curve: CurveServerKeys | None = None,
    part_bytes: int = _PART_BYTES,
    high_water: int = _HIGH_WATER,
    heartbeat_s: float = _HEARTBEAT_S,
    silence_s: float = _SILENCE_S,
) -> zmq.Socket[bytes]:
    """Return a ROUTER that listens; ``socket.last_endpoint`` is where (for port ``*``).

    A send to a peer that is gone raises ``zmq.ZMQError`` (EHOSTUNREACH), and one whose queue is
    full raises ``zmq.Again`` with ``zmq.NOBLOCK`` (ZMQ_ROUTER_MANDATORY). An ipc socket is for this
    user alone. libzmq removes whatever stands at an ipc path: hold a ``SocketClaim`` first.

    Args:
        context: Of the process.
        endpoint: As ``parse_endpoint`` reads it.
        curve: The server's keys; needed beyond loopback.
        part_bytes: A longer part closes the peer's connection.
        high_water: Messages queued for, and from, each peer.
        heartbeat_s: Interval of ZMTP pings.
        silence_s: A peer silent for longer is disconnected.

    Raises:
        SettingsError: The endpoint is wrong, or beyond loopback without keys.
        ResourceError: The address is taken or cannot be bound.
    """
    target = _checked(endpoint, has_keys=curve is not None)
    socket = context.socket(zmq.ROUTER)
    try:
        _set_options(socket, target, part_bytes, high_water, heartbeat_s, silence_s)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if curve is not None:
            curve.apply(socket)
        socket.bind(str(target))
        if target.scheme == "ipc":
            os.chmod(target.address, 0o600)
    except (zmq.ZMQError, OSError) as error:
        socket.close(linger=0)
        raise ResourceError(
            f"cannot listen at {endpoint}: {error.strerror}",
            hint="another server may be there: kwaflux status",
        ) from error
    return socket


def _set_options(
    socket: zmq.Socket[bytes],
    target: Endpoint,
    part_bytes: int,
    high_water: int,
    heartbeat_s: float,
    silence_s: float,
) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, part_bytes)
    socket.setsockopt(zmq.SNDHWM, high_water)
    socket.setsockopt(zmq.RCVHWM, high_water)
    socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, int(heartbeat_s * 1000))
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, int(silence_s * 1000))
    socket.setsockopt(zmq.HEARTBEAT_TTL, int(silence_s * 1000))
    if ":" in target.address and target.scheme == "tcp":
        socket.setsockopt(zmq.IPV6, 1)


# --- what a connection goes through ---------------------------------------------------------


class Connection(Enum):
    """What happened to a client's connection."""

    READY = "ready"
    """The handshake is done."""
    NOBODY = "nobody"
    """Nothing listens there; it is tried again."""
    REFUSED_KEY = "refused_key"
    """The server does not take our key, or is not the one whose key we hold."""
    NOT_ZMTP = "not_zmtp"
    """Something answers, but does not speak as a Kwaflux server does."""
    LOST = "lost"
    """The connection ended."""


_WATCHED = (
    zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class ConnectionWatch:
    """Tell what a DEALER's connection goes through; without it a refused key is a time-out.

    Args:
        socket: Not connected yet.
        has_keys: Whether the socket uses CURVE: a handshake that fails is then about keys.

    Thread: the socket's.
    """

    def __init__(self, socket: zmq.Socket[bytes], *, has_keys: bool) -> None:
        self._watched = socket
        self._has_keys = has_keys
        self.socket: zmq.Socket[bytes] = socket.get_monitor_socket(_WATCHED)

    def read(self) -> list[Connection]:
        """Return what happened since the last call, oldest first; never waits."""
        found: list[Connection] = []
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return found
            (event,) = struct.unpack_from("=H", parts[0])
            meaning = self._meaning(event)
            if meaning is not None:
                found.append(meaning)

    def close(self) -> None:
        """End the watch; call it before the watched socket is closed."""
        with contextlib.suppress(zmq.ZMQError):
            self._watched.disable_monitor()
        self.socket.close(linger=0)

    def _meaning(self, event: int) -> Connection | None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return Connection.READY
        if event == zmq.EVENT_CLOSED:
            return Connection.NOBODY
        if event == zmq.EVENT_DISCONNECTED:
            return Connection.LOST
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return Connection.REFUSED_KEY
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            # One end has keys and the other has none.
            return Connection.REFUSED_KEY
        if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            return Connection.REFUSED_KEY if self._has_keys else Connection.NOT_ZMTP
        return None


# --- one server per ipc path ----------------------------------------------------------------


class SocketClaim:
    """Hold an ipc path for one server: by a lock beside it, which the kernel drops with the process.

    Without it the second of two servers would silently take the first one's path, because libzmq
    removes what stands there before it binds.
    """

    def __init__(self, path: Path) -> None:
        """Claim the path and remove the socket that a killed server left there.

        Raises:
            ResourceError: Another server holds the path, or it cannot be claimed.
        """
        import fcntl

        self.path = path
        try:
            self._fd = os.open(
                path.with_name(path.name + ".lock"),
                os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW,
                0o600,
            )
        except OSError as error:
            raise ResourceError(f"cannot claim {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_stale_socket(path)
        except (OSError, ResourceError) as error:
            os.close(self._fd)
            raise ResourceError(
                f"another server is at {path}", hint="use it, or stop it: kwaflux stop"
            ) from error

    def release(self) -> None:
        """Remove the socket and let the path go; once or more often."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            os.close(fd)


def remove_stale_socket(path: Path) -> bool:
    """Remove an ipc socket that nobody listens at; tell whether one was removed.

    Raises:
        ResourceError: Somebody listens there, or what stands there is no socket.
    """
    if not path.exists() and not path.is_symlink():
        return False
    if not path.is_socket() or path.is_symlink():
        raise ResourceError(f"{path} is there and is no socket", hint="remove it by hand")
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return True
        except OSError as error:
            raise ResourceError(f"cannot tell who is at {path}: {error}") from error
    raise ResourceError(f"a server is at {path}", hint="use it, or stop it: kwaflux stop")
