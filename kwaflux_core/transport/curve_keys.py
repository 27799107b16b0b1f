"""CURVE keys of a client and of a server, and their files.

The server decides which client keys it accepts.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from kwaflux_core.errors import SettingsError

__all__ = ["CurveClientKeys", "CurveServerKeys", "make_keys"]


@dataclass(frozen=True, slots=True)
class CurveClientKeys:
    """A client's key pair and the public key of its server; Z85 text as bytes."""

    public_key: bytes
    secret_key: bytes = field(repr=False)
    server_key: bytes

    @classmethod
    def load(cls, own: Path, *, server: Path) -> CurveClientKeys:
        """Read the client's secret file and the server's public file.

        Raises:
            SettingsError: A file is missing, has no key, or others can read the secret one.
        """
        public_key, secret_key = _load_secret(own)
        return cls(public_key, secret_key, _load(server)[0])

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Set the keys on a socket before it connects."""
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public_key)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret_key)
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server_key)


@dataclass(frozen=True, slots=True)
class CurveServerKeys:
    """A server's key pair; Z85 text as bytes."""

    public_key: bytes
    secret_key: bytes = field(repr=False)

    @classmethod
    def load(cls, own: Path) -> CurveServerKeys:
        """Read the server's secret file.

        Raises:
            SettingsError: The file is missing, has no keys, or others can read it.
        """
        return cls(*_load_secret(own))

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Set the keys on a socket before it binds."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public_key)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret_key)


def make_keys(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a key pair: ``name.key`` (public) and ``name.key_secret`` (readable by this user only).

    Raises:
        SettingsError: The files cannot be written.
    """
    from zmq.auth.certs import create_certificates

    mask = os.umask(0o077)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        public, secret = create_certificates(directory, name)
    except OSError as error:
        raise SettingsError(f"cannot write keys to {directory}: {error.strerror}") from error
    finally:
        os.umask(mask)
    return Path(public), Path(secret)


def _load(path: Path) -> tuple[bytes, bytes | None]:
    from zmq.auth.certs import load_certificate

    try:
        public_key, secret_key = load_certificate(path)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"cannot read a key from {path}: {error}",
            hint="give a certificate in the format of zmq.auth",
        ) from error
    for key in (public_key, secret_key):
        if key is not None and len(key) != 40:
            raise SettingsError(f"the key in {path} has {len(key)} characters, expected 40")
    return public_key, secret_key


def _load_secret(path: Path) -> tuple[bytes, bytes]:
    public_key, secret_key = _load(path)
    if secret_key is None:
        raise SettingsError(f"{path} contains no secret key", hint="give the .key_secret file")
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsError(f"others can read the secret key {path}", hint=f"chmod 600 {path}")
    return public_key, secret_key
