"""Endpoints: the addresses of servers."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import Literal

from kwaflux_core.errors import SettingsError

__all__ = ["Endpoint", "is_loopback", "parse_endpoint"]

# sockaddr_un holds 108 bytes with the final zero (unix(7)).
_MAX_IPC_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed address.

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
        """Whether only this machine can reach it; false for any name but ``localhost``."""
        if self.scheme == "ipc" or self.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False


def parse_endpoint(text: str) -> Endpoint:
    """Parse an endpoint: ``ipc:///path`` or ``tcp://host:port``.

    Raises:
        SettingsError: Another scheme, a relative or too long path, or no port.
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
        f"{text!r} is not an endpoint", hint="write ipc:///path/to/socket or tcp://host:port"
    )


def is_loopback(endpoint: str) -> bool:
    """Return whether only this machine can reach an endpoint."""
    return parse_endpoint(endpoint).is_loopback
