"""ZeroMQ sockets as Kwaflux sets them up: endpoints, options, what a connection went through.

Owns every socket option of the product (libzmq: zmq_setsockopt(3), zmq_socket_monitor(3)), and the
rule that nothing but a loopback address is reachable without CURVE. Must not know messages.

Addresses are in ``_endpoint``, keys in ``_curve``, the claim to an ipc path in ``_socket_claim``;
their public names are here.
"""

from __future__ import annotations

import contextlib
import os
import struct
from enum import Enum

import zmq

from kwaflux_core.errors import ResourceError, SettingsError
from kwaflux_core.transport.curve import CurveClientKeys, CurveServerKeys
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
