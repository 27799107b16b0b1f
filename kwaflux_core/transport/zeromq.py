"""ZeroMQ sockets: endpoints, options, and the events of a connection.

Owns every socket option of Kwaflux (libzmq: zmq_setsockopt(3), zmq_socket_monitor(3)), and the rule
that only a loopback address may be used without CURVE. Must not know messages.

``endpoint`` parses addresses, ``curve`` reads keys, ``socket_claim`` claims an ipc path; their
public names are exported here.
"""

from __future__ import annotations

import contextlib
import os
import struct
from enum import Enum

import zmq

from kwaflux_core.errors import ResourceError, SettingsError
from kwaflux_core.transport.curve_keys import CurveClientKeys, CurveServerKeys
from kwaflux_core.transport.endpoint import Endpoint, is_loopback, parse_endpoint
from kwaflux_core.transport.socket_claim import SocketClaim, remove_stale_socket

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

_PART_BYTES = 1 << 30
_HIGH_WATER = 1000
_HEARTBEAT_S = 2.0
_SILENCE_S = 10.0
_HANDSHAKE_MS = 5000
_RECONNECT_MS, _RECONNECT_MAX_MS = 50, 1000


def _checked(endpoint: str, *, has_keys: bool) -> Endpoint:
    address = parse_endpoint(endpoint)
    if not address.is_loopback and not has_keys:
        raise SettingsError(
            f"{endpoint} is not a loopback address, and no keys are set",
            hint="use CURVE keys, or a loopback address (tcp://127.0.0.1:port)",
        )
    return address


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
    """Return a connecting DEALER, and the monitor of its connection.

    Nothing is queued without a connection (ZMQ_IMMEDIATE): a send then raises ``zmq.Again``, so no
    request of an old session reaches a new server.

    Args:
        context: The context of the process or of one client.
        endpoint: An address that ``parse_endpoint`` accepts.
        curve: Keys; required beyond loopback.
        part_bytes: A longer part closes the connection (ZMQ_MAXMSGSIZE).
        high_water: Messages queued in each direction.
        heartbeat_s: Interval of ZMTP pings.
        silence_s: A peer silent for longer counts as lost, on both ends.

    Raises:
        SettingsError: The endpoint is invalid, or beyond loopback without keys.

    Thread: the socket and the monitor belong to the calling thread.
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
    """Return a listening ROUTER; ``socket.last_endpoint`` is its address (for port ``*``).

    A send to a lost peer raises ``zmq.ZMQError`` (EHOSTUNREACH), and one to a peer whose queue is
    full raises ``zmq.Again`` with ``zmq.NOBLOCK`` (ZMQ_ROUTER_MANDATORY). Only this user can open
    an ipc socket. libzmq removes an existing file at an ipc path: hold a ``SocketClaim`` first.

    Args:
        context: The context of the process.
        endpoint: An address that ``parse_endpoint`` accepts.
        curve: The server's keys; required beyond loopback.
        part_bytes: A longer part closes the peer's connection.
        high_water: Messages queued for, and from, each peer.
        heartbeat_s: Interval of ZMTP pings.
        silence_s: A peer silent for longer is disconnected.

    Raises:
        SettingsError: The endpoint is invalid, or beyond loopback without keys.
        ResourceError: The address is in use or cannot be bound.
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
            hint="check for another server: kwaflux status",
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


# --- events of a connection -----------------------------------------------------------------


class Connection(Enum):
    """An event of a client's connection."""

    READY = "ready"
    """The handshake succeeded."""
    NOBODY = "nobody"
    """Nothing listens at the address; ZeroMQ retries."""
    REFUSED_KEY = "refused_key"
    """The server does not accept our key, or has another key than we expect."""
    NOT_ZMTP = "not_zmtp"
    """The peer answers, but not as a Kwaflux server."""
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
    """The monitor of a DEALER's connection; without it a refused key is a time-out.

    Args:
        socket: The socket, not connected yet.
        has_keys: Whether the socket uses CURVE: a failed handshake is then an error of the keys.

    Thread: the socket's.
    """

    def __init__(self, socket: zmq.Socket[bytes], *, has_keys: bool) -> None:
        self._watched = socket
        self._has_keys = has_keys
        self.socket: zmq.Socket[bytes] = socket.get_monitor_socket(_WATCHED)

    def read(self) -> list[Connection]:
        """Return the events since the last call, oldest first; never waits."""
        events: list[Connection] = []
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return events
            (event,) = struct.unpack_from("=H", parts[0])
            meaning = self._meaning(event)
            if meaning is not None:
                events.append(meaning)

    def close(self) -> None:
        """Close the monitor; call it before the socket is closed."""
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
