"""Fetch a file by its address, so that it is the one that was meant or not there at all.

Source: RFC 9110 sections 14.2 (Range) and 15.3.7 (206 Partial Content).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, cast
from urllib.parse import unquote, urlsplit

from kwaflux_core.errors import ModelError, RequestError, Unavailable, WeightsInvalid

__all__ = ["Progress", "Pull", "pull"]

_CHUNK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")
_NAME = re.compile(r"[^A-Za-z0-9_.-]+")

Progress = Callable[[int, int], None]
"""Take the bytes that are there and the bytes there will be; 0 where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Say what is fetched.

    Args:
        address: ``https://``, ``http://`` or ``file://``, or a path.
        sha256: Of the whole file; 64 hexadecimal digits.
        bytes_max: More than this is not accepted.
        timeout_s: How long the other end may be silent.

    Raises:
        RequestError: Another kind of address, or no SHA-256.
    """

    address: str
    sha256: str
    bytes_max: int = 8 << 30
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", self.sha256.lower())
        if not _SHA256.fullmatch(self.sha256):
            raise RequestError(
                f"{self.sha256[:80]!r} is no SHA-256",
                hint="give the 64 hexadecimal digits that the file's maker publishes",
            )
        if self._scheme not in ("", "file", "http", "https"):
            raise RequestError(
                f"{self.address[:200]!r} is no address that is read",
                hint="give https://, http://, file:// or a path",
            )

    @property
    def name(self) -> str:
        """The file's own name, with nothing in it that a path could mean."""
        path = unquote(urlsplit(self.address).path) if self._scheme else self.address
        name = _NAME.sub("_", PurePosixPath(path.replace("\\", "/")).name)
        return name[-100:].lstrip(".") or "file"

    @property
    def local(self) -> Path | None:
        """The path, where the address is one."""
        if self._scheme == "file":
            return Path(unquote(urlsplit(self.address).path))
        return None if self._scheme else Path(self.address)

    @property
    def _scheme(self) -> str:
        scheme = urlsplit(self.address).scheme.lower()
        return "" if len(scheme) == 1 else scheme  # C:\models


def pull(wanted: Pull, folder: Path, *, say: Progress) -> Path:
    """Return the fetched file, verified. It lies in a folder of its own under its own name.

    A transfer that was cut off leaves a part file, and the next one goes on from there. A file
    that is already there and whole is not fetched again.

    Args:
        wanted: What.
        folder: Where files lie that are being fetched.
        say: Told after every piece.

    Raises:
        Unavailable: The other end can't be reached or broke off; what came is kept.
        WeightsInvalid: It is not the file that was meant; nothing of it is kept.
        ModelError: It is too large, or cannot be written.
    """
    home = folder / wanted.sha256
    target = home / wanted.name
    part = home / ".part"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not target.is_file():
            if wanted.local is not None:
                _copy(wanted.local, part, wanted, say)
            else:
                _download(wanted, part, say)
            _verify(part, wanted)
            part.replace(target)
        else:
            _verify(target, wanted)
    except OSError as error:
        raise ModelError(
            f"{wanted.name} cannot be stored in {home}: {error.strerror or error}",
            hint="look at the disk and the folder's permissions",
            path=str(home),
        ) from error
    return target


def _copy(source: Path, part: Path, wanted: Pull, say: Progress) -> None:
    try:
        opened = source.open("rb")
    except OSError as error:
        raise WeightsInvalid(f"{source} cannot be read: {error.strerror}") from error
    with opened as file:
        size = source.stat().st_size
        _refuse_size(size, wanted)
        with part.open("wb") as out:
            _pour(file, out, wanted, total=size, say=say)


def _download(wanted: Pull, part: Path, say: Progress) -> None:
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(wanted.address)
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        with urllib.request.urlopen(request, timeout=wanted.timeout_s) as answer:
            start, total = _placed(answer.status, answer.headers, there)
            _refuse_size(total, wanted)
            with part.open("ab") as out:
                out.truncate(start)
                out.seek(start)
                _pour(cast("IO[bytes]", answer), out, wanted, total=total, say=say)
    except urllib.error.HTTPError as error:
        if error.code == 416 and there:
            return  # nothing is left to send; the hash tells whether that is all
        raise _unreachable(wanted, f"the server answered {error.code}") from error
    except urllib.error.URLError as error:
        raise _unreachable(wanted, str(error.reason)) from error
    except (HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(wanted, str(error) or type(error).__name__) from error


def _placed(status: int, headers: object, there: int) -> tuple[int, int]:
    """Return where the answer's first byte belongs, and the size of the whole (0: not known)."""
    said = cast("dict[str, str]", headers)
    match = _RANGE.fullmatch(said.get("Content-Range") or "")
    if status == 206 and match is not None and int(match[1]) <= there:
        return int(match[1]), 0 if match[2] == "*" else int(match[2])
    length = said.get("Content-Length") or ""
    return 0, int(length) if length.isdigit() else 0


def _pour(source: IO[bytes], out: IO[bytes], wanted: Pull, *, total: int, say: Progress) -> None:
    """Write what comes, a piece at a time."""
    there = out.tell()
    while chunk := source.read(_CHUNK_BYTES):
        there += len(chunk)
        _refuse_size(there, wanted)
        out.write(chunk)
        say(there, total)
    if total and there < total:
        raise ConnectionError(f"it broke off after {there} of {total} bytes")


def _verify(path: Path, wanted: Pull) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.sha256:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise WeightsInvalid(
            f"{wanted.name} is not the file that was meant "
            f"(SHA-256 {found[:12]}, wanted {wanted.sha256[:12]}); it was thrown away",
            hint="check the address and the SHA-256 with the file's maker",
            file=wanted.name,
        )


def _refuse_size(size_bytes: int, wanted: Pull) -> None:
    if size_bytes > wanted.bytes_max:
        raise ModelError(
            f"{wanted.name} has more than {wanted.bytes_max} bytes",
            hint="a checkpoint is smaller; check the address",
        )


def _unreachable(wanted: Pull, why: str) -> Unavailable:
    return Unavailable(
        f"{wanted.address[:200]} cannot be fetched: {why}",
        hint="try again: what came already is kept, and the rest is asked for",
    )
